"""A client of the service, for programs that wait (:class:`Client`) and for those that await (:class:`AsyncClient`).

    with Client("http://127.0.0.1:8000") as client:
        for item in client.classify(["وصل ماء الشرب إلى القرية"]):
            print(item.status, item.model_extra)

What is too much for one request is sent in several. A request that met a full queue, a busy database or a broken
connection is sent again; writes carry an ``Idempotency-Key``, so that they are done once.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

import httpx

from nlp.errors import ServiceError
from service.clustering_schemas import ClusteringOut, CommentOut, CommentPage
from service.job_schemas import JobOut
from service.schemas import ClassifyResponse, InfoResponse, ItemOut
from service.submission_schemas import SubmissionOut

T = TypeVar("T")
Progress = Callable[[int, int], None]
# Told the name of the step under way, and the share of all work that lies behind.
StepProgress = Callable[[str, float], None]

# A conversation gives requests to send and seconds to wait, and takes the answers: it is the same for both clients.
_Flow = Generator[httpx.Request | float, httpx.Response | None, T]

_AGAIN = (429, 502, 503, 504)
_LONGEST_WAIT = 30.0
# Left free in a request body for what is not text.
_ENVELOPE = 2000


def _silent(done: int, total: int) -> None:
    """Nobody watches."""


def _silent_steps(step: str, share: float) -> None:
    """Nobody watches."""


class _Conversations:
    """What is said to the service, whoever says it.

    Args:
        build: makes requests.
        retries: how often one is sent again.
    """

    def __init__(self, build: Callable[..., httpx.Request], retries: int) -> None:
        self._build = build
        self._retries = retries

    def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> _Flow[bytes]:
        content = None if body is None else _encoded(body)
        given = {"Content-Type": "application/json", **(headers or {})}
        for left in range(self._retries, -1, -1):
            wait = min(_LONGEST_WAIT, 0.25 * 2.0 ** (self._retries - left))
            try:
                answer = yield self._build(method, path, content=content, headers=given)
            except httpx.TransportError as error:
                if not left:
                    raise ServiceError(
                        f"the service does not answer: {error!r}",
                        status=0,
                        expected="an answer",
                        remedy="is it running?",
                    ) from error
            else:
                assert answer is not None
                if answer.is_success:
                    return answer.content
                if answer.status_code not in _AGAIN or not left:
                    raise _refusal(answer)
                asked = answer.headers.get("Retry-After", "")
                wait = float(asked) if asked.isdigit() else wait
            yield min(wait, _LONGEST_WAIT)
        raise AssertionError("the last try returns or raises")

    def info(self) -> _Flow[InfoResponse]:
        return InfoResponse.model_validate_json((yield from self.call("GET", "/v1/info")))

    def classify(
        self, texts: Sequence[str], options: Mapping[str, Any], ids: Sequence[str] | None, progress: Progress
    ) -> _Flow[list[ItemOut]]:
        limits = (yield from self.info()).limits
        found: list[ItemOut] = []
        for some in _split(_items(texts, ids), int(limits["most_items"]), int(limits["most_bytes"])):
            answer = yield from self.call("POST", "/v1/classify", {"items": some, "evidence": False, **options})
            found += ClassifyResponse.model_validate_json(answer).items
            progress(len(found), len(texts))
        return found

    def run_job(
        self,
        texts: Sequence[str],
        options: Mapping[str, Any],
        ids: Sequence[str] | None,
        progress: Progress,
        poll_seconds: float,
    ) -> _Flow[list[ItemOut]]:
        limits = (yield from self.info()).limits
        parts = list(_split(_items(texts, ids), int(limits["most_job_items"]), int(limits["most_bytes"])))
        jobs = []
        for some in parts:
            key = {"Idempotency-Key": uuid.uuid4().hex}
            answer = yield from self.call("POST", "/v1/jobs", {"items": some, "evidence": False, **options}, key)
            jobs.append(JobOut.model_validate_json(answer))
        found: list[ItemOut] = []
        for job in jobs:
            while job.result is None:
                yield float(poll_seconds)
                job = JobOut.model_validate_json((yield from self.call("GET", f"/v1/jobs/{job.id}")))
                progress(len(found) + job.done, len(texts))
            if job.state != "finished":
                raise ServiceError(f"the job {job.id} is {job.state}: {job.problem}", status=200, expected="finished")
            lines = (yield from self.call("GET", job.result)).splitlines()
            found += [ItemOut.model_validate_json(line) for line in lines]
        return found

    def submit(self, external_id: str, text: str, metadata: Mapping[str, Any] | None) -> _Flow[SubmissionOut]:
        body = {"text": text} | ({} if metadata is None else {"metadata": dict(metadata)})
        key = {"Idempotency-Key": uuid.uuid4().hex}
        answer = yield from self.call("PUT", f"/v1/submissions/{quote(external_id, safe='')}", body, key)
        return SubmissionOut.model_validate_json(answer)

    def cluster(
        self,
        comments: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
        progress: StepProgress,
        poll_seconds: float,
    ) -> _Flow[ClusteringOut]:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        answer = yield from self.call("POST", "/v1/cluster", {"comments": [*comments], **options}, key)
        found = ClusteringOut.model_validate_json(answer)
        while not found.state.ended:
            yield float(poll_seconds)
            found = yield from self.clustering(found.id)
            if found.progress and found.progress.steps:
                progress(found.progress.steps[-1].name, found.progress.share)
        if found.tree is None:
            raise ServiceError(f"the clustering {found.id} is {found.state}: {found.problem}", status=200)
        return found

    def clustering(self, clustering_id: str) -> _Flow[ClusteringOut]:
        return ClusteringOut.model_validate_json((yield from self.call("GET", f"/v1/clusterings/{clustering_id}")))

    def clustering_comments(self, clustering_id: str, filters: Mapping[str, Any]) -> _Flow[list[CommentOut]]:
        found: list[CommentOut] = []
        query = {name: value for name, value in filters.items() if value is not None} | {"limit": 1000}
        while True:
            path = f"/v1/clusterings/{clustering_id}/comments?{urlencode(query, doseq=True)}"
            page = CommentPage.model_validate_json((yield from self.call("GET", path)))
            found += page.items
            if page.next is None:
                return found
            query["cursor"] = page.next

    def change_clustering(
        self, clustering_id: str, what: str, body: Mapping[str, Any], match: str | None
    ) -> _Flow[ClusteringOut]:
        headers = {"Idempotency-Key": uuid.uuid4().hex} | ({} if match is None else {"If-Match": match})
        answer = yield from self.call("POST", f"/v1/clusterings/{clustering_id}/{what}", dict(body), headers)
        return ClusteringOut.model_validate_json(answer)

    def clustering_file(self, clustering_id: str, what: str, query: Mapping[str, str]) -> _Flow[bytes]:
        return (yield from self.call("GET", f"/v1/clusterings/{clustering_id}/{what}?{urlencode(query)}"))


def _signed(reviewer: str | None, **body: Any) -> dict[str, Any]:
    return body | ({} if reviewer is None else {"reviewer": reviewer})


def _encoded(body: Any) -> bytes:
    """JSON in UTF-8; a lone surrogate stays an escape, for the service to refuse in its item alone."""
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _items(texts: Sequence[str], ids: Sequence[str] | None) -> list[dict[str, Any]]:
    if ids is not None and len(ids) != len(texts):
        raise ValueError(f"{len(ids)} ids for {len(texts)} texts")
    return [{"id": place if ids is None else ids[place], "text": text} for place, text in enumerate(texts)]


def _split(items: list[dict[str, Any]], most_items: int, most_bytes: int) -> Iterator[list[dict[str, Any]]]:
    some: list[dict[str, Any]] = []
    size = _ENVELOPE
    for item in items:
        length = len(_encoded(item)) + 2
        if some and (len(some) == most_items or size + length > most_bytes):
            yield some
            some, size = [], _ENVELOPE
        some.append(item)
        size += length
    if some:
        yield some


def _refusal(answer: httpx.Response) -> ServiceError:
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = answer.text[:200]
    return ServiceError(f"{answer.request.method} {answer.request.url.path}: {detail}", status=answer.status_code)


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


class Client:
    """Speaks to the service, and waits for its answers.

    Args:
        address: such as ``http://127.0.0.1:8000``.
        key: an API key, where the service asks for one.
        seconds: to wait for an answer.
        retries: how often a request is sent again.
        transport: of the connections; the network if not given.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        address: str,
        *,
        key: str | None = None,
        seconds: float = 60.0,
        retries: int = 5,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx.Client(base_url=address, headers=_headers(key), timeout=seconds, transport=transport)
        self._sleep = sleep
        self._say = _Conversations(self._http.build_request, retries)

    def info(self) -> InfoResponse:
        """Versions and limits.

        Raises:
            ServiceError: the service refused, or did not answer.
        """
        return self._run(self._say.info())

    def classify(
        self, texts: Sequence[str], *, ids: Sequence[str] | None = None, progress: Progress = _silent, **options: Any
    ) -> list[ItemOut]:
        """Tag texts; a text that cannot be tagged has a problem in its item.

        Args:
            texts: any number.
            ids: of the texts; their places if not given.
            progress: is told how many texts are done, and of how many.
            **options: of the request: ``axes``, ``top_k``, ``min_score``, ``all_scores``, ``evidence``.

        Returns:
            An item for each text, in order.

        Raises:
            ServiceError: the service refused, or did not answer.
        """
        return self._run(self._say.classify(texts, options, ids, progress))

    def run_job(
        self,
        texts: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        progress: Progress = _silent,
        poll_seconds: float = 1.0,
        **options: Any,
    ) -> list[ItemOut]:
        """Tag many texts as a job, and wait for its end; arguments and result are those of :meth:`classify`.

        Args:
            texts: any number.
            ids: of the texts.
            progress: as there.
            poll_seconds: between two questions how far it is.
            **options: as there.

        Raises:
            ServiceError: the service refused, did not answer, or the job failed or was cancelled.
        """
        return self._run(self._say.run_job(texts, options, ids, progress, poll_seconds))

    def submit(self, external_id: str, text: str, metadata: Mapping[str, Any] | None = None) -> SubmissionOut:
        """Keep a submission, new or changed.

        Raises:
            ServiceError: the service refused, or did not answer.
        """
        return self._run(self._say.submit(external_id, text, metadata))

    def cluster(
        self,
        comments: Sequence[Mapping[str, Any]],
        *,
        progress: StepProgress = _silent_steps,
        poll_seconds: float = 1.0,
        **options: Any,
    ) -> ClusteringOut:
        """Group the comments of a consultation, and wait for its end; a large set is a job of the service.

        Args:
            comments: each with ``text``, and with ``id`` and ``attributes`` if there are any.
            progress: is told the step under way and the share of the work that lies behind.
            poll_seconds: between two questions how far it is.
            **options: of the request: ``title``, ``topics``, ``presets``, ``seed`` ...

        Raises:
            ServiceError: the service refused, did not answer, or the job failed or was cancelled.
        """
        return self._run(self._say.cluster(comments, options, progress, poll_seconds))

    def clustering(self, clustering_id: str) -> ClusteringOut:
        """A clustering with its tree, or how far it is.

        Raises:
            ServiceError: the service refused, or did not answer.
        """
        return self._run(self._say.clustering(clustering_id))

    def clustering_comments(self, clustering_id: str, **filters: Any) -> list[CommentOut]:
        """All comments of a clustering.

        Args:
            clustering_id: of the clustering.
            **filters: ``topic``, ``campaign``, ``minority``, ``attribute`` (``name:value``, or several of them).

        Raises:
            ServiceError: the service refused, or did not answer.
        """
        return self._run(self._say.clustering_comments(clustering_id, filters))

    def join_clustering(self, clustering_id: str, comments: Sequence[Mapping[str, Any]]) -> ClusteringOut:
        """Let new comments join a clustering.

        Raises:
            ServiceError: the service refused, or did not answer.
        """
        return self._run(self._say.change_clustering(clustering_id, "comments", {"comments": [*comments]}, None))

    def edit_clustering(
        self, clustering_id: str, edits: Sequence[Mapping[str, Any]], *, match: str, reviewer: str | None = None
    ) -> ClusteringOut:
        """Edit a clustering: all of the edits, or none.

        Args:
            clustering_id: of the clustering.
            edits: such as ``{"edit": "rename", "topic": "t1", "title": "..."}``.
            match: ``etag`` of the clustering that was read, or ``*`` for any.
            reviewer: who edits, where access is open.

        Raises:
            ServiceError: the service refused, or did not answer.
        """
        body = _signed(reviewer, edits=[*edits])
        return self._run(self._say.change_clustering(clustering_id, "edits", body, match))

    def undo_edit(self, clustering_id: str, *, match: str, reviewer: str | None = None) -> ClusteringOut:
        """Undo the last edit that counts; arguments and errors are those of :meth:`edit_clustering`."""
        return self._run(self._say.change_clustering(clustering_id, "undo", _signed(reviewer), match))

    def clustering_report(self, clustering_id: str, language: str = "ar") -> bytes:
        """The report, one HTML file.

        Raises:
            ServiceError: the service refused, or did not answer.
        """
        return self._run(self._say.clustering_file(clustering_id, "report", {"language": language}))

    def export_clustering(self, clustering_id: str, form: str = "json") -> bytes:
        """A clustering as a file: ``json``, ``csv`` or ``xlsx``.

        Raises:
            ServiceError: the service refused, or did not answer.
        """
        return self._run(self._say.clustering_file(clustering_id, "export", {"format": form}))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, flow: _Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                if isinstance(step, float):
                    self._sleep(step)
                    step = flow.send(None)
                    continue
                try:
                    answer = self._http.send(step)
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found


