"""Routes of clusterings: the comments of a consultation, grouped, looked at, edited."""

from __future__ import annotations

import uuid
from asyncio import get_running_loop
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, HTTPException, Query, Request, Response, UploadFile
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import StringConstraints
from starlette.concurrency import run_in_threadpool

from models.clustering.checking import check_presets
from models.clustering.comparison import compare
from models.clustering.options import ClusterOptions
from models.clustering.plain import to_plain
from models.clustering.records import Comparison
from nlp.errors import JobError
from nlp.masking import mask
from nlp.reading import Columns, check_text, read_table_bytes
from nlp.records import Document
from service.callers import Caller, CallerDep
from service.clustering_edits import Editing
from service.clustering_exports import CLUSTERING_EXPORTS
from service.clustering_schemas import (
    ClusterFileQuery,
    ClusteringEntry,
    ClusteringOut,
    ClusteringPage,
    ClusterQuery,
    ClusterRequest,
    CommentOut,
    CommentPage,
    EditList,
    EditOut,
    EditsIn,
    JoinRequest,
    UndoIn,
    documents_of,
)
from service.clustering_work import make
from service.consultation import Told, check_documents, report, titled
from service.consultation_report import report_policy
from service.cursors import read_cursor, write_cursor
from service.dependencies import ClockDep, RuntimeDep, SettingsDep, StoreDep
from service.job_schemas import MadeId
from service.kept_trees import told
from service.languages import Language
from service.preconditions import ConditionDep, KeyDep, etag, repeatable, replayed, response_of
from service.runtime import Runtime
from service.settings import Settings
from service.store import Store
from service.store.clusterings import answer_name
from service.store.records import (
    Answer,
    CommentFilters,
    JobKind,
    JobState,
    Repeatable,
    StoredClustering,
    StoredComment,
)
from service.working import announce

T = TypeVar("T")

router = APIRouter(tags=["clusterings"])

_PATH = "/v1/clusterings"
_ONE = _PATH + "/{clustering_id}"
# A report has an origin of its own: whatever it says, it cannot speak to the service.
_REPORT_POLICY = f"{report_policy()}; frame-ancestors 'none'; sandbox allow-scripts allow-modals"
# What is said of rows that cannot be read.
_MOST_LEFT_OUT = 100
_MADE: dict[int | str, dict[str, Any]] = {
    202: {"model": ClusteringOut, "description": "The set is large: a job makes the clustering."}
}

GroupId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z._-]{1,60}$")]


@router.post("/v1/cluster", status_code=201, response_model=ClusteringOut, responses=_MADE)
async def post_cluster(
    request: Request,
    body: ClusterRequest,
    runtime: RuntimeDep,
    caller: CallerDep,
    settings: SettingsDep,
    key: KeyDep,
) -> Response:
    """Group the comments of a consultation. `Location` says where the clustering is kept.

    A small set is grouped at once. A set of more than `most_cluster_comments` is answered 202: a job makes the
    clustering, whose `state` and `progress` tell how far it is. Personal data is masked before anything is kept.
    """
    documents = await run_in_threadpool(documents_of, body.comments, settings.most_characters)
    options = body.options(body.presets)
    mark = repeatable(key, "POST", "/v1/cluster", body.model_dump(mode="json") if key else None)
    return await _accept(request, documents, [], body, options, mark, runtime, caller)


