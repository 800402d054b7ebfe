"""What goes over the wire about submissions and reviews."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from nlp.taxonomy import Taxonomy
from service.schemas import ProblemOut, TagOut
from service.settling import settled_labels
from service.store.records import Action, Decision, State, Submission, Verdict


def _addressable(external_id: str) -> str:
    if any(part in (".", "..") for part in external_id.split("/")):
        raise ValueError("expected an id without the path segments . and ..: no client can address it")
    return external_id


def _storable(metadata: dict[str, Any] | None) -> dict[str, Any] | None:
    try:
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise ValueError("expected JSON without NaN, lone surrogates or endless depth") from error
    if re.search(r"(?<!\\)(\\\\)*\\u0000", text):
        raise ValueError("expected JSON without NUL characters")
    return metadata


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("expected a time within the years 1 to 9999 of UTC") from error


Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]
ExternalId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"),
    AfterValidator(_addressable),
    Field(description="The sender's id."),
]
Reviewer = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", max_length=35)]


class SubmissionIn(BaseModel):
    """A submission under an id that the address names."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="Raw text.")
    metadata: Annotated[dict[str, Any] | None, AfterValidator(_storable)] = Field(
        default=None, description="Anything of yours; if left out, what is stored stays."
    )
    language: _Language | None = Field(
        default=None, description="A language tag such as ar; if left out, what is stored stays, or is told by script."
    )


class IdentifiedIn(SubmissionIn):
    """A submission with its id."""

    external_id: ExternalId | None = Field(default=None, description="The sender's id; one is made if there is none.")


class SubmissionPost(BaseModel):
    """One submission, or many."""

    model_config = ConfigDict(extra="forbid")

    external_id: Any = None
    text: Any = None
    metadata: Any = None
    language: Any = None
    items: list[Any] | None = Field(default=None, description="Many submissions, each answered for itself.")

    @model_validator(mode="after")
    def _one_or_many(self) -> SubmissionPost:
        if self.items is not None and self.model_fields_set != {"items"}:
            raise ValueError("expected either one submission or 'items', found both")
        return self


class DecisionOut(BaseModel):
    """A reviewer's decision; it counts while its state is live."""

    sequence: int
    external_id: str
    revision: int
    level: str
    label: str | None
    action: Action
    reviewer: str
    at: datetime
    note: str
    state: State

    @classmethod
    def of(cls, decision: Decision) -> DecisionOut:
        """On the wire."""
        verdict = decision.verdict
        return cls(
            sequence=decision.sequence,
            external_id=decision.external_id,
            revision=decision.revision,
            level=verdict.level,
            label=verdict.label or None,
            action=verdict.action,
            reviewer=decision.reviewer,
            at=decision.at,
            note=verdict.note,
            state=decision.state,
        )


OF_REVIEWERS = {"reviewed", "settled", "decisions"}


class SubmissionOut(BaseModel):
    """A submission with the model's tags; the scope ``review`` also gets what reviewers said of it."""

    external_id: str
    text: str
    language: str | None
    metadata: dict[str, Any]
    created: datetime
    updated: datetime
    revision: int = Field(description="Rises when the text changes.")
    model: str
    tags: dict[str, list[TagOut]] = Field(description="What the model gave, by level, with evidence and sections.")
    needs_review: bool = Field(description="The model is not sure of this text.")
    problem: str | None = Field(description="Why the model gave no tags, where it failed.")
    reviewed: bool | None = Field(
        default=None, description="No tag of the model waits for a decision, and somebody decided something."
    )
    settled: dict[str, list[str]] | None = Field(
        default=None, description="The accepted labels of every level that reviewers settled."
    )
    decisions: list[DecisionOut] | None = Field(default=None, description="What reviewers decided, in order.")

    @classmethod
    def of(cls, submission: Submission, taxonomy: Taxonomy) -> SubmissionOut:
        """On the wire."""
        tagging = submission.tagging
        return cls(
            external_id=submission.external_id,
            text=submission.text,
            language=submission.language,
            metadata=dict(submission.metadata),
            created=submission.created,
            updated=submission.updated,
            revision=submission.revision,
            model=tagging.model,
            tags={
                level.name: [TagOut(**tag.to_dict()) for tag in tagging.tags.get(level.name, ())]
                for level in taxonomy.levels
            },
            needs_review=tagging.needs_review,
            problem=tagging.problem,
            reviewed=submission.reviewed,
            settled={level: list(labels) for level, labels in settled_labels(taxonomy, submission).items()},
            decisions=[DecisionOut.of(decision) for decision in submission.decisions],
        )


class SubmissionAnswer(BaseModel):
    """The answer to one of many submissions."""

    external_id: str | None
    status: int
    submission: SubmissionOut | None = None
    problem: ProblemOut | None = None


class SubmissionAnswers(BaseModel):
    """Answers in the order of the items."""

    items: list[SubmissionAnswer]


class SubmissionPage(BaseModel):
    """A part of the list; ``next`` is the cursor of the part that follows, if there is one."""

    items: list[SubmissionOut]
    next: str | None


class VerdictIn(BaseModel):
    """A decision on a tag (confirm, reject), on a label that is missing (add), or on a whole level (settle)."""

    model_config = ConfigDict(extra="forbid")

    level: str
    label: str | None = Field(default=None, description="Of the level; none where the action is settle.")
    action: Action
    note: Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")] = ""

    def record(self) -> Verdict:
        """Off the wire."""
        return Verdict(self.level, self.label or "", self.action, self.note)


class ReviewIn(BaseModel):
    """What one reviewer decides of one submission; all of it is kept, or none."""

    model_config = ConfigDict(extra="forbid")

    reviewer: Reviewer | None = Field(
        default=None,
        description="Who decides, where access is open; else the key or session says it, and another name is refused.",
    )
    decisions: list[VerdictIn] = Field(min_length=1, max_length=1000)


class DecisionPage(BaseModel):
    """A part of the list; ``next`` is the cursor of the part that follows, if there is one."""

    items: list[DecisionOut]
    next: str | None
