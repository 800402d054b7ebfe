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
from urllib.parse import quote

import httpx

from nlp.errors import ServiceError
from service.job_schemas import JobOut
from service.schemas import ClassifyResponse, InfoResponse, ItemOut
from service.submission_schemas import SubmissionOut

T = TypeVar("T")
Progress = Callable[[int, int], None]

# A conversation gives requests to send and seconds to wait, and takes the answers: it is the same for both clients.
_Flow = Generator[httpx.Request | float, httpx.Response | None, T]

_AGAIN = (429, 502, 503, 504)
_LONGEST_WAIT = 30.0
# Left free in a request body for what is not text.
_ENVELOPE = 2000


def _silent(done: int, total: int) -> None:
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