@router.post("/v1/cluster/file", status_code=201, response_model=ClusteringOut, responses=_MADE)
async def post_cluster_file(
    request: Request,
    file: UploadFile,
    query: Annotated[ClusterFileQuery, Query()],
    runtime: RuntimeDep,
    caller: CallerDep,
    settings: SettingsDep,
    key: KeyDep,
) -> Response:
    """Group the rows of a file (JSONL, CSV, TSV or XLSX). Rows that cannot be read are told in `left_out`."""
    data, name = await file.read(), Path(file.filename or "").name
    columns = Columns(query.text_column, query.id_column, tuple(query.attributes), empty=True)
    documents, left_out = await run_in_threadpool(_read, data, name, columns, settings)
    asked = query if query.title else query.model_copy(update={"title": titled(name)})
    entries = [(one.id, one.text, dict(one.attributes)) for one in documents] if key else []
    mark = repeatable(key, "POST", "/v1/cluster/file", query.model_dump(mode="json"), entries)
    return await _accept(request, documents, left_out, asked, query.options(), mark, runtime, caller)


def _read(data: bytes, name: str, columns: Columns, settings: Settings) -> tuple[list[Document], list[str]]:
    """The rows that can be read, and what is said of the others: an id or a file's name may be a person's."""
    documents: list[Document] = []
    left_out = []
    faults, first = 0, None
    for item in read_table_bytes(data, name, columns):
        if isinstance(item, Document):
            for text in (item.id, *item.attributes.values()):
                if text.strip():
                    check_text(text)
            if item.text:
                check_text(item.text, settings.most_characters)
            documents.append(item)
            continue
        faults += 1
        first = first or item.error
        if faults <= _MOST_LEFT_OUT:
            left_out.append(mask(f"{item.id}: {item.error}").text.encode("utf-8", "replace").decode())
    if first is not None and not documents:
        raise first
    if faults > _MOST_LEFT_OUT:
        left_out.append(f"and {faults - _MOST_LEFT_OUT:,} more rows")
    return documents, left_out


async def _accept(
    request: Request,
    documents: Sequence[Document],
    left_out: Sequence[str],
    asked: ClusterQuery,
    options: ClusterOptions,
    mark: Repeatable | None,
    runtime: Runtime,
    caller: Caller,
) -> Response:
    settings = runtime.settings
    if len(documents) > settings.most_job_comments:
        detail = f"{len(documents)} comments, expected at most {settings.most_job_comments} (most_job_comments)"
        raise HTTPException(413, detail)
    check_documents(documents)
    check_presets(options.presets, runtime.model.tagger.taxonomy)
    taken = _Taken(documents, left_out, asked.title, options, mark, caller)
    if asked.background or len(documents) > settings.most_cluster_comments:
        return await run_in_threadpool(taken.queue, runtime)
    return await _aside(request, partial(taken.make, runtime))


async def _aside(request: Request, work: Callable[[], T]) -> T:
    """Do long work on threads of its own, few at a time: others need not wait for a thread, nor for a processor."""
    return await get_running_loop().run_in_executor(request.app.state.clustering, copy_context().run, work)


class _Taken:
    """The comments of a request that asks for a clustering."""

    def __init__(
        self,
        documents: Sequence[Document],
        left_out: Sequence[str],
        title: str,
        options: ClusterOptions,
        mark: Repeatable | None,
        caller: Caller,
    ) -> None:
        self._documents = documents
        self._comments = [StoredComment(place, one.id, one.text, one.attributes) for place, one in enumerate(documents)]
        self._given: dict[str, Any] = {
            "owner": caller.actor,
            "title": title,
            "options": to_plain(options),
            "left_out": left_out,
        }
        self._options = options
        self._mark = mark
        self._actor = caller.actor

    def make(self, runtime: Runtime) -> Response:
        """Group them at once."""
        with runtime.store.read() as reader:
            if answer := reader.answer(self._mark):
                return response_of(replayed(answer))
        made = make(self._documents, self._options, runtime.model, lambda step, share: None, patient=False)
        with runtime.store.write(runtime.clock()) as writer:
            if answer := writer.answer(self._mark):
                return response_of(replayed(answer))
            kept = writer.clusterings.create(uuid.uuid4().hex, made.comments, **self._given)
            kept = made.keep(writer, kept.id, self._actor)
            answer = _answer(kept, made.tree, status=201)
            writer.forget_answers(timedelta(hours=runtime.settings.repeat_hours))
            writer.keep_answer(self._mark, answer_name(kept.id), answer)
        return response_of(answer)

    def queue(self, runtime: Runtime) -> Response:
        """Have a job group them."""
        with runtime.store.write(runtime.clock()) as writer:
            if answer := writer.answer(self._mark):
                return response_of(replayed(answer))
            clustering_id, job_id = uuid.uuid4().hex, uuid.uuid4().hex
            job = writer.jobs.create(
                job_id,
                [],
                {"clustering": clustering_id},
                owner=self._actor,
                kind=JobKind.CLUSTER,
                total=len(self._comments),
            )
            kept = writer.clusterings.create(clustering_id, self._comments, job_id=job_id, **self._given)
            writer.log(self._actor, "clustering.create", clustering=kept.id, job=job.id, comments=kept.total)
            out = ClusteringOut.full(kept, None, job)
            headers = {"Location": f"{_PATH}/{kept.id}", "Retry-After": "1", "ETag": etag(kept)}
            answer = Answer(202, headers, out.model_dump_json())
            writer.forget_answers(timedelta(hours=runtime.settings.repeat_hours))
            writer.keep_answer(self._mark, answer_name(kept.id), answer)
        runtime.background.wake_clustering()
        return response_of(answer)


