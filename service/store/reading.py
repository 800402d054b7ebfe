"""What is asked of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select
from sqlalchemy.orm import Session

from nlp.errors import RepeatError
from nlp.records import Evidence, Place, Section, Span, Tag
from service.store import audit
from service.store.clusterings import Clusterings
from service.store.credentials import Credentials
from service.store.embeddings import Embeddings
from service.store.jobs import Jobs
from service.store.records import (
    Action,
    Answer,
    ChainReport,
    Decision,
    Filters,
    Item,
    Page,
    Repeatable,
    State,
    Submission,
    Tagging,
    Verdict,
)
from service.store.tables import AnswerRow, DecisionRow, SubmissionRow, TagRow
from service.store.webhooks import Webhooks


class Reader:
    """Questions, answered from one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def submission(self, external_id: str) -> Submission | None:
        """One submission, or ``None``."""
        row = self._row(external_id)
        return None if row is None else submission_of(row)

    def submissions(self, filters: Filters, *, after: int = 0, limit: int) -> Page[Submission]:
        """Submissions in the order in which they first came.

        A row that is added while a caller turns the pages comes at their end; none is left out or given twice.

        Args:
            filters: which ones.
            after: ``after`` of the page before.
            limit: at most so many.
        """
        query = select(SubmissionRow).where(SubmissionRow.id > after, *_conditions(filters))
        rows = self._session.scalars(query.order_by(SubmissionRow.id).limit(limit + 1)).all()
        return _page([submission_of(row) for row in rows], [row.id for row in rows], limit)

    def decisions(self, *, reviewer: str | None = None, after: int = 0, limit: int) -> Page[Decision]:
        """Decisions in the order in which they were made, with those that no longer count."""
        query: Select[DecisionRow, str] = (
            select(DecisionRow, SubmissionRow.external_id)
            .join(SubmissionRow, DecisionRow.submission_id == SubmissionRow.id)
            .where(DecisionRow.id > after)
        )
        if reviewer is not None:
            query = query.where(DecisionRow.reviewer == reviewer)
        rows = self._session.execute(query.order_by(DecisionRow.id).limit(limit + 1)).all()
        found = [_decision_of(row, external_id) for row, external_id in rows]
        return _page(found, [decision.sequence for decision in found], limit)

    def answer(self, request: Repeatable | None) -> Answer | None:
        """The answer that this request had before, if it came before.

        Raises:
            RepeatError: the key was used for another request.
        """
        row = None if request is None else self._session.get(AnswerRow, request.key)
        if request is None or row is None:
            return None
        if row.fingerprint != request.fingerprint:
            raise RepeatError(
                f"the Idempotency-Key {request.key!r} was used for another request",
                expected="the same method, address and body",
                remedy="use a new key for a new request",
            )
        return Answer(row.status, row.headers, row.body)

    @property
    def credentials(self) -> Credentials:
        """Questions about keys, users and sessions."""
        return Credentials(self._session)

    @property
    def jobs(self) -> Jobs:
        """What is asked of jobs."""
        return Jobs(self._session)

    @property
    def clusterings(self) -> Clusterings:
        """What is asked of clusterings."""
        return Clusterings(self._session)

    @property
    def webhooks(self) -> Webhooks:
        """What is asked of webhooks."""
        return Webhooks(self._session)

    @property
    def embeddings(self) -> Embeddings:
        """What is asked of embeddings."""
        return Embeddings(self._session)

    def audit_length(self) -> int:
        """See :func:`service.store.audit.length`."""
        return audit.length(self._session)

    def audit_actions(self, after: int) -> list[tuple[int, str]]:
        """See :func:`service.store.audit.actions`."""
        return audit.actions(self._session, after)

    def verify_audit(self, noted: str | None = None) -> ChainReport:
        """See :func:`service.store.audit.verify`."""
        return audit.verify(self._session, noted)

    def _row(self, external_id: str) -> SubmissionRow | None:
        query = select(SubmissionRow).where(SubmissionRow.external_id == external_id)
        return self._session.scalars(query).one_or_none()


def submission_of(row: SubmissionRow) -> Submission:
    """The record that a row is."""
    tags: dict[str, list[Tag]] = {}
    for tag in row.tags:
        evidence = tuple(Evidence(Span(one["start"], one["end"]), one["score"]) for one in tag.evidence)
        sections = None if tag.sections is None else tuple(_place_of(one) for one in tag.sections)
        tags.setdefault(tag.level, []).append(Tag(tag.label, tag.score, evidence, sections))
    return Submission(
        key=row.id,
        external_id=row.external_id,
        owner=row.owner,
        text=row.text,
        language=row.language,
        metadata=row.details,
        created=row.created,
        updated=row.updated,
        revision=row.revision,
        version=row.version,
        tagging=Tagging(
            row.model, {level: tuple(found) for level, found in tags.items()}, row.needs_review, row.problem
        ),
        decisions=tuple(_decision_of(decision, row.external_id) for decision in row.decisions),
    )


def _place_of(kept: Mapping[str, Any]) -> Place:
    span = Span(kept["start"], kept["end"])
    return Place(Section(span, kept.get("heading"), kept.get("page")), kept["score"])


def _decision_of(row: DecisionRow, external_id: str) -> Decision:
    return Decision(
        sequence=row.id,
        external_id=external_id,
        revision=row.revision,
        verdict=Verdict(row.level, row.label, Action(row.action), row.note),
        reviewer=row.reviewer,
        at=row.at,
        state=State(row.state),
    )


def _page(items: list[Item], places: list[int], limit: int) -> Page[Item]:
    return Page(tuple(items[:limit]), places[limit - 1] if len(items) > limit else None)


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.needs_review is not None:
        found.append(SubmissionRow.needs_review == filters.needs_review)
    if filters.decided:
        found.append(exists().where(_live()))
    if filters.updated_since is not None:
        found.append(SubmissionRow.updated >= filters.updated_since)
    if filters.reviewed is not None:
        undecided = exists().where(
            TagRow.submission_id == SubmissionRow.id,
            ~exists()
            .where(
                _live(),
                DecisionRow.level == TagRow.level,
                DecisionRow.label == TagRow.label,
            )
            .correlate(SubmissionRow, TagRow),
        )
        reviewed = and_(exists().where(_live()), ~undecided)
        found.append(reviewed if filters.reviewed else ~reviewed)
    return found + [_has(level, label) for level, label in filters.labels]


def _live() -> ColumnElement[bool]:
    return and_(DecisionRow.submission_id == SubmissionRow.id, DecisionRow.state == State.LIVE.value)


def _has(level: str, label: str) -> ColumnElement[bool]:
    """The model gave the label and nobody rejected it, or a reviewer added it."""
    decided = and_(_live(), DecisionRow.level == level, DecisionRow.label == label)
    given = exists().where(TagRow.submission_id == SubmissionRow.id, TagRow.level == level, TagRow.label == label)
    rejected = exists().where(decided, DecisionRow.action == Action.REJECT.value)
    accepted = exists().where(decided, DecisionRow.action.in_([Action.CONFIRM.value, Action.ADD.value]))
    return or_(accepted, and_(given, ~rejected))
