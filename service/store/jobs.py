"""Jobs in the store: parts of them are taken by workers, and each item is answered once.

A worker renews its lease of a part while it works on it. ``turn`` fences: a worker that was thought dead, and comes
back, finds that the turn has passed, and nothing that it says of the job is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from nlp.errors import JobError, NotStoredError
from service.store.records import Job, JobItem, JobKind, JobPart, JobState, JobStep
from service.store.tables import ClusteringCommentRow, ClusteringRow, JobItemRow, JobRow

# A job of which so many parts in a row were lost with their workers fails: its texts may be what kills them.
MOST_LOSSES = 5

_OPEN = (JobState.QUEUED.value, JobState.RUNNING.value)


def _waiting(kind: JobKind) -> tuple[ColumnElement[bool], ...]:
    return JobRow.state.in_(_OPEN), JobRow.taken.is_(False), JobRow.kind == kind.value


class Jobs:
    """What is asked of jobs.

    Args:
        session: of one transaction.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, job_id: str) -> Job:
        """A job.

        Raises:
            NotStoredError: there is none with this id.
        """
        return _job_of(self._row(job_id))

    def answers(self, job_id: str, *, after: int, limit: int) -> list[JobItem]:
        """Items that are answered, in order.

        Args:
            job_id: of the job.
            after: position of the last one that is known; -1 for none.
            limit: at most so many.
        """
        rows = self._session.scalars(
            select(JobItemRow)
            .where(JobItemRow.job_id == job_id, JobItemRow.position > after, JobItemRow.answer.is_not(None))
            .order_by(JobItemRow.position)
            .limit(limit)
        )
        return [_item_of(row) for row in rows]

    def open(self) -> int:
        """How many jobs have not ended."""
        return self._session.scalar(select(func.count()).where(JobRow.state.in_(_OPEN))) or 0

    def waiting(self, kind: JobKind = JobKind.CLASSIFY) -> int:
        """How many jobs of a kind have a part that no worker has taken."""
        return self._session.scalar(select(func.count()).where(*_waiting(kind))) or 0

    def find(self, job_id: str | None) -> Job | None:
        """A job, or ``None``: it may have been removed."""
        row = None if job_id is None else self._session.get(JobRow, job_id)
        return None if row is None else _job_of(row)

    def _row(self, job_id: str) -> JobRow:
        row = self._session.get(JobRow, job_id)
        if row is None:
            raise NotStoredError(f"there is no job {job_id!r}")
        return row