def _answer(kept: StoredClustering, tree: Mapping[str, Any], *, status: int = 200) -> Answer:
    headers = {"ETag": etag(kept)} | ({"Location": f"{_PATH}/{kept.id}"} if status == 201 else {})
    return Answer(status, headers, ClusteringOut.full(kept, tree, None).model_dump_json())


@router.get(_PATH)
def list_clusterings(
    store: StoreDep,
    settings: SettingsDep,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, description="Most entries of a page; the setting most_page bounds it.")] = 50,
) -> ClusteringPage:
    """All clusterings in the order in which they came, page by page."""
    bound = {"list": "clusterings"}
    with store.read() as reader:
        page = reader.clusterings.page(after=read_cursor(cursor, bound), limit=min(limit, settings.most_page))
    return ClusteringPage(items=[ClusteringEntry.of(one) for one in page.items], next=write_cursor(page.after, bound))


@router.get(_ONE)
def get_clustering(clustering_id: MadeId, store: StoreDep, response: Response) -> ClusteringOut:
    """A clustering with its tree, or how far it is."""
    with store.read() as reader:
        kept = reader.clusterings.get(clustering_id)
        tree = reader.clusterings.tree(kept.key)
        job = reader.jobs.find(kept.job_id)
    response.headers["ETag"] = etag(kept)
    if not kept.state.ended:
        response.headers["Retry-After"] = "1"
    return ClusteringOut.full(kept, tree, job)


@router.get(_ONE + "/comments")
def list_comments(
    clustering_id: MadeId,
    store: StoreDep,
    settings: SettingsDep,
    topic: Annotated[GroupId | None, Query(description="Of this topic, sub-topic, or `other`.")] = None,
    campaign: Annotated[GroupId | None, Query(description="Of this campaign.")] = None,
    minority: Annotated[GroupId | None, Query(description="Of this minority view.")] = None,
    attribute: Annotated[
        list[Annotated[str, StringConstraints(max_length=500, pattern=r'^[^":\\\x00-\x1f\x7f]+:[^\x00]*$')]],
        Query(max_length=20, description="`name:value`, such as `region:الرياض`; a comment has all of them."),
    ] = [],  # noqa: B006 - the framework copies it
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, description="Most entries of a page; the setting most_page bounds it.")] = 50,
) -> CommentPage:
    """Comments with their places, in the order in which they came, page by page."""
    pairs = [one.partition(":") for one in attribute]
    filters = CommentFilters(topic, campaign, minority, tuple((name, value) for name, _, value in pairs))
    bound = {"list": clustering_id, "filters": [topic, campaign, minority, sorted(attribute)]}
    after = read_cursor(cursor, bound) - 1
    with store.read() as reader:
        kept = _made(reader.clusterings.get(clustering_id))
        page = reader.clusterings.comments(kept.key, filters, after=after, limit=min(limit, settings.most_page))
    # A cursor is never below 0, and the first position is 0.
    following = None if page.after is None else page.after + 1
    return CommentPage(items=[CommentOut.of(one) for one in page.items], next=write_cursor(following, bound))


