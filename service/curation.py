"""What curators do with submissions: the model tags them, the store keeps them, reviewers decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated

from fastapi import Depends

from models.tagger import Options
from nlp.errors import NotStoredError, ReadingError
from nlp.records import Document, Failure
from nlp.taxonomy import Taxonomy
from service.callers import CallerDep
from service.clock import Clock
from service.dependencies import ClockDep, ModelDep, SettingsDep, StoreDep
from service.model import Model
from service.preconditions import Condition, replayed
from service.settling import check_verdicts, settled_labels
from service.store import Store
from service.store.records import Answer, Draft, Repeatable, Submission, Tagging, Verdict

Render = Callable[[Submission, bool], Answer]


@dataclass(frozen=True)
class Curation:
    """Composes the model, the store and the clock.

    Attributes:
        model: tags texts.
        store: keeps them.
        clock: dates what is written.
        actor: who asks, for the audit log.
        most_characters: longer texts are refused.
        remembered: how long answers to repeatable requests are kept.
    """

    model: Model
    store: Store
    clock: Clock
    actor: str
    most_characters: int
    remembered: timedelta

    @property
    def taxonomy(self) -> Taxonomy:
        """The labels of the model."""
        return self.model.tagger.taxonomy

    def put(self, draft: Draft, condition: Condition, request: Repeatable | None, render: Render) -> Answer:
        """Keep a submission, new or changed; its text is tagged where it is new.

        Nobody waits for the database while the model works: the text is tagged first, and written after.

        Args:
            draft: what was sent.
            condition: under which it is wanted.
            request: its mark, if it may come twice.
            render: makes the answer from the submission and whether it is new.

        Raises:
            ReadingError: the text cannot be tagged by anyone: it is empty, too long, or no text. Nothing is changed.
            PreconditionError: the condition is not met.
            RepeatError: the key was used for another request.
        """
        tagged: _Tagged | None = None
        while True:
            with self.store.read() as reader:
                if answer := reader.answer(request):
                    return replayed(answer)
                existing = reader.submission(draft.external_id)
            condition.check(existing)
            if tagged is None and _needs_tags(existing, draft):
                tagged = self._tag(draft)
            with self.store.write(self.clock()) as writer:
                if answer := writer.answer(request):
                    return replayed(answer)
                existing = writer.submission(draft.external_id)
                condition.check(existing)
                needed = _needs_tags(existing, draft)
                if needed and tagged is None:
                    continue  # the text was changed by another hand in between
                if existing is None and draft.language is None:
                    draft = replace(draft, language=_language_of(draft.text))
                if needed and tagged:
                    kept = writer.put(draft, tagged.tagging, actor=self.actor)
                    writer.embeddings.put(kept.key, draft.text, tagged.embedding, tagged.tagging.model)
                else:
                    kept = writer.put(draft, None, actor=self.actor)
                answer = render(kept, existing is None)
                writer.forget_answers(self.remembered)
                writer.keep_answer(request, draft.external_id, answer)
                return answer

    def review(
        self,
        external_id: str,
        verdicts: Sequence[Verdict],
        reviewer: str,
        condition: Condition,
        request: Repeatable | None,
        render: Render,
    ) -> Answer:
        """Keep a reviewer's decisions, all of them or none.

        Raises:
            NotStoredError: there is no such submission.
            PreconditionError: it is not as the reviewer last read it.
            ReviewError: the decisions do not fit.
            RepeatError: the key was used for another request.
        """
        with self.store.write(self.clock()) as writer:
            if answer := writer.answer(request):
                return replayed(answer)
            submission = writer.submission(external_id)
            if submission is None:
                raise NotStoredError(f"there is no submission {external_id!r}")
            condition.check(submission)
            check_verdicts(self.taxonomy, submission, verdicts)
            kept = writer.decide(external_id, verdicts, reviewer=reviewer)
            if kept.reviewed and not submission.reviewed:
                settled = settled_labels(self.taxonomy, kept)
                data = {"external_id": external_id, "revision": kept.revision, "settled": settled}
                writer.webhooks.announce("submission.confirmed", data)
            answer = render(kept, False)
            writer.forget_answers(self.remembered)
            writer.keep_answer(request, external_id, answer)
            return answer

    def delete(self, external_id: str, condition: Condition) -> None:
        """Remove a submission and all that was said of it; the audit log keeps the hash of its text.

        Raises:
            NotStoredError: there is no such submission.
            PreconditionError: it is not as the caller last read it.
        """
        with self.store.write(self.clock()) as writer:
            if submission := writer.submission(external_id):
                condition.check(submission)
            writer.delete(external_id, actor=self.actor)
        self.store.empty_log()

    def _tag(self, draft: Draft) -> _Tagged:
        """What the model says. A fault of the model is no reason to refuse a text: it is kept, and tagged later."""
        options = Options(evidence=True, embedding=True, most_characters=self.most_characters)
        (result,) = self.model.classify([Document(draft.external_id, draft.text)], options)
        name = self.model.out.name
        if not isinstance(result, Failure):
            return _Tagged(Tagging(name, result.tags, result.needs_review), result.embedding)
        if isinstance(result.error, ReadingError):
            raise result.error
        return _Tagged(Tagging(name, {}, True, str(result.error)), None)


@dataclass(frozen=True)
class _Tagged:
    tagging: Tagging
    embedding: tuple[float, ...] | None


def _needs_tags(existing: Submission | None, draft: Draft) -> bool:
    return existing is None or existing.text != draft.text or existing.tagging.problem is not None


def _language_of(text: str) -> str | None:
    """``ar`` where most letters are Arabic; no guess otherwise."""
    letters = [character for character in text if character.isalpha()]
    arabic = sum("\u0600" <= letter <= "\u06ff" or "\ufb50" <= letter <= "\ufefc" for letter in letters)
    return "ar" if 2 * arabic > len(letters) else None


def _curation(model: ModelDep, store: StoreDep, clock: ClockDep, caller: CallerDep, settings: SettingsDep) -> Curation:
    remembered = timedelta(hours=settings.repeat_hours)
    return Curation(model, store, clock, caller.actor, settings.most_characters, remembered)


CurationDep = Annotated[Curation, Depends(_curation)]
