"""The frozen records that enter and leave the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from nlp.records import Tag

Item = TypeVar("Item")


class Action(StrEnum):
    """What a reviewer says of a label, or (``settle``) of a whole level: that no label of it is missing."""

    CONFIRM = "confirm"
    REJECT = "reject"
    ADD = "add"
    SETTLE = "settle"


class State(StrEnum):
    """Whether a decision counts: it does, a later one took its place, or the text has changed since."""

    LIVE = "live"
    SUPERSEDED = "superseded"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Tagging:
    """What the model said of a text.

    Attributes:
        model: name and version.
        tags: by level, most probable first, with evidence and sections.
        needs_review: the model is not sure.
        problem: why there are no tags, where tagging failed; it is tried again at the next write.
    """

    model: str
    tags: Mapping[str, tuple[Tag, ...]]
    needs_review: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A submission as its sender writes it.

    Attributes:
        external_id: the sender's id.
        text: raw.
        metadata: of the sender, kept as it is; ``None`` leaves what is stored.
        language: a language tag such as ``ar``; ``None`` leaves what is stored.
    """

    external_id: str
    text: str
    metadata: Mapping[str, Any] | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision as a reviewer sends it.

    Attributes:
        level: of the taxonomy.
        label: id; empty where the action is ``settle``.
        action: what is decided.
        note: why, in the reviewer's words.
    """

    level: str
    label: str
    action: Action
    note: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision as it is kept.

    Attributes:
        sequence: rises with every decision of the store.
        external_id: of the submission.
        revision: of the text that the reviewer read.
        verdict: what was decided.
        reviewer: who.
        at: when.
        state: whether it still counts.
    """

    sequence: int
    external_id: str
    revision: int
    verdict: Verdict
    reviewer: str
    at: datetime
    state: State


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission as it is kept.

    Attributes:
        key: of the row; never given twice.
        external_id: the sender's id.
        owner: who first sent it, as the audit log names callers.
        text: raw.
        language: a language tag, or ``None`` if it is not known.
        metadata: of the sender.
        created: when it first came.
        updated: when anything of it last changed.
        revision: rises when the text changes.
        version: rises when anything changes.
        tagging: what the model said of this revision.
        decisions: all of them, in order.
    """

    key: int
    external_id: str
    owner: str
    text: str
    language: str | None
    metadata: Mapping[str, Any]
    created: datetime
    updated: datetime
    revision: int
    version: int
    tagging: Tagging
    decisions: tuple[Decision, ...]

    @property
    def live(self) -> tuple[Decision, ...]:
        """The decisions that count."""
        return tuple(decision for decision in self.decisions if decision.state is State.LIVE)

    @property
    def undecided(self) -> set[tuple[str, str]]:
        """Level and label of the model's tags that nobody has decided."""
        tags = {(level, tag.id) for level, tags in self.tagging.tags.items() for tag in tags}
        return tags - {(decision.verdict.level, decision.verdict.label) for decision in self.live}

    @property
    def reviewed(self) -> bool:
        """Somebody read this text, and no tag of the model waits for a decision."""
        return bool(self.live) and not self.undecided


@dataclass(frozen=True, slots=True)
class Filters:
    """Which submissions are wanted; what is ``None`` or empty does not narrow.

    Attributes:
        needs_review: the model's word.
        reviewed: see :attr:`Submission.reviewed`.
        labels: pairs of level and label; a submission has all of them, given by the model and not rejected, or added.
        updated_since: changed at that time or later.
        decided: reviewers decided something of the present text.
    """

    needs_review: bool | None = None
    reviewed: bool | None = None
    labels: tuple[tuple[str, str], ...] = ()
    updated_since: datetime | None = None
    decided: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list.

    Attributes:
        items: in order.
        after: place of the last one, from which the next page goes on; ``None`` if there is no more.
    """

    items: tuple[Item, ...]
    after: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the service, kept so that the same request is answered the same.

    Attributes:
        status: of HTTP.
        headers: of the answer.
        body: JSON.
    """

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Repeatable:
    """The mark of a request that may come twice.

    Attributes:
        key: the sender's.
        fingerprint: SHA-256 of the request.
    """

    key: str
    fingerprint: str


class Scope(StrEnum):
    """What a key or a user may do: have texts tagged and kept; read and review them; look after the service."""

    CLASSIFY = "classify"
    REVIEW = "review"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a program, as it is kept: nobody can tell the key from it.

    Attributes:
        name: of its holder; no other key has it, nor ever had.
        prefix: the beginning of the key, by which it is known and found.
        digest: SHA-256 of the whole key.
        scopes: what it opens.
        created: when.
        expires: from then on it opens nothing.
        revoked: when it was taken back, if it was.
    """

    name: str
    prefix: str
    digest: str = field(repr=False)
    scopes: frozenset[Scope]
    created: datetime
    expires: datetime
    revoked: datetime | None = None

    def usable(self, at: datetime) -> bool:
        """Whether it opens anything at that time."""
        return self.revoked is None and at < self.expires


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who signs in.

    Attributes:
        name: by which decisions are signed.
        password_hash: of argon2.
        scopes: what the user may do.
        created: when.
        disabled: when the user was shut out, if so.
        failures: wrong passwords since the last right one.
        locked_until: no password is taken before, if there were too many wrong ones.
    """

    name: str
    password_hash: str = field(repr=False)
    scopes: frozenset[Scope]
    created: datetime
    disabled: datetime | None = None
    failures: int = 0
    locked_until: datetime | None = None

    def locked(self, at: datetime) -> bool:
        """Whether no password is taken at that time."""
        return self.locked_until is not None and at < self.locked_until


