"""Embeddings of submissions in the store; they mean something only beside others of the same model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.orm import Session

from service.store.tables import EmbeddingRow, SubmissionRow

_BLOCK = 2000


class Embeddings:
    """What is asked of embeddings.

    Args:
        session: of one transaction.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def of(self, external_id: str, model: str) -> NDArray[np.float32] | None:
        """The embedding of a submission, shape ``(dimension,)``; ``None`` if it has none of this model."""
        vector = self._session.scalar(
            select(EmbeddingRow.vector)
            .join(SubmissionRow, EmbeddingRow.submission_id == SubmissionRow.id)
            .where(SubmissionRow.external_id == external_id, EmbeddingRow.model == model)
        )
        return None if vector is None else np.frombuffer(vector, np.float32)

    def blocks(self, model: str) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """All embeddings of a model, block by block: ids of submissions, and vectors of shape ``(ids, dimension)``."""
        rows = self._session.execute(
            select(SubmissionRow.external_id, EmbeddingRow.vector)
            .join(SubmissionRow, EmbeddingRow.submission_id == SubmissionRow.id)
            .where(EmbeddingRow.model == model)
            .execution_options(yield_per=_BLOCK)
        )
        for block in rows.partitions():
            ids = [row.external_id for row in block]
            yield ids, np.frombuffer(b"".join(row.vector for row in block), np.float32).reshape(len(ids), -1)

    def missing(self, model: str) -> list[int]:
        """Keys of all submissions that have no embedding of this model."""
        return list(self._session.scalars(select(SubmissionRow.id).where(_unembedded(model))))

    def missing_texts(self, model: str, keys: Sequence[int]) -> list[tuple[int, str]]:
        """Keys and texts of those submissions that still have no embedding of this model."""
        query = select(SubmissionRow.id, SubmissionRow.text).where(SubmissionRow.id.in_(keys), _unembedded(model))
        return [(row.id, row.text) for row in self._session.execute(query)]


def _unembedded(model: str) -> ColumnElement[bool]:
    return ~exists().where(EmbeddingRow.submission_id == SubmissionRow.id, EmbeddingRow.model == model)


class EmbeddingWriter(Embeddings):
    """What changes embeddings."""

    def put(self, key: int, text: str, vector: Sequence[float] | None, model: str) -> None:
        """Keep the embedding of a submission; nothing is changed where its text has changed meanwhile.

        Args:
            key: of the submission.
            text: that was embedded.
            vector: shape ``(dimension,)``; ``None`` where the model failed, and only the old one is to go.
            model: that gave it.
        """
        if self._session.scalar(select(SubmissionRow.text).where(SubmissionRow.id == key)) != text:
            return
        self._session.execute(delete(EmbeddingRow).where(EmbeddingRow.submission_id == key))
        if vector is not None:
            row = EmbeddingRow(submission_id=key, model=model, vector=np.asarray(vector, np.float32).tobytes())
            self._session.add(row)
            self._session.flush()
