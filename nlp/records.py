"""The frozen records that cross the rooms of the house."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nlp.errors import MusannifError


@dataclass(frozen=True, slots=True)
class Document:
    """One text to classify.

    Attributes:
        id: the caller's id, or one made from the place of the text (``file.csv:12``).
        text: the raw text, as read.
        attributes: what a table says beside it, by the names of the columns that were asked for.
    """

    id: str
    text: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that could not be read or classified; the others of its batch go on.

    Attributes:
        id: the item's id.
        error: what was expected, found, and how to mend it.
    """

    id: str
    error: MusannifError


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of characters, ``[start, end)``, in the raw text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence that carries a tag.

    Attributes:
        span: its place in the raw text.
        score: how far the tag's probability falls without it, in ``[0, 1]``.
    """

    span: Span
    score: float


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a long text.

    Attributes:
        span: its place in the raw text.
        heading: the last one before it, or its own; ``None`` where there was none yet.
        page: counted from 1; ``None`` in a text without page marks.
    """

    span: Span
    heading: str | None
    page: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """A section in which a tag was found.

    Attributes:
        section: of the raw text.
        score: the highest probability of the tag in a window of it, in ``[0, 1]``.
    """

    section: Section
    score: float

    def to_dict(self) -> dict[str, Any]:
        """The place as the contract writes it; without heading or page where there is none."""
        named = {"heading": self.section.heading, "page": self.section.page}
        span = self.section.span
        return {
            **{name: value for name, value in named.items() if value is not None},
            "start": span.start,
            "end": span.end,
            "score": round(self.score, 4),
        }


@dataclass(frozen=True, slots=True)
class Tag:
    """A label given to a text.

    Attributes:
        id: of the label.
        score: its calibrated probability in ``[0, 1]``.
        evidence: the sentences that carry it, strongest first; ``None`` if not asked for.
        sections: where it was found, strongest first; ``None`` in a text without pages or headings.
    """

    id: str
    score: float
    evidence: tuple[Evidence, ...] | None = None
    sections: tuple[Place, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The tag as the contract writes it."""
        item: dict[str, Any] = {"id": self.id, "score": round(self.score, 4)}
        if self.evidence is not None:
            item["evidence"] = [
                {"start": one.span.start, "end": one.span.end, "score": round(one.score, 4)} for one in self.evidence
            ]
        if self.sections is not None:
            item["sections"] = [place.to_dict() for place in self.sections]
        return item


@dataclass(frozen=True, slots=True)
class Classification:
    """The tags of one text.

    Attributes:
        id: the document's id.
        tags: by level of the taxonomy (``goals``, ``targets``, ...), the labels that pass their thresholds,
            most probable first.
        needs_review: the model is not sure enough to be left alone with this text.
        scores: the probability of every label by level, where asked for.
        embedding: where the text lies in the space of the model, of length 1, where asked for.
    """

    id: str
    tags: Mapping[str, tuple[Tag, ...]]
    needs_review: bool
    scores: Mapping[str, Mapping[str, float]] | None = None
    embedding: tuple[float, ...] | None = None

    def to_dict(self, model: str) -> dict[str, Any]:
        """The item as the contract writes it: one key for each level, then review and model.

        Args:
            model: name and version of the bundle that gave the tags.
        """
        item: dict[str, Any] = {"id": self.id}
        for level, tags in self.tags.items():
            item[level] = [tag.to_dict() for tag in tags]
        item["needs_review"] = self.needs_review
        item["model"] = model
        if self.scores is not None:
            item["scores"] = {
                level: {label: round(score, 4) for label, score in scores.items()}
                for level, scores in self.scores.items()
            }
        return item


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text of the corpus with its gold labels.

    Attributes:
        id: unique in the corpus.
        text: the raw text.
        labels: label ids by level; a level that is absent was not annotated and is masked in training.
        group: texts about one practice share a group and never part in a split.
        meta: the record's other fields (``kind``, ``dialect``, ``country``, ``lang`` ...).
    """

    id: str
    text: str
    labels: Mapping[str, tuple[str, ...]]
    group: str
    meta: Mapping[str, Any] = field(default_factory=dict)
