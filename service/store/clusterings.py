"""Clusterings in the store: the comments with their places, the tree that is shown, the tree as made, and the edits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, or_, select, update
from sqlalchemy.orm import Session

from nlp.errors import NotStoredError
from service.store.records import (
    CommentFilters,
    EditEntry,
    JobState,
    Page,
    StoredClustering,
    StoredComment,
)
from service.store.tables import AnswerRow, ClusteringCommentRow, ClusteringEditRow, ClusteringRow

_ROWS = 500


class Clusterings:
    """What is asked of clusterings.

    Args:
        session: of one transaction.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, clustering_id: str) -> StoredClustering:
        """A clustering.

        Raises:
            NotStoredError: there is none with this id.
        """
        return _clustering_of(self._row(clustering_id))

    def page(self, *, after: int, limit: int) -> Page[StoredClustering]:
        """Clusterings in the order in which they came."""
        query = select(ClusteringRow).where(ClusteringRow.key > after).order_by(ClusteringRow.key).limit(limit + 1)
        found = [_clustering_of(row) for row in self._session.scalars(query)]
        return Page(tuple(found[:limit]), found[limit - 1].key if len(found) > limit else None)

    def tree(self, key: int) -> dict[str, Any] | None:
        """The tree that is shown, as plain data without the places of its comments; ``None`` until it is made."""
        return self._session.scalar(select(ClusteringRow.tree).where(ClusteringRow.key == key))

    def made(self, key: int) -> bytes | None:
        """The tree before all edits, as it was given."""
        return self._session.scalar(select(ClusteringRow.made).where(ClusteringRow.key == key))

    def comments(
        self, key: int, filters: CommentFilters | None = None, *, after: int = -1, limit: int | None = None
    ) -> Page[StoredComment]:
        """Comments in the order in which they came.

        Args:
            key: of the clustering.
            filters: which ones.
            after: ``after`` of the page before; -1 for the first.
            limit: at most so many.
        """
        row = ClusteringCommentRow
        query = select(row).where(row.clustering_key == key, row.position > after, *_conditions(filters))
        query = query.order_by(row.position)
        if limit is not None:
            query = query.limit(limit + 1)
        found = [_comment_of(one) for one in self._session.scalars(query.execution_options(yield_per=_ROWS))]
        more = limit is not None and len(found) > limit
        return Page(tuple(found[:limit]), found[limit - 1].position if limit is not None and more else None)

    def edits(self, key: int) -> tuple[EditEntry, ...]:
        """All that was edited and undone, in order."""
        query = select(ClusteringEditRow).where(ClusteringEditRow.clustering_key == key)
        rows = self._session.scalars(query.order_by(ClusteringEditRow.number)).all()
        undone = {row.undoes for row in rows}
        return tuple(
            EditEntry(
                row.number, row.at, row.actor, row.edit, row.undoes, row.edit is not None and row.number not in undone
            )
            for row in rows
        )

    def _row(self, clustering_id: str) -> ClusteringRow:
        row = self._session.scalars(select(ClusteringRow).where(ClusteringRow.id == clustering_id)).one_or_none()
        if row is None:
            raise NotStoredError(f"there is no clustering {clustering_id!r}")
        return row