def _made(kept: StoredClustering) -> StoredClustering:
    if kept.state is not JobState.FINISHED:
        raise JobError(
            f"the clustering is {kept.state}", expected="one that is made", remedy="ask again later, or send it again"
        )
    return kept


def _told(store: Store, clustering_id: str) -> tuple[StoredClustering, Told]:
    with store.read() as reader:
        kept = _made(reader.clusterings.get(clustering_id))
        tree = reader.clusterings.tree(kept.key)
        comments = reader.clusterings.comments(kept.key).items
    return kept, told(kept, tree or {}, comments)


@router.get(_ONE + "/comparison")
def get_comparison(
    clustering_id: MadeId,
    store: StoreDep,
    attribute: Annotated[str, Query(min_length=1, max_length=100, description="That tells the groups apart.")],
    subtopics: Annotated[bool, Query(description="Also compare sub-topics.")] = False,
) -> Comparison:
    """Groups of people side by side: how much of each group speaks of each topic, and where they differ."""
    _, found = _told(store, clustering_id)
    return compare(found.clustering, attribute, subtopics=subtopics)


@router.get(_ONE + "/report", response_class=HTMLResponse)
def get_report(
    clustering_id: MadeId,
    store: StoreDep,
    clock: ClockDep,
    language: Annotated[Language, Query(description="In which it opens; the other is one press away.")] = "ar",
) -> HTMLResponse:
    """The report: one HTML file that needs no network, to be looked at, saved, e-mailed and printed."""
    _, found = _told(store, clustering_id)
    page = report(found, clock().date(), language)
    headers = {
        "Content-Disposition": f'inline; filename="consultation-{clustering_id[:8]}.html"',
        "Content-Security-Policy": _REPORT_POLICY,
    }
    return HTMLResponse(page, headers=headers)


@router.get(_ONE + "/export", response_class=StreamingResponse)
def export_clustering(
    clustering_id: MadeId,
    store: StoreDep,
    form: Annotated[Literal["json", "csv", "xlsx"], Query(alias="format")] = "json",
) -> StreamingResponse:
    """Everything as a file: JSON with the tree, CSV with a row a comment, XLSX with sheets.

    The columns of attributes come last; one that has the name of another column gets `attribute: ` before it.
    """
    _, found = _told(store, clustering_id)
    export = CLUSTERING_EXPORTS[form]
    headers = {"Content-Disposition": f'attachment; filename="consultation-{clustering_id[:8]}.{form}"'}
    return StreamingResponse(export.write(found), media_type=export.media_type, headers=headers)


def _editing(runtime: Runtime, actor: str) -> Editing:
    return Editing(runtime.store, runtime.model, runtime.clock, actor, _answer)


@router.post(_ONE + "/comments", response_model=ClusteringOut)
async def post_comments(
    request: Request,
    clustering_id: MadeId,
    body: JoinRequest,
    runtime: RuntimeDep,
    caller: CallerDep,
    settings: SettingsDep,
    condition: ConditionDep,
    key: KeyDep,
) -> Response:
    """New comments join; none that is there moves, and edits are kept. `drift` tells where they do not fit."""
    if len(body.comments) > settings.most_cluster_comments:
        detail = f"{len(body.comments)} comments, expected at most {settings.most_cluster_comments} at a time"
        raise HTTPException(413, f"{detail} (most_cluster_comments)")
    with_place = [
        comment if comment.id is not None else comment.model_copy(update={"id": f"{uuid.uuid4().hex[:12]}"})
        for comment in body.comments
    ]
    documents = documents_of(with_place, settings.most_characters)
    mark = repeatable(key, "POST", clustering_id, body.model_dump(mode="json"))
    editing, most = _editing(runtime, caller.actor), settings.most_job_comments

    def joined() -> Answer:
        return editing.join(clustering_id, documents, condition, mark, most)

    return response_of(await _aside(request, joined))


