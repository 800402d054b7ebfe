"""What changes the store. Every change adds its entry to the audit log in the same transaction.

The log never holds a text, a note or metadata: only their hashes, so that deleting a submission deletes its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from nlp.errors import NotStoredError
from service.clock import Jump
from service.store import audit
from service.store.clusterings import ClusteringWriter
from service.store.credentials import CredentialChanges
from service.store.embeddings import EmbeddingWriter
from service.store.jobs import JobWriter
from service.store.reading import Reader, submission_of
from service.store.records import Answer, Draft, Repeatable, State, Submission, Tagging, Verdict
from service.store.tables import AnswerRow, DecisionRow, SubmissionRow, TagRow
from service.store.webhooks import WebhookWriter


class Writer(Reader):
    """Changes, made in one transaction by one writer at a time.

    Args:
        session: has begun, and holds the store's turn to write.
        at: the time of all that is written.
        jumps: of the clock, up to then.
    """

    def __init__(self, session: Session, at: datetime, jumps: Sequence[Jump] = ()) -> None:
        super().__init__(session)
        self._at = at
        self._jumps = jumps

    @property
    def credentials(self) -> CredentialChanges:
        """Changes of keys, users and sessions."""
        return CredentialChanges(self._session, self._at)

    def put(self, draft: Draft, tagging: Tagging | None, *, actor: str) -> Submission:
        """Keep a submission, new or changed. Nothing is written where nothing differs.

        Args:
            draft: what was sent.
            tagging: what the model says of its text; not needed where the stored text is the same.
            actor: who sent it.

        Raises:
            ValueError: the text is new or changed, and there is no tagging.
        """
        row = self._row(draft.external_id)
        if tagging is None and (row is None or row.text != draft.text):
            raise ValueError("a new text needs its tagging")
        if row is None:
            row = SubmissionRow(
                external_id=draft.external_id,
                owner=actor,
                text=draft.text,
                language=draft.language,
                details=dict(draft.metadata or {}),
                created=self._at,
                revision=1,
                version=0,
                tags=[],
                decisions=[],
            )
            self._session.add(row)
            action = "submission.create"
        else:
            if not _differs(row, draft) and tagging is None:
                return submission_of(row)
            action = "submission.update"
            row.details = row.details if draft.metadata is None else dict(draft.metadata)
            row.language = draft.language or row.language
            if row.text != draft.text:
                action = "submission.revise"
                row.text = draft.text
                row.revision += 1
                for decision in row.decisions:
                    decision.state = State.STALE.value
        row.updated = self._at
        row.version += 1
        if tagging is not None:
            self._tag(row, tagging)
        self._session.flush()
        self.log(
            actor,
            action,
            external_id=row.external_id,
            revision=row.revision,
            version=row.version,
            text_sha256=audit.sha256_of_text(row.text),
            metadata_sha256=audit.sha256_of_text(audit.canonical(row.details)),
            language=row.language,
            model=row.model,
            tags=[f"{tag.level}:{tag.label}" for tag in row.tags],
        )
        return submission_of(row)

    def decide(self, external_id: str, verdicts: Sequence[Verdict], *, reviewer: str) -> Submission:
        """Keep a reviewer's decisions on the present text; a later decision on a label takes the place of an earlier.

        Raises:
            NotStoredError: there is no such submission.
        """
        row = self._present(external_id)
        row.version += 1
        row.updated = self._at
        for verdict in verdicts:
            for earlier in row.decisions:
                same = (earlier.level, earlier.label) == (verdict.level, verdict.label)
                if same and earlier.state == State.LIVE.value:
                    earlier.state = State.SUPERSEDED.value
            row.decisions.append(
                DecisionRow(
                    revision=row.revision,
                    level=verdict.level,
                    label=verdict.label,
                    action=verdict.action.value,
                    reviewer=reviewer,
                    at=self._at,
                    note=verdict.note,
                    state=State.LIVE.value,
                )
            )
            self._session.flush()
            self.log(
                reviewer,
                f"review.{verdict.action.value}",
                external_id=external_id,
                revision=row.revision,
                version=row.version,
                text_sha256=audit.sha256_of_text(row.text),
                level=verdict.level,
                label=verdict.label,
                note_sha256=audit.sha256_of_text(verdict.note) if verdict.note else None,
            )
        return submission_of(row)

    def delete(self, external_id: str, *, actor: str) -> None:
        """Remove a submission with its tags, decisions and kept answers; the log keeps the hash of its text.

        Raises:
            NotStoredError: there is no such submission.
        """
        row = self._present(external_id)
        self._session.execute(delete(AnswerRow).where(AnswerRow.external_id == external_id))
        self._session.delete(row)
        self._session.flush()
        self.log(
            actor,
            "submission.delete",
            external_id=external_id,
            revision=row.revision,
            version=row.version,
            text_sha256=audit.sha256_of_text(row.text),
        )

    def keep_answer(self, request: Repeatable | None, external_id: str, answer: Answer) -> None:
        """Keep the answer to a request that may come again."""
        if request is not None:
            self._session.add(
                AnswerRow(
                    key=request.key,
                    fingerprint=request.fingerprint,
                    external_id=external_id,
                    created=self._at,
                    status=answer.status,
                    headers=dict(answer.headers),
                    body=answer.body,
                )
            )

    def lived(self, age: timedelta) -> timedelta:
        """How old by the clock is what was kept for so long: older, where the clock has jumped meanwhile."""
        return sum((jump.by for jump in self._jumps if self._at - age < jump.to <= self._at), age)

    def forget_answers(self, age: timedelta) -> None:
        """Remove kept answers that are older."""
        self._session.execute(delete(AnswerRow).where(AnswerRow.created < self._at - self.lived(age)))

    @property
    def jobs(self) -> JobWriter:
        """What changes jobs."""
        return JobWriter(self._session, self._at)

    @property
    def clusterings(self) -> ClusteringWriter:
        """What changes clusterings."""
        return ClusteringWriter(self._session, self._at)

    @property
    def webhooks(self) -> WebhookWriter:
        """What changes webhooks and their deliveries."""
        return WebhookWriter(self._session, self._at)

    @property
    def embeddings(self) -> EmbeddingWriter:
        """What changes embeddings."""
        return EmbeddingWriter(self._session)

    def log(self, actor: str, action: str, **payload: object) -> int:
        """Add an entry to the audit log, and give its number; it must hold no words of a text, only their hashes."""
        return audit.append(self._session, at=self._at, actor=actor, action=action, payload=payload)

    def _tag(self, row: SubmissionRow, tagging: Tagging) -> None:
        row.tags.clear()
        # The old tags leave before the new ones come: the same label may be among both.
        self._session.add(row)
        row.model, row.needs_review, row.problem = tagging.model, tagging.needs_review, tagging.problem
        self._session.flush()
        for level, tags in tagging.tags.items():
            row.tags += [
                TagRow(
                    level=level,
                    label=tag.id,
                    score=tag.score,
                    evidence=[
                        {"start": one.span.start, "end": one.span.end, "score": one.score} for one in tag.evidence or ()
                    ],
                    sections=None
                    if tag.sections is None
                    else [{**place.to_dict(), "score": place.score} for place in tag.sections],
                    model=tagging.model,
                )
                for tag in tags
            ]

    def _present(self, external_id: str) -> SubmissionRow:
        row = self._row(external_id)
        if row is None:
            raise NotStoredError(f"there is no submission {external_id!r}")
        return row


def _differs(row: SubmissionRow, draft: Draft) -> bool:
    return (
        row.text != draft.text
        or (draft.metadata is not None and row.details != dict(draft.metadata))
        or (draft.language is not None and row.language != draft.language)
    )
