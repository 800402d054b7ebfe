"""Routes of submissions."""

from __future__ import annotations

import uuid
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from nlp.errors import MusannifError, NotStoredError, OverloadError, TaxonomyError
from nlp.taxonomy import Taxonomy
from service import problems
from service.callers import CallerDep
from service.curation import Curation, CurationDep, Outcome, Render, Write
from service.cursors import read_cursor, write_cursor
from service.dependencies import ModelDep, SettingsDep, StoreDep
from service.preconditions import Condition, ConditionDep, KeyDep, etag, repeatable, response_of
from service.schemas import ProblemOut
from service.store.records import Answer, Draft, Filters, Repeatable, Scope, Submission
from service.submission_schemas import (
    OF_REVIEWERS,
    ExternalId,
    IdentifiedIn,
    ReviewIn,
    SubmissionAnswer,
    SubmissionAnswers,
    SubmissionIn,
    SubmissionOut,
    SubmissionPage,
    SubmissionPost,
    Time,
)

router = APIRouter(tags=["submissions"])

_PATH = "/v1/submissions"
_ONE = _PATH + "/{external_id:path}"


def _render(curation: Curation) -> Render:
    # Who hands texts in does not read what reviewers said of them.
    hidden = set() if Scope.REVIEW in curation.caller.scopes else OF_REVIEWERS

    def render(submission: Submission, new: bool) -> Answer:
        headers = {"ETag": etag(submission)}
        if new:
            headers["Location"] = f"{_PATH}/{quote(submission.external_id, safe='')}"
        out = SubmissionOut.of(submission, curation.taxonomy)
        return Answer(201 if new else 200, headers, out.model_dump_json(exclude=hidden))

    return render


def _write(body: SubmissionIn, external_id: str, condition: Condition, mark: Repeatable | None) -> Write:
    return Write(Draft(external_id, body.text, body.metadata, body.language), condition, mark)


async def _put(curation: Curation, write: Write) -> Response:
    (outcome,) = await curation.put([write], _render(curation))
    if isinstance(outcome, MusannifError):
        raise outcome
    return response_of(outcome)


_CREATED: dict[int | str, dict[str, Any]] = {201: {"model": SubmissionOut, "description": "It is new."}}


@router.post(_PATH, response_model=SubmissionOut | SubmissionAnswers, responses=_CREATED)
async def post_submissions(
    body: SubmissionPost, curation: CurationDep, settings: SettingsDep, condition: ConditionDep, key: KeyDep
) -> Response:
    """Keep one submission, or many as `items`; known ids are updated. Texts are tagged, unless they are unchanged.

    Each of many is answered for itself: one that is faulty gets a problem, and the others are kept.
    """
    mark = repeatable(key, "POST", _PATH, body.model_dump(exclude_unset=True))
    if body.items is None:
        try:
            item = IdentifiedIn.model_validate(body.model_dump(exclude_unset=True))
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error
        return await _put(curation, _write(item, item.external_id or _new_id(), condition, mark))
    if len(body.items) > settings.most_items:
        raise HTTPException(413, f"{len(body.items)} items, expected at most {settings.most_items} (most_items)")
    # A key of its own for every item: what was kept before the connection broke is not kept twice.
    items = [
        _item(data, mark and Repeatable(f"{mark.key} {position}", mark.fingerprint))
        for position, data in enumerate(body.items)
    ]
    outcomes = await curation.put([item for item in items if isinstance(item, Write)], _render(curation))
    overloads = [outcome for outcome in outcomes if isinstance(outcome, OverloadError)]
    if overloads and len(overloads) == len(outcomes):
        raise overloads[0]
    left = iter(outcomes)
    answers = [
        _answer(data, next(left) if isinstance(item, Write) else item)
        for data, item in zip(body.items, items, strict=True)
    ]
    return Response(
        SubmissionAnswers(items=answers).model_dump_json(exclude_none=True), 200, media_type="application/json"
    )


def _new_id() -> str:
    return uuid.uuid4().hex


def _item(data: Any, mark: Repeatable | None) -> Write | ValidationError:
    try:
        item = IdentifiedIn.model_validate(data)
    except ValidationError as error:
        return error
    return _write(item, item.external_id or _new_id(), Condition(), mark)