class JobWriter(Jobs):
    """What changes jobs.

    Args:
        session: has begun, and holds the store's turn to write.
        at: the time of all that is written.
    """

    def __init__(self, session: Session, at: datetime) -> None:
        super().__init__(session)
        self._at = at

    def create(
        self,
        job_id: str,
        items: Iterable[tuple[str, str | None, str | None]],
        options: Mapping[str, Any],
        *,
        owner: str,
        kind: JobKind = JobKind.CLASSIFY,
        total: int | None = None,
    ) -> Job:
        """Keep a new job.

        Args:
            job_id: new.
            items: id, text and answer of each, as in :class:`~service.store.records.JobItem`; those that cannot be
                tagged are answered already.
            options: of the tagger.
            owner: who sent it.
            kind: what it does.
            total: of what it works on, where that is not its items.
        """
        rows = [
            JobItemRow(job_id=job_id, position=position, item_id=item_id, text=text, answer=answer)
            for position, (item_id, text, answer) in enumerate(items)
        ]
        refused = sum(row.answer is not None for row in rows)
        row = JobRow(
            id=job_id,
            owner=owner,
            state=JobState.QUEUED.value,
            options=dict(options),
            created=self._at,
            updated=self._at,
            total=len(rows) if total is None else total,
            done=refused,
            failed=refused,
            turn=0,
            taken=False,
            losses=0,
            due=self._at,
            kind=kind.value,
            steps=[],
            share=0.0,
        )
        self._session.add(row)
        self._session.flush()
        self._session.add_all(rows)
        self._session.flush()
        return _job_of(row)

    def take(self, *, lease: timedelta, most_items: int, most_characters: int) -> JobPart | None:
        """Take the next part of the job that has waited longest; ``None`` if none waits.

        Args:
            lease: how long the part is the worker's own, unless it is renewed.
            most_items: of the part.
            most_characters: after which it takes no further item.
        """
        row = self._next(JobKind.CLASSIFY, lease)
        if row is None:
            return None
        waiting = self._session.scalars(
            select(JobItemRow)
            .where(JobItemRow.job_id == row.id, JobItemRow.answer.is_(None))
            .order_by(JobItemRow.position)
            .limit(most_items)
        )
        items: list[JobItem] = []
        characters = 0
        for item in map(_item_of, waiting):
            characters += len(item.text or "")
            if items and characters > most_characters:
                break
            items.append(item)
        return JobPart(_job_of(row), tuple(items))

    def take_whole(self, *, lease: timedelta) -> Job | None:
        """Take the clustering that has waited longest; ``None`` if none waits. Whoever takes it begins anew.

        Args:
            lease: how long it is the worker's own, unless it is renewed.
        """
        row = self._next(JobKind.CLUSTER, lease)
        if row is None:
            return None
        row.steps, row.share, row.done, row.updated = [], 0.0, 0, self._at
        self._session.execute(
            update(ClusteringRow).where(ClusteringRow.job_id == row.id).values(state=row.state, updated=self._at)
        )
        self._session.flush()
        return _job_of(row)

    def report(self, job_id: str, turn: int, steps: Sequence[str], share: float, *, lease: timedelta) -> bool:
        """Say how far a clustering is, and keep it; false if the turn has passed, or the job has ended.

        Args:
            job_id: of the job.
            turn: in which it was taken.
            steps: names of all that have begun.
            share: of the work that lies behind.
            lease: how long from now it is the worker's own.
        """
        row = self._held(job_id, turn)
        if row is None:
            return False
        new = [{"name": name, "at": self._at.isoformat()} for name in steps[len(row.steps) :]]
        row.steps, row.share, row.due = [*row.steps, *new], share, self._at + lease
        return True

    def give_back(self, job_id: str, turn: int) -> None:
        """Let another worker have a clustering that was not finished; this is no loss."""
        row = self._held(job_id, turn)
        if row is not None:
            row.taken, row.turn, row.updated, row.due = False, turn + 1, self._at, row.created

    def finish(self, job_id: str, turn: int, *, model: str) -> Job | None:
        """End a clustering that is made; ``None`` if the turn has passed.

        Args:
            job_id: of the job.
            turn: in which it was taken.
            model: that read the texts.
        """
        row = self._held(job_id, turn)
        if row is None:
            return None
        row.model, row.share, row.done = model, 1.0, row.total
        self._end(row, JobState.FINISHED)
        return _job_of(row)

    def renew(self, job_id: str, turn: int, *, lease: timedelta) -> bool:
        """Keep a part that is worked on; false if the turn has passed, or the job has ended.

        Args:
            job_id: of the job.
            turn: in which the part was taken.
            lease: how long from now the part is the worker's own.
        """
        row = self._held(job_id, turn)
        if row is not None:
            row.due = self._at + lease
        return row is not None

    def record(self, job_id: str, turn: int, answers: Sequence[tuple[int, str, bool]], *, model: str) -> Job | None:
        """Keep the answers of a part, and end the job if they were the last; ``None`` if the turn has passed.

        Args:
            job_id: of the job.
            turn: in which the part was taken.
            answers: position, answer and whether it is a problem, for every item of the part.
            model: that gave them.
        """
        row = self._held(job_id, turn)
        if row is None:
            return None
        for position, answer, _ in answers:
            self._session.execute(
                update(JobItemRow)
                .where(JobItemRow.job_id == job_id, JobItemRow.position == position)
                .values(answer=answer, text=None)
            )
        row.done += len(answers)
        row.failed += sum(failed for _, _, failed in answers)
        row.model = model
        row.turn += 1
        row.taken = False
        row.updated = row.due = self._at
        row.losses = 0
        if row.done == row.total:
            self._end(row, JobState.FINISHED)
        self._session.flush()
        return _job_of(row)

    def reclaim(self) -> list[Job]:
        """Take back the parts whose leases were not renewed; gives their jobs.

        They go before those that wait already. A job whose parts are lost again and again fails.
        """
        lost = (JobRow.state.in_(_OPEN), JobRow.taken.is_(True), JobRow.due < self._at)
        rows = self._session.scalars(select(JobRow).where(*lost)).all()
        for row in rows:
            row.losses += 1
            row.turn += 1
            row.taken = False
            row.updated, row.due = self._at, row.created
            if row.losses >= MOST_LOSSES:
                place = f"the step {row.steps[-1]['name']}" if row.steps else f"the items after the first {row.done}"
                row.problem = (
                    f"{row.losses} workers in a row were lost at {place}; the log of the service has the details"
                )
                self._end(row, JobState.FAILED)
        self._session.flush()
        return [_job_of(row) for row in rows]

    def fail(self, job_id: str, turn: int, problem: str) -> Job | None:
        """End a job that cannot go on; ``None`` if the turn has passed.

        Args:
            job_id: of the job.
            turn: in which the part was taken.
            problem: why.
        """
        row = self._held(job_id, turn)
        if row is None:
            return None
        row.problem = problem
        self._end(row, JobState.FAILED)
        return _job_of(row)

    def cancel(self, job_id: str) -> Job:
        """End a job as its sender wishes; what is done stays.

        Raises:
            NotStoredError: there is none with this id.
            JobError: it has ended otherwise.
        """
        row = self._row(job_id)
        if row.state in _OPEN:
            self._end(row, JobState.CANCELLED)
        elif row.state != JobState.CANCELLED.value:
            raise JobError(f"the job is {row.state}", expected="one that is queued or running")
        return _job_of(row)

    def delete(self, job_id: str) -> None:
        """Remove a job with its texts and answers, whatever its state.

        Raises:
            NotStoredError: there is none with this id.
        """
        row = self._row(job_id)
        if row.kind == JobKind.CLUSTER.value and row.state in _OPEN:
            self._end(row, JobState.CANCELLED)
        self._session.delete(row)
        self._session.flush()

    def forget(self, age: timedelta) -> int:
        """Remove jobs that ended longer ago; gives how many."""
        old = delete(JobRow).where(JobRow.state.not_in(_OPEN), JobRow.updated < self._at - age)
        return len(self._session.scalars(old.returning(JobRow.id)).all())

    def _next(self, kind: JobKind, lease: timedelta) -> JobRow | None:
        query = select(JobRow).where(*_waiting(kind)).order_by(JobRow.due, JobRow.id).limit(1)
        row = self._session.scalars(query).first()
        if row is not None:
            row.state, row.taken, row.due = JobState.RUNNING.value, True, self._at + lease
        return row

    def _held(self, job_id: str, turn: int) -> JobRow | None:
        row = self._session.get(JobRow, job_id)
        return row if row is not None and row.state in _OPEN and row.turn == turn and row.taken else None

    def _end(self, row: JobRow, state: JobState) -> None:
        row.state = state.value
        row.updated = row.finished = self._at
        row.taken = False
        # What is not done will not be: its words go.
        self._session.execute(
            update(JobItemRow).where(JobItemRow.job_id == row.id, JobItemRow.answer.is_(None)).values(text=None)
        )
        if row.kind == JobKind.CLUSTER.value and state is not JobState.FINISHED:
            mine = ClusteringRow.job_id == row.id
            self._session.execute(
                update(ClusteringRow)
                .where(mine)
                .values(state=state.value, problem=row.problem, updated=self._at, version=ClusteringRow.version + 1)
            )
            keys = select(ClusteringRow.key).where(mine)
            self._session.execute(delete(ClusteringCommentRow).where(ClusteringCommentRow.clustering_key.in_(keys)))
        self._session.flush()


def _item_of(row: JobItemRow) -> JobItem:
    return JobItem(row.position, row.item_id, row.text, row.answer)


def _job_of(row: JobRow) -> Job:
    return Job(
        id=row.id,
        owner=row.owner,
        state=JobState(row.state),
        options=row.options,
        created=row.created,
        updated=row.updated,
        finished=row.finished,
        total=row.total,
        done=row.done,
        failed=row.failed,
        model=row.model,
        problem=row.problem,
        turn=row.turn,
        kind=JobKind(row.kind),
        steps=tuple(JobStep(step["name"], datetime.fromisoformat(step["at"])) for step in row.steps),
        share=row.share,
    )