@router.get(_ONE + "/edits")
def list_edits(clustering_id: MadeId, store: StoreDep) -> EditList:
    """All that was edited and undone, with who and when."""
    with store.read() as reader:
        entries = reader.clusterings.edits(reader.clusterings.get(clustering_id).key)
    return EditList(items=[EditOut.of(entry) for entry in entries])


@router.post(_ONE + "/edits", response_model=ClusteringOut)
def post_edits(
    clustering_id: MadeId,
    body: EditsIn,
    runtime: RuntimeDep,
    caller: CallerDep,
    condition: ConditionDep,
    key: KeyDep,
) -> Response:
    """Rename, merge, split, move or pin. If-Match names the ETag of what was read: 412 if it has changed since."""
    editor = caller.signs_as(body.reviewer)
    _require(condition.if_match)
    mark = repeatable(key, "POST", clustering_id, body.model_dump(mode="json"))
    edits = [edit.record() for edit in body.edits]
    return response_of(_editing(runtime, editor).edit(clustering_id, edits, condition, mark))


@router.post(_ONE + "/undo", response_model=ClusteringOut)
def post_undo(
    clustering_id: MadeId,
    body: UndoIn,
    runtime: RuntimeDep,
    caller: CallerDep,
    condition: ConditionDep,
    key: KeyDep,
) -> Response:
    """Undo the last edit that counts; as often as there are edits. If-Match as with edits."""
    editor = caller.signs_as(body.reviewer)
    _require(condition.if_match)
    mark = repeatable(key, "POST", f"{clustering_id} undo", body.model_dump(mode="json"))
    return response_of(_editing(runtime, editor).undo(clustering_id, condition, mark))


def _require(if_match: str | None) -> None:
    if if_match is None:
        detail = "expected the header If-Match with the ETag of the clustering that was read, or * for any"
        raise HTTPException(428, detail)


@router.post(_ONE + "/cancel")
def cancel_clustering(clustering_id: MadeId, store: StoreDep, clock: ClockDep, caller: CallerDep) -> ClusteringOut:
    """End the job that makes a clustering; its comments go. To cancel twice is to cancel once."""
    with store.write(clock()) as writer:
        kept = writer.clusterings.get(clustering_id)
        before = writer.jobs.find(kept.job_id)
        if before is None:
            raise JobError(f"the clustering is {kept.state}", expected="one that a job makes")
        job = writer.jobs.cancel(before.id)
        if not before.state.ended:
            writer.log(caller.actor, "clustering.cancel", clustering=kept.id, job=job.id)
            announce(writer, job)
        kept = writer.clusterings.get(clustering_id)
    store.empty_log()
    return ClusteringOut.full(kept, None, job)


@router.delete(_ONE, status_code=204)
def delete_clustering(
    clustering_id: MadeId, store: StoreDep, clock: ClockDep, caller: CallerDep, condition: ConditionDep
) -> None:
    """Remove a clustering with its comments and edits, whatever its state, for ever."""
    with store.write(clock()) as writer:
        kept = writer.clusterings.get(clustering_id)
        condition.check(kept)
        if not kept.state.ended and (job := writer.jobs.find(kept.job_id)):
            announce(writer, writer.jobs.cancel(job.id))
        writer.clusterings.delete(clustering_id)
        writer.log(caller.actor, "clustering.delete", clustering=clustering_id, comments=kept.total)
    store.empty_log()