def _answer(data: Any, outcome: Outcome | ValidationError) -> SubmissionAnswer:
    if isinstance(outcome, Answer):
        kept = SubmissionOut.model_validate_json(outcome.body)
        return SubmissionAnswer(external_id=kept.external_id, status=outcome.status, submission=kept)
    if isinstance(outcome, ValidationError):
        faulty = problems.problem(422, problems.faults_of(outcome.errors()))
    else:
        faulty = problems.problem_of(outcome)
    given = data.get("external_id") if isinstance(data, dict) else None
    external_id = given.encode("utf-8", "replace").decode() if isinstance(given, str) else None
    return SubmissionAnswer(external_id=external_id, status=faulty["status"], problem=ProblemOut(**faulty))


@router.put(_ONE, response_model=SubmissionOut, responses=_CREATED)
async def put_submission(
    external_id: ExternalId, body: SubmissionIn, curation: CurationDep, condition: ConditionDep, key: KeyDep
) -> Response:
    """Keep a submission under its id. The same text is not tagged again; another text makes the decisions stale."""
    mark = repeatable(key, "PUT", external_id, body.model_dump(exclude_unset=True))
    return await _put(curation, _write(body, external_id, condition, mark))


@router.get(_PATH)
def list_submissions(
    store: StoreDep,
    model: ModelDep,
    settings: SettingsDep,
    needs_review: Annotated[bool | None, Query(description="The model is not sure.")] = None,
    reviewed: Annotated[bool | None, Query(description="No tag waits for a decision.")] = None,
    label: Annotated[
        list[str],
        Query(
            description="`level:label`, such as `goals:6`: the model gave it and nobody rejected it, or it was added."
        ),
    ] = [],  # noqa: B006 - the framework copies it
    updated_since: Annotated[Time | None, Query(description="Changed then or later.")] = None,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, description="Most entries of a page; the setting most_page bounds it.")] = 50,
) -> SubmissionPage:
    """Submissions in the order in which they first came, page by page."""
    taxonomy = model.tagger.taxonomy
    filters = Filters(needs_review, reviewed, _labels(taxonomy, label), updated_since)
    bound = {"list": "submissions", "filters": [needs_review, reviewed, sorted(label), updated_since]}
    with store.read() as reader:
        page = reader.submissions(filters, after=read_cursor(cursor, bound), limit=min(limit, settings.most_page))
    items = [SubmissionOut.of(submission, taxonomy) for submission in page.items]
    return SubmissionPage(items=items, next=write_cursor(page.after, bound))


def _labels(taxonomy: Taxonomy, labels: list[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for one in labels:
        name, _, label = one.partition(":")
        if label not in taxonomy.level(name).index:
            raise TaxonomyError(f"{name} has no label {label!r}", expected="level:label, such as goals:6")
        found.append((name, label))
    return tuple(found)


@router.post(_ONE + "/reviews", response_model=SubmissionOut, tags=["reviews"])
def review_submission(
    external_id: ExternalId,
    body: ReviewIn,
    caller: CallerDep,
    curation: CurationDep,
    condition: ConditionDep,
    key: KeyDep,
) -> Response:
    """Keep one reviewer's decisions. If-Match names the ETag of what was read: 412 if it has changed since."""
    reviewer = caller.signs_as(body.reviewer)
    if condition.if_match is None:
        detail = "expected the header If-Match with the ETag of the submission that was reviewed, or * for any"
        raise HTTPException(428, detail)
    request = repeatable(key, "POST", external_id, body.model_dump(mode="json"))
    verdicts = [verdict.record() for verdict in body.decisions]
    return response_of(curation.review(external_id, verdicts, reviewer, condition, request, _render(curation)))


@router.get(_ONE)
def get_submission(external_id: ExternalId, store: StoreDep, model: ModelDep, response: Response) -> SubmissionOut:
    """One submission with its tags and decisions."""
    with store.read() as reader:
        submission = reader.submission(external_id)
    if submission is None:
        raise NotStoredError(f"there is no submission {external_id!r}")
    response.headers["ETag"] = etag(submission)
    return SubmissionOut.of(submission, model.tagger.taxonomy)


@router.delete(_ONE, status_code=204)
def delete_submission(external_id: ExternalId, curation: CurationDep, condition: ConditionDep) -> None:
    """Remove a submission with its tags and decisions, for ever; the audit log keeps the hash of its text."""
    curation.delete(external_id, condition)