@dataclass(frozen=True, slots=True)
class SignIn:
    """A session of a user.

    Attributes:
        user: who signed in.
        expires: when it ends by itself.
    """

    user: User
    expires: datetime


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a walk along a whole audit log found.

    Attributes:
        entries: how many there are.
        head: hash of the last one. Noted elsewhere, it proves later that none of them was removed.
    """

    entries: int
    head: str


class JobState(StrEnum):
    """How far a job is; the last three are ends."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Nothing more will be done."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class JobKind(StrEnum):
    """What a job does: tag texts, part by part, or make a clustering, in one piece."""

    CLASSIFY = "classify"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class JobStep:
    """A step that a job has begun.

    Attributes:
        name: of the step.
        at: when it began.
    """

    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class JobItem:
    """An item of a job.

    Attributes:
        position: in the job, from 0.
        item_id: JSON of the sender's id: a string, a number or ``null``.
        text: raw, until it is done.
        answer: JSON, once it is done.
    """

    position: int
    item_id: str
    text: str | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is kept.

    Attributes:
        id: made by the service.
        owner: who sent it.
        state: how far it is.
        options: of the tagger, by name.
        created: when it came.
        updated: when anything of it last changed.
        finished: when it ended.
        total: items that it has.
        done: items that are answered, with those that failed.
        failed: items that were answered with a problem.
        model: name and versions of the one that answered last, as JSON.
        problem: why it failed.
        turn: number of the next part; see :class:`~service.store.tables.JobRow`.
        kind: what it does.
        steps: that it has begun, in order, where it has named steps.
        share: of the work of these steps that lies behind, in ``[0, 1]``.
    """

    id: str
    owner: str
    state: JobState
    options: Mapping[str, Any]
    created: datetime
    updated: datetime
    finished: datetime | None
    total: int
    done: int
    failed: int
    model: str | None
    problem: str | None
    turn: int
    kind: JobKind = JobKind.CLASSIFY
    steps: tuple[JobStep, ...] = ()
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class JobPart:
    """Items of a job that a worker took.

    Attributes:
        job: as it is now.
        items: in order, none of them done; none if all are.
    """

    job: Job
    items: tuple[JobItem, ...]


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that wants to hear of events.

    Attributes:
        id: made by the service.
        owner: who registered it.
        url: where messages are posted.
        secret: key of the signature, in Base64 after ``whsec_``.
        events: their names.
        created: when.
    """

    id: str
    owner: str
    url: str
    secret: str
    events: tuple[str, ...]
    created: datetime


class DeliveryState(StrEnum):
    """What became of a message."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to a webhook.

    Attributes:
        sequence: rises with every message.
        webhook: where it goes.
        message: id of the message, the same at every try.
        event: its name.
        body: JSON, as it is signed.
        state: what became of it.
        tries: how often it was sent.
        created: when the event was.
        updated: when it was last tried.
        due: when it is tried next.
        status: HTTP status of the last answer, if there was one.
        problem: why the last try failed.
    """

    sequence: int
    webhook: Webhook
    message: str
    event: str
    body: str
    state: DeliveryState
    tries: int
    created: datetime
    updated: datetime
    due: datetime
    status: int | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Similar:
    """A submission near a text.

    Attributes:
        external_id: of the submission.
        score: cosine of the two embeddings.
    """

    external_id: str
    score: float


@dataclass(frozen=True, slots=True)
class StoredClustering:
    """A clustering as it is kept, without its tree.

    Attributes:
        key: of the row; never given twice.
        id: made by the service.
        owner: who sent the comments.
        title: of the consultation.
        state: ``finished`` once there is a tree; else that of its job.
        job_id: of the job that makes it, if one does.
        problem: why there is no tree.
        options: of :class:`~models.clustering.options.ClusterOptions`, as plain data.
        left_out: what was said of the rows that could not be read.
        created: when the comments came.
        updated: when anything of it last changed.
        version: rises when anything changes.
        total: comments.
        masked: places that were masked, by kind of personal data.
        model: that read the texts; empty until it has.
    """

    key: int
    id: str
    owner: str
    title: str
    state: JobState
    job_id: str | None
    problem: str | None
    options: Mapping[str, Any]
    left_out: tuple[str, ...]
    created: datetime
    updated: datetime
    version: int
    total: int
    masked: Mapping[str, int]
    model: str


@dataclass(frozen=True, slots=True)
class StoredComment:
    """A comment of a clustering.

    Attributes:
        position: in the order in which they came, from 0.
        id: of the sender.
        text: masked, once it is grouped.
        attributes: of the sender.
        flags: kinds of flag that the text has.
        tags: ids and scores of its labels, by level.
        place: where it lies, as plain data without id and attributes; ``None`` until it is grouped.
    """

    position: int
    id: str
    text: str
    attributes: Mapping[str, str]
    flags: tuple[str, ...] = ()
    tags: Mapping[str, Any] = field(default_factory=dict)
    place: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CommentFilters:
    """Which comments of a clustering are wanted; what is ``None`` or empty does not narrow.

    Attributes:
        topic: id of a topic, a sub-topic, or ``other``.
        campaign: its id.
        minority: its id.
        attributes: names and values; a comment has all of them.
    """

    topic: str | None = None
    campaign: str | None = None
    minority: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EditEntry:
    """An entry in the list of edits of a clustering.

    Attributes:
        number: from 1.
        at: when.
        actor: who.
        edit: as plain data; ``None`` where an earlier edit is undone.
        undoes: number of that one.
        live: it is an edit, and nobody undid it.
    """

    number: int
    at: datetime
    actor: str
    edit: Mapping[str, Any] | None
    undoes: int | None
    live: bool