class AsyncClient:
    """Speaks to the service, and awaits its answers; arguments, results and errors are those of :class:`Client`."""

    def __init__(
        self,
        address: str,
        *,
        key: str | None = None,
        seconds: float = 60.0,
        retries: int = 5,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=address, headers=_headers(key), timeout=seconds, transport=transport)
        self._sleep = sleep
        self._say = _Conversations(self._http.build_request, retries)

    async def info(self) -> InfoResponse:
        """See :meth:`Client.info`."""
        return await self._run(self._say.info())

    async def classify(
        self, texts: Sequence[str], *, ids: Sequence[str] | None = None, progress: Progress = _silent, **options: Any
    ) -> list[ItemOut]:
        """See :meth:`Client.classify`."""
        return await self._run(self._say.classify(texts, options, ids, progress))

    async def run_job(
        self,
        texts: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        progress: Progress = _silent,
        poll_seconds: float = 1.0,
        **options: Any,
    ) -> list[ItemOut]:
        """See :meth:`Client.run_job`."""
        return await self._run(self._say.run_job(texts, options, ids, progress, poll_seconds))

    async def submit(self, external_id: str, text: str, metadata: Mapping[str, Any] | None = None) -> SubmissionOut:
        """See :meth:`Client.submit`."""
        return await self._run(self._say.submit(external_id, text, metadata))

    async def cluster(
        self,
        comments: Sequence[Mapping[str, Any]],
        *,
        progress: StepProgress = _silent_steps,
        poll_seconds: float = 1.0,
        **options: Any,
    ) -> ClusteringOut:
        """See :meth:`Client.cluster`."""
        return await self._run(self._say.cluster(comments, options, progress, poll_seconds))

    async def clustering(self, clustering_id: str) -> ClusteringOut:
        """See :meth:`Client.clustering`."""
        return await self._run(self._say.clustering(clustering_id))

    async def clustering_comments(self, clustering_id: str, **filters: Any) -> list[CommentOut]:
        """See :meth:`Client.clustering_comments`."""
        return await self._run(self._say.clustering_comments(clustering_id, filters))

    async def join_clustering(self, clustering_id: str, comments: Sequence[Mapping[str, Any]]) -> ClusteringOut:
        """See :meth:`Client.join_clustering`."""
        return await self._run(self._say.change_clustering(clustering_id, "comments", {"comments": [*comments]}, None))

    async def edit_clustering(
        self, clustering_id: str, edits: Sequence[Mapping[str, Any]], *, match: str, reviewer: str | None = None
    ) -> ClusteringOut:
        """See :meth:`Client.edit_clustering`."""
        body = _signed(reviewer, edits=[*edits])
        return await self._run(self._say.change_clustering(clustering_id, "edits", body, match))

    async def undo_edit(self, clustering_id: str, *, match: str, reviewer: str | None = None) -> ClusteringOut:
        """See :meth:`Client.undo_edit`."""
        return await self._run(self._say.change_clustering(clustering_id, "undo", _signed(reviewer), match))

    async def clustering_report(self, clustering_id: str, language: str = "ar") -> bytes:
        """See :meth:`Client.clustering_report`."""
        return await self._run(self._say.clustering_file(clustering_id, "report", {"language": language}))

    async def export_clustering(self, clustering_id: str, form: str = "json") -> bytes:
        """See :meth:`Client.export_clustering`."""
        return await self._run(self._say.clustering_file(clustering_id, "export", {"format": form}))

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, flow: _Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                if isinstance(step, float):
                    await self._sleep(step)
                    step = flow.send(None)
                    continue
                try:
                    answer = await self._http.send(step)
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found
