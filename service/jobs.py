"""Routes of jobs: texts that are tagged when there is time."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response, UploadFile
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from nlp.errors import JobError, NotStoredError
from service.answers import Batch, read_upload
from service.callers import Caller, CallerDep
from service.clock import Clock
from service.dependencies import BackgroundDep, ClockDep, ModelDep, SettingsDep, StoreDep
from service.job_schemas import JobOut, JobRequest, MadeId
from service.model import Model
from service.preconditions import KeyDep, repeatable, replayed, response_of
from service.schemas import FileQuery, OptionsIn
from service.settings import Settings
from service.store import Store
from service.store.records import Answer, Job, JobKind, Repeatable, Scope
from service.working import Background, announce

router = APIRouter(tags=["jobs"])

_PATH = "/v1/jobs"
_BATCH = 500
_ACCEPTED: dict[str, Any] = {"status_code": 202, "response_model": JobOut}


@router.post(_PATH, **_ACCEPTED)
def post_job(
    body: JobRequest,
    background: BackgroundDep,
    store: StoreDep,
    clock: ClockDep,
    model: ModelDep,
    settings: SettingsDep,
    caller: CallerDep,
    key: KeyDep,
) -> Response:
    """Take texts to be tagged when there is time. `Location` says where the job is; it goes on if the service stops."""
    request = repeatable(key, "POST", _PATH, body.model_dump(mode="json"))
    batch = Batch.of_items(body.items, settings.most_characters)
    return _accept(batch, body, request, caller, background, store, clock, model, settings)


@router.post(_PATH + "/file", **_ACCEPTED)
async def post_job_file(
    file: UploadFile,
    query: Annotated[FileQuery, Query()],
    background: BackgroundDep,
    store: StoreDep,
    clock: ClockDep,
    model: ModelDep,
    settings: SettingsDep,
    caller: CallerDep,
    key: KeyDep,
) -> Response:
    """Take the items of a file, as in `/v1/classify/file`."""
    batch = await read_upload(file, query, settings.most_characters)
    entries = [(item_id, text) for item_id, text, _ in batch.entries()]
    request = repeatable(key, "POST", _PATH + "/file", query.model_dump(mode="json"), entries)
    return await run_in_threadpool(_accept, batch, query, request, caller, background, store, clock, model, settings)


def _accept(
    batch: Batch,
    asked: OptionsIn,
    request: Repeatable | None,
    caller: Caller,
    background: Background,
    store: Store,
    clock: Clock,
    model: Model,
    settings: Settings,
) -> Response:
    if len(batch) > settings.most_job_items:
        raise HTTPException(413, f"{len(batch)} items, expected at most {settings.most_job_items} (most_job_items)")
    options = asked.options(model.tagger.taxonomy, texts=len(batch), most_characters=settings.most_characters)
    items = [
        (
            json.dumps(item_id, ensure_ascii=False),
            text,
            None if refused is None else refused.model_dump_json(exclude_none=True),
        )
        for item_id, text, refused in batch.entries()
    ]
    with store.write(clock()) as writer:
        if answer := writer.answer(request):
            return response_of(replayed(answer))
        job_id = uuid.uuid4().hex
        job = writer.jobs.create(job_id, items, asdict(options), owner=caller.actor)
        writer.log(caller.actor, "job.create", job=job.id, items=job.total)
        headers = {"Location": f"{_PATH}/{job.id}", "Retry-After": "1"}
        answer = Answer(202, headers, JobOut.of(job).model_dump_json())
        writer.forget_answers(timedelta(hours=settings.repeat_hours))
        writer.keep_answer(request, f"job {job.id}", answer)
    background.wake()
    return response_of(answer)


def _own(job: Job, caller: Caller) -> Job:
    """A job is its sender's; to others, but administrators, it is not there."""
    if job.owner != caller.actor and Scope.ADMIN not in caller.scopes:
        raise NotStoredError(f"there is no job {job.id!r}")
    return job


@router.get(_PATH + "/{job_id}")
def get_job(job_id: MadeId, store: StoreDep, caller: CallerDep) -> JobOut:
    """How far a job is, and where its answers are."""
    with store.read() as reader:
        return JobOut.of(_own(reader.jobs.get(job_id), caller))


@router.post(_PATH + "/{job_id}/cancel")
def cancel_job(job_id: MadeId, store: StoreDep, clock: ClockDep, caller: CallerDep) -> JobOut:
    """End a job. What is answered stays; a part that is under way is dropped. To cancel twice is to cancel once."""
    with store.write(clock()) as writer:
        before = _own(writer.jobs.get(job_id), caller)
        job = writer.jobs.cancel(job_id)
        if not before.state.ended:
            writer.log(caller.actor, "job.cancel", job=job.id, done=job.done)
            announce(writer, job)
    store.empty_log()
    return JobOut.of(job)


@router.delete(_PATH + "/{job_id}", status_code=204)
def delete_job(job_id: MadeId, store: StoreDep, clock: ClockDep, caller: CallerDep) -> None:
    """Remove a job with its texts and answers, whatever its state."""
    with store.write(clock()) as writer:
        _own(writer.jobs.get(job_id), caller)
        writer.jobs.delete(job_id)
        writer.log(caller.actor, "job.delete", job=job_id)
    store.empty_log()


@router.get(_PATH + "/{job_id}/result", response_class=StreamingResponse)
def get_result(job_id: MadeId, store: StoreDep, caller: CallerDep) -> StreamingResponse:
    """The answers of a job that has ended, as JSONL in the order of its items; what was not done is not there."""
    with store.read() as reader:
        job = _own(reader.jobs.get(job_id), caller)
    if job.kind is not JobKind.CLASSIFY:
        raise JobError(
            f"the job is of the kind {job.kind}",
            expected="one that tags texts",
            remedy=f"its result is at /v1/clusterings/{job.options['clustering']}",
        )
    if not job.state.ended:
        raise JobError(
            f"the job is {job.state}: {job.done} of {job.total} items are done",
            expected="one that has ended",
            remedy="ask again later, or register a webhook",
        )
    headers = {"Content-Disposition": f'attachment; filename="{job.id}.jsonl"'}
    return StreamingResponse(_lines(store, job_id), media_type="application/jsonl", headers=headers)


def _lines(store: Store, job_id: str) -> Iterator[bytes]:
    """Batch by batch: a slow reader holds no transaction open."""
    after = -1
    while True:
        with store.read() as reader:
            items = reader.jobs.answers(job_id, after=after, limit=_BATCH)
        if not items:
            return
        yield b"".join((item.answer or "").encode() + b"\n" for item in items)
        after = items[-1].position
