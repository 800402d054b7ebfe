"""What curators do with submissions: the model tags them, the store keeps them, reviewers decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from models.tagger import Options
from nlp.errors import ForbiddenError, MusannifError, NotStoredError, OverloadError, ReadingError, RepeatError
from nlp.records import Classification, Document, Failure
from nlp.taxonomy import Taxonomy
from service.callers import OPEN_CALLER, Caller, CallerDep
from service.clock import Clock
from service.dependencies import ClockDep, ModelDep, SettingsDep, StoreDep
from service.model import Model
from service.preconditions import Condition, replayed
from service.settling import check_verdicts, settled_labels
from service.store import Store
from service.store.records import Answer, Draft, Repeatable, Scope, Submission, Tagging, Verdict

Render = Callable[[Submission, bool], Answer]
Outcome = Answer | MusannifError

# Submissions of one request that go to the model together, and are written before the next.
_TOGETHER = 16


@dataclass(frozen=True)
class Write:
    """A submission that is to be kept.

    Attributes:
        draft: what was sent.
        condition: under which it is wanted.
        mark: of the request, if it may come twice.
    """

    draft: Draft
    condition: Condition
    mark: Repeatable | None


@dataclass(frozen=True)
class Curation:
    """Composes the model, the store and the clock.

    Attributes:
        model: tags texts.
        store: keeps them.
        clock: dates what is written.
        request: at hand; its texts are dropped if its client goes.
        caller: who asks.
        most_characters: longer texts are refused.
        remembered: how long answers to repeatable requests are kept.
    """

    model: Model
    store: Store
    clock: Clock
    request: Request
    caller: Caller
    most_characters: int
    remembered: timedelta

    @property
    def taxonomy(self) -> Taxonomy:
        """The labels of the model."""
        return self.model.tagger.taxonomy

    async def put(self, writes: Sequence[Write], render: Render) -> list[Outcome]:
        """Keep submissions, new or changed; their texts are tagged where they are new, in turn with all other texts.

        Nobody waits for the database while the model works: texts are tagged first, and written after.

        Args:
            writes: each is kept or refused for itself.
            render: makes the answer from the submission and whether it is new.

        Returns:
            The answer to each, in order, or why nothing of it was changed: nobody can tag its text, its condition is
            not met, it is another sender's, or the model has too much to do.

        Raises:
            ClientDisconnect: the client has gone.
            RepeatError: the key was used for another request.
        """
        outcomes: list[Outcome] = []
        while len(outcomes) < len(writes):
            outcomes += await self._put(writes[len(outcomes) :][:_TOGETHER], render)
            overloads = [outcome for outcome in outcomes if isinstance(outcome, OverloadError)]
            if overloads:
                outcomes += overloads[:1] * (len(writes) - len(outcomes))
        return outcomes

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
            writer.delete(external_id, actor=self.caller.actor)
        self.store.empty_log()

    async def _put(self, writes: Sequence[Write], render: Render) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        tagged: dict[int, _Tagged | MusannifError] = {}

        def untagged() -> list[int]:
            return [place for place, write in enumerate(writes) if self._is_untagged(write)]

        def written() -> list[int]:
            for place, write in enumerate(writes):
                if place not in outcomes and (outcome := self._written(write, tagged.get(place), render)):
                    outcomes[place] = outcome
            return [place for place in range(len(writes)) if place not in outcomes]

        waiting = await run_in_threadpool(untagged)
        while len(outcomes) < len(writes):
            found = await self._tag([writes[place].draft for place in waiting])
            tagged |= zip(waiting, found, strict=True)
            waiting = await run_in_threadpool(written)
        return [outcomes[place] for place in range(len(writes))]

    def _is_untagged(self, write: Write) -> bool:
        """Whether the model has to read a text. What is refused, it need not; the writing says why."""
        try:
            with self.store.read() as reader:
                if reader.answer(write.mark):
                    return False
                existing = reader.submission(write.draft.external_id)
            self._check(existing, write.condition)
        except RepeatError:
            raise
        except MusannifError:
            return False
        return _needs_tags(existing, write.draft)

    def _written(self, write: Write, tagged: _Tagged | MusannifError | None, render: Render) -> Outcome | None:
        """What became of a write; nothing if the stored text was changed by another hand since, and needs tags now."""
        if isinstance(tagged, MusannifError):
            return tagged
        draft = write.draft
        try:
            with self.store.write(self.clock()) as writer:
                if answer := writer.answer(write.mark):
                    return replayed(answer)
                existing = writer.submission(draft.external_id)
                self._check(existing, write.condition)
                needed = _needs_tags(existing, draft)
                if needed and tagged is None:
                    return None
                if existing is None and draft.language is None:
                    draft = replace(draft, language=_language_of(draft.text))
                if needed and tagged:
                    kept = writer.put(draft, tagged.tagging, actor=self.caller.actor)
                    writer.embeddings.put(kept.key, draft.text, tagged.embedding, tagged.tagging.model)
                else:
                    kept = writer.put(draft, None, actor=self.caller.actor)
                answer = render(kept, existing is None)
                writer.forget_answers(self.remembered)
                writer.keep_answer(write.mark, draft.external_id, answer)
                return answer
        except MusannifError as error:
            return error

    def _check(self, existing: Submission | None, condition: Condition) -> None:
        # What came while access was open is nobody's.
        senders = (self.caller.actor, OPEN_CALLER.actor)
        if existing and existing.owner not in senders and Scope.REVIEW not in self.caller.scopes:
            raise ForbiddenError(
                f"the submission {existing.external_id!r} is another sender's", expected="one of your own"
            )
        condition.check(existing)

    async def _tag(self, drafts: Sequence[Draft]) -> Sequence[_Tagged | MusannifError]:
        """What the model says. A fault of the model is no reason to refuse a text: it is kept, and tagged later."""
        options = Options(evidence=True, embedding=True, most_characters=self.most_characters)
        documents = [Document(draft.external_id, draft.text) for draft in drafts]
        try:
            results = await self.model.classify_for(self.request, documents, options)
        except OverloadError as error:
            return [error] * len(drafts)
        return [_tagged(result, self.model.out.name) for result in results]


@dataclass(frozen=True)
class _Tagged:
    tagging: Tagging
    embedding: tuple[float, ...] | None


def _tagged(result: Classification | Failure, model: str) -> _Tagged | MusannifError:
    if not isinstance(result, Failure):
        return _Tagged(Tagging(model, result.tags, result.needs_review), result.embedding)
    if isinstance(result.error, ReadingError):
        return result.error
    return _Tagged(Tagging(model, {}, True, str(result.error)), None)


def _needs_tags(existing: Submission | None, draft: Draft) -> bool:
    return existing is None or existing.text != draft.text or existing.tagging.problem is not None


def _language_of(text: str) -> str | None:
    """``ar`` where most letters are Arabic; no guess otherwise."""
    letters = [character for character in text if character.isalpha()]
    arabic = sum("\u0600" <= letter <= "\u06ff" or "\ufb50" <= letter <= "\ufefc" for letter in letters)
    return "ar" if 2 * arabic > len(letters) else None


async def _curation(
    request: Request, model: ModelDep, store: StoreDep, clock: ClockDep, caller: CallerDep, settings: SettingsDep
) -> Curation:
    remembered = timedelta(hours=settings.repeat_hours)
    return Curation(model, store, clock, request, caller, settings.most_characters, remembered)


CurationDep = Annotated[Curation, Depends(_curation)]