class ClusteringWriter(Clusterings):
    """What changes clusterings.

    Args:
        session: has begun, and holds the store's turn to write.
        at: the time of all that is written.
    """

    def __init__(self, session: Session, at: datetime) -> None:
        super().__init__(session)
        self._at = at

    def create(
        self,
        clustering_id: str,
        comments: Sequence[StoredComment],
        *,
        owner: str,
        title: str,
        options: Mapping[str, Any],
        left_out: Sequence[str],
        job_id: str | None = None,
    ) -> StoredClustering:
        """Keep the comments of a clustering that is to be made.

        Args:
            clustering_id: new.
            comments: with ids that differ.
            owner: who sent them.
            title: of the consultation.
            options: as plain data.
            left_out: what is said of the rows that cannot be read.
            job_id: of the job that will make it.
        """
        row = ClusteringRow(
            id=clustering_id,
            owner=owner,
            title=title,
            state=JobState.QUEUED.value,
            job_id=job_id,
            options=dict(options),
            left_out=list(left_out),
            created=self._at,
            updated=self._at,
            version=0,
            total=len(comments),
            masked={},
            model="",
        )
        self._session.add(row)
        self._session.flush()
        self._add(row.key, comments)
        return _clustering_of(row)

    def keep(
        self,
        clustering_id: str,
        *,
        tree: Mapping[str, Any],
        made: bytes | None,
        changed: Iterable[StoredComment],
        added: Sequence[StoredComment] = (),
        masked: Mapping[str, int],
        model: str,
    ) -> StoredClustering:
        """Keep a tree that was made or changed.

        Args:
            clustering_id: of the clustering.
            tree: to be shown, as plain data without the places of its comments.
            made: the tree before all edits; ``None`` leaves what is there.
            changed: comments of which anything is new, by position.
            added: comments that joined.
            masked: places that were masked in all of them.
            model: that read the texts.

        Raises:
            NotStoredError: the clustering was removed meanwhile.
        """
        row = self._row(clustering_id)
        row.tree, row.state, row.problem = dict(tree), JobState.FINISHED.value, None
        row.masked, row.model, row.updated, row.version = dict(masked), model, self._at, row.version + 1
        if made is not None:
            row.made = made
        self._session.flush()
        some = [{"clustering_key": row.key, **_columns(comment)} for comment in changed]
        if some:
            self._session.execute(update(ClusteringCommentRow), some)
        self._add(row.key, added)
        row.total += len(added)
        self._session.flush()
        return _clustering_of(row)

    def note_edit(self, key: int, *, actor: str, edit: Mapping[str, Any] | None, undoes: int | None = None) -> int:
        """Add an entry to the list of edits, and give its number."""
        number = len(self.edits(key)) + 1
        row = ClusteringEditRow(
            clustering_key=key,
            number=number,
            at=self._at,
            actor=actor,
            edit=None if edit is None else dict(edit),
            undoes=undoes,
        )
        self._session.add(row)
        self._session.flush()
        return number

    def delete(self, clustering_id: str) -> None:
        """Remove a clustering with its comments, its edits and the kept answers that show them.

        Raises:
            NotStoredError: there is none with this id.
        """
        row = self._row(clustering_id)
        self._session.execute(delete(AnswerRow).where(AnswerRow.external_id == answer_name(clustering_id)))
        self._session.execute(delete(ClusteringRow).where(ClusteringRow.key == row.key))
        self._session.flush()

    def forget(self, age: timedelta) -> int:
        """Remove clusterings that were never made, and whose jobs ended longer ago; gives how many."""
        ended = (JobState.FAILED.value, JobState.CANCELLED.value)
        old = delete(ClusteringRow).where(ClusteringRow.state.in_(ended), ClusteringRow.updated < self._at - age)
        return len(self._session.scalars(old.returning(ClusteringRow.key)).all())

    def _add(self, key: int, comments: Sequence[StoredComment]) -> None:
        for start in range(0, len(comments), _ROWS):
            rows = [{"clustering_key": key, **_columns(comment)} for comment in comments[start : start + _ROWS]]
            self._session.execute(insert(ClusteringCommentRow), rows)


def answer_name(clustering_id: str) -> str:
    """What kept answers about a clustering are about; no submission has such an id."""
    return f"clustering\x1f{clustering_id}"


def _columns(comment: StoredComment) -> dict[str, Any]:
    place = comment.place or {}
    return {
        "position": comment.position,
        "comment_id": comment.id,
        "text": comment.text,
        "attributes": dict(comment.attributes),
        "flags": list(comment.flags),
        "tags": dict(comment.tags),
        **{name: place.get(name) for name in ("topic", "subtopic", "campaign", "minority")},
        "place": None if comment.place is None else dict(comment.place),
    }


def _comment_of(row: ClusteringCommentRow) -> StoredComment:
    return StoredComment(row.position, row.comment_id, row.text, row.attributes, tuple(row.flags), row.tags, row.place)


def _clustering_of(row: ClusteringRow) -> StoredClustering:
    return StoredClustering(
        key=row.key,
        id=row.id,
        owner=row.owner,
        title=row.title,
        state=JobState(row.state),
        job_id=row.job_id,
        problem=row.problem,
        options=row.options,
        left_out=tuple(row.left_out),
        created=row.created,
        updated=row.updated,
        version=row.version,
        total=row.total,
        masked=row.masked,
        model=row.model,
    )


def _conditions(filters: CommentFilters | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters is None:
        return found
    row = ClusteringCommentRow
    if filters.topic is not None:
        found.append(or_(row.topic == filters.topic, row.subtopic == filters.topic))
    if filters.campaign is not None:
        found.append(row.campaign == filters.campaign)
    if filters.minority is not None:
        found.append(row.minority == filters.minority)
    for name, value in filters.attributes:
        found.append(row.attributes[name].as_string() == value)
    return found
