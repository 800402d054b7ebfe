"""What goes over the wire about clusterings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from models.clustering.options import ClusterOptions
from models.clustering.records import (
    Drift,
    Edit,
    Membership,
    Method,
    Minority,
    Note,
    Preset,
    PresetTopic,
    Size,
    Topic,
    edit_from_dict,
)
from nlp.errors import ReadingError
from nlp.reading import check_text
from nlp.records import Document
from service.preconditions import etag
from service.store.records import EditEntry, Job, JobState, StoredClustering, StoredComment
from service.submission_schemas import Reviewer

# Names by which the database looks into a comment's attributes.
_NAME = r'^[^"\\\x00-\x1f\x7f]+$'
_AttributeName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=_NAME)]
_Words = Annotated[str, StringConstraints(max_length=300, pattern=r"^[^\x00]*$")]
_Title = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]
_CommentId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
_TopicId = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[0-9A-Za-z._-]+$")]


class CommentIn(BaseModel):
    """A comment of a consultation."""

    model_config = ConfigDict(extra="forbid")

    id: _CommentId | int | None = Field(default=None, description="Yours; its place in the list if left out.")
    text: str = Field(description="Raw text; it may be empty.")
    attributes: dict[_AttributeName, _Words] = Field(
        default={}, max_length=50, description="What is known of who speaks, such as region or age."
    )


def documents_of(comments: Sequence[CommentIn], most_characters: int) -> list[Document]:
    """The comments as they are read of a file.

    Raises:
        ReadingError: a text is too long, or no text.
    """
    found = []
    for place, comment in enumerate(comments):
        comment_id = str(place + 1 if comment.id is None else comment.id)
        for text in (comment.text, comment_id, *comment.attributes, *comment.attributes.values()):
            if text and not text.isspace():
                try:
                    check_text(text, most_characters)
                except ReadingError as error:
                    name = comment_id.encode("utf-8", "replace").decode()
                    raise type(error)(
                        f"comment {name!r}: {error.found}", expected=error.expected, remedy=error.remedy
                    ) from None
        found.append(Document(comment_id, comment.text, comment.attributes))
    return found


class PresetIn(BaseModel):
    """A topic that the caller names; comments may fall in several, or in none."""

    model_config = ConfigDict(extra="forbid")

    id: _TopicId
    title: _Title
    labels: list[Annotated[str, StringConstraints(max_length=100)]] = Field(
        default=[], max_length=200, description="`level/id`, such as goals/6; any of them brings a comment in."
    )
    words: list[_Words] = Field(default=[], max_length=200, description="Words or phrases; any of them does.")


class ClusterQuery(BaseModel):
    """What is asked of a clustering."""

    model_config = ConfigDict(extra="forbid")

    title: _Words = Field(default="", description="Of the consultation.")
    topics: int | None = Field(default=None, ge=1, le=200, description="Topics of the first level; found if left out.")
    subtopics: int = Field(default=12, ge=0, le=50, description="Most sub-topics in a topic; 0 for none.")
    least_comments: int = Field(
        default=5,
        ge=2,
        le=1000,
        description="Arguments that a group holds at least when it is found; topics of a given number may hold fewer.",
    )
    quotes: int = Field(default=5, ge=1, le=50, description="Quotes a topic.")
    phrases: int = Field(default=8, ge=1, le=50, description="Key phrases a topic.")
    bootstrap: int = Field(default=20, ge=0, le=200, description="Runs that measure stability; 0 leaves it out.")
    seed: int = Field(default=0, ge=0, lt=2**32, description="Of everything random.")
    background: bool = Field(default=False, description="Make it as a job, however small the set is.")

    def options(self, presets: Sequence[PresetIn] = ()) -> ClusterOptions:
        """For the clustering.

        Raises:
            ClusteringError: two presets have the same id.
        """
        return ClusterOptions(
            topics=self.topics,
            subtopics=self.subtopics,
            least_comments=self.least_comments,
            quotes=self.quotes,
            phrases=self.phrases,
            bootstrap=self.bootstrap,
            presets=tuple(Preset(one.id, one.title, tuple(one.labels), tuple(one.words)) for one in presets),
            seed=self.seed,
        )


class ClusterRequest(ClusterQuery):
    """The comments of a consultation."""

    comments: list[CommentIn] = Field(min_length=1)
    presets: list[PresetIn] = Field(default=[], max_length=100, description="Given topics, beside those found.")


class ClusterFileQuery(ClusterQuery):
    """How to read a file of comments, and what is asked of the clustering."""

    text_column: str | None = Field(default=None, description="Column that holds the text; common names are found.")
    id_column: str | None = Field(default=None, description="Column that holds the id; `id` if there is one.")
    attributes: list[_AttributeName] = Field(
        default=[], max_length=50, description="Columns that tell groups apart, such as region or age."
    )


class JoinRequest(BaseModel):
    """Comments that join a clustering."""

    model_config = ConfigDict(extra="forbid")

    comments: list[CommentIn] = Field(min_length=1)


class StepOut(BaseModel):
    """A step that has begun."""

    name: str
    at: datetime


class ProgressOut(BaseModel):
    """How far the job is that makes a clustering."""

    job: str
    share: float = Field(description="Of the work that lies behind, from 0 to 1.")
    steps: list[StepOut] = Field(description="That have begun, in order; the last is under way.")

    @classmethod
    def of(cls, job: Job) -> ProgressOut:
        """On the wire."""
        steps = [StepOut(name=step.name, at=step.at) for step in job.steps]
        return cls(job=job.id, share=round(job.share, 3), steps=steps)


class CampaignOut(BaseModel):
    """The same text sent by several; its comments are listed by `/comments?campaign=`."""

    id: str
    kind: str
    topic: str
    comment: str
    text: str
    size: Size
    share: float
    similarity: float


class TreeOut(BaseModel):
    """What people said: topics with their sub-topics, the rest, minority views, campaigns."""

    size: Size
    topics: list[Topic]
    other: Topic
    minorities: list[Minority]
    campaigns: list[CampaignOut]
    presets: list[PresetTopic]
    wordless: int
    method: Method
    notes: list[Note]
    drift: Drift | None


class ClusteringEntry(BaseModel):
    """A clustering without its tree."""

    id: str
    title: str
    state: JobState = Field(description="`finished` once there is a tree.")
    problem: str | None = Field(description="Why there is none.")
    owner: str
    created: datetime
    updated: datetime
    version: int = Field(description="Rises when anything changes.")
    etag: str = Field(description="Its entity tag, for If-Match.")
    comments: int
    left_out: list[str] = Field(
        description="What was said of the first 100 rows that could not be read, and how many more there are."
    )
    personal_data: dict[str, int] = Field(description="Places that were masked, by kind.")
    model: str

    @classmethod
    def of(cls, kept: StoredClustering, **more: Any) -> ClusteringEntry:
        """On the wire."""
        return cls(
            id=kept.id,
            title=kept.title,
            state=kept.state,
            problem=kept.problem,
            owner=kept.owner,
            created=kept.created,
            updated=kept.updated,
            version=kept.version,
            etag=etag(kept),
            comments=kept.total,
            left_out=list(kept.left_out),
            personal_data=dict(kept.masked),
            model=kept.model,
            **more,
        )


class ClusteringOut(ClusteringEntry):
    """A clustering: its tree without all comments, which `/comments` lists."""

    progress: ProgressOut | None = Field(description="Of its job, if one makes it.")
    tree: TreeOut | None

    @classmethod
    def full(cls, kept: StoredClustering, tree: Mapping[str, Any] | None, job: Job | None) -> ClusteringOut:
        """On the wire, with its tree."""
        entry = ClusteringEntry.of(kept)
        progress = None if job is None else ProgressOut.of(job)
        return cls(**dict(entry), progress=progress, tree=None if tree is None else TreeOut.model_validate(dict(tree)))


class ClusteringPage(BaseModel):
    """A part of the list; ``next`` is the cursor of the part that follows, if there is one."""

    items: list[ClusteringEntry]
    next: str | None


class CommentOut(BaseModel):
    """A comment of a clustering and where it lies."""

    id: str
    text: str
    attributes: dict[str, str]
    flags: list[str] = Field(description="`insult` or `spam`, for a moderator's eye.")
    topic: str
    subtopic: str | None
    memberships: list[Membership]
    fit: float
    x: float
    y: float
    argument: str = Field(description="Id of the comment that stands for all that say the same.")
    campaign: str | None
    minority: str | None
    presets: list[str]
    wordless: bool
    joined: bool
    pinned: bool

    @classmethod
    def of(cls, comment: StoredComment) -> CommentOut:
        """On the wire."""
        return cls.model_validate(
            {
                "id": comment.id,
                "text": comment.text,
                "attributes": dict(comment.attributes),
                "flags": list(comment.flags),
                **(comment.place or {}),
            }
        )


class CommentPage(BaseModel):
    """A part of the list; ``next`` is the cursor of the part that follows, if there is one."""

    items: list[CommentOut]
    next: str | None


class _EditIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def record(self) -> Edit:
        """Off the wire."""
        return edit_from_dict(self.model_dump())


_Comments = Annotated[list[_CommentId], Field(min_length=1, max_length=10_000)]


class RenameIn(_EditIn):
    """Give a topic another title."""

    edit: Literal["rename"]
    topic: _TopicId
    title: _Title


class MergeIn(_EditIn):
    """Make one topic of several siblings; the first keeps its id."""

    edit: Literal["merge"]
    topics: list[_TopicId] = Field(min_length=2, max_length=200)
    title: _Words = Field(default="", description="Of the whole; chosen anew if empty.")


class SplitIn(_EditIn):
    """Take a topic apart: along its sub-topics, into so many parts, or with some comments taken out."""

    edit: Literal["split"]
    topic: _TopicId
    parts: int = Field(default=0, ge=0, le=50, description="How many; 0 splits along the sub-topics.")
    comments: list[_CommentId] = Field(default=[], max_length=10_000, description="To take out, in place of a number.")


class MoveIn(_EditIn):
    """Put comments into another topic; they are pinned there."""

    edit: Literal["move"]
    comments: _Comments
    topic: _TopicId


class PinIn(_EditIn):
    """Hold comments where they are, as quotes of their topic after its medoid; or let them go."""

    edit: Literal["pin"]
    comments: _Comments
    pinned: bool = True


_AnyEdit = Annotated[RenameIn | MergeIn | SplitIn | MoveIn | PinIn, Field(discriminator="edit")]


class EditsIn(BaseModel):
    """Edits, all of which are kept, or none."""

    model_config = ConfigDict(extra="forbid")

    reviewer: Reviewer | None = Field(
        default=None,
        description="Who edits, where access is open; else the key or session says it, and another name is refused.",
    )
    edits: list[_AnyEdit] = Field(min_length=1, max_length=100)


class UndoIn(BaseModel):
    """Undo the last edit that counts."""

    model_config = ConfigDict(extra="forbid")

    reviewer: Reviewer | None = Field(default=None, description="As with edits.")


class EditOut(BaseModel):
    """An entry in the list of edits, which is only ever added to."""

    number: int
    at: datetime
    reviewer: str
    edit: dict[str, Any] | None = Field(description="None where an earlier edit is undone.")
    undoes: int | None
    live: bool = Field(description="It counts: nobody undid it.")

    @classmethod
    def of(cls, entry: EditEntry) -> EditOut:
        """On the wire."""
        return cls(
            number=entry.number,
            at=entry.at,
            reviewer=entry.actor,
            edit=None if entry.edit is None else dict(entry.edit),
            undoes=entry.undoes,
            live=entry.live,
        )


class EditList(BaseModel):
    """All that was edited and undone, in order."""

    items: list[EditOut]
