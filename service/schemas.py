"""What goes over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from models.tagger import Options
from nlp.taxonomy import Taxonomy

# Text and id of an item are checked one by one, so that a bad one fails alone and not the request.
_Text = Annotated[Any, WithJsonSchema({"type": "string", "description": "Raw text, in any language."})]
_Id = Annotated[
    Any,
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}], "default": None}),
]


class ItemIn(BaseModel):
    """One text."""

    model_config = ConfigDict(extra="forbid")

    id: _Id = None
    text: _Text = None


class OptionsIn(BaseModel):
    """What is asked of the model."""

    model_config = ConfigDict(extra="forbid")

    axes: list[str] = Field(default=[], description="Axes to answer; all if empty.")
    top_k: int | None = Field(default=None, ge=1, description="At most so many tags a level.")
    min_score: float = Field(default=0.0, ge=0, le=1, description="No tag below this probability.")
    all_scores: bool = Field(default=False, description="Also give the probability of every label.")
    evidence: bool | None = Field(
        default=None, description="Also give the sentences that carry each tag; if not said, for a single text only."
    )

    def options(self, taxonomy: Taxonomy, *, texts: int, most_characters: int) -> Options:
        """For the tagger.

        Args:
            taxonomy: has the axes.
            texts: how many are asked for.
            most_characters: longer texts are refused.

        Raises:
            TaxonomyError: there is no such axis.
        """
        for axis in self.axes:
            taxonomy.axis(axis)
        return Options(
            axes=tuple(self.axes),
            top_k=self.top_k,
            min_score=self.min_score,
            all_scores=self.all_scores,
            evidence=texts == 1 if self.evidence is None else self.evidence,
            most_characters=most_characters,
        )


class ClassifyRequest(OptionsIn):
    """One text, or many."""

    text: _Text = None
    items: list[ItemIn] | None = None

    @model_validator(mode="after")
    def _one_or_many(self) -> ClassifyRequest:
        if (self.text is None) == (self.items is None):
            raise ValueError(
                "expected either 'text' or 'items', found " + ("neither" if self.items is None else "both")
            )
        return self


class FileQuery(OptionsIn):
    """How to read a file, and what is asked of the model."""

    text_column: str | None = Field(default=None, description="Column that holds the text; common names are found.")
    id_column: str | None = Field(default=None, description="Column that holds the id; `id` if there is one.")


class EvidenceOut(BaseModel):
    """A sentence of the text, as character offsets, and how far the tag's probability falls without it."""

    start: int
    end: int
    score: float


class SectionOut(BaseModel):
    """A section of a long text in which a tag was found: its heading and page, where it has them, as offsets."""

    heading: str | None = None
    page: int | None = Field(default=None, description="From 1, where the text has form feeds.")
    start: int
    end: int
    score: float = Field(description="The highest probability of the tag in this section.")


class TagOut(BaseModel):
    """A label with its calibrated probability."""

    id: str
    score: float
    evidence: list[EvidenceOut] | None = None
    sections: list[SectionOut] | None = Field(
        default=None, description="Where it was found, strongest first, at most 20; in a text with pages or headings."
    )


class ProblemOut(BaseModel):
    """A problem as RFC 9457 describes it."""

    type: str
    title: str
    status: int
    detail: str


class ItemOut(BaseModel):
    """The answer to one text: tags by level of the taxonomy where ``status`` is 200, else a problem."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"additionalProperties": {"type": "array", "items": {"$ref": "#/components/schemas/TagOut"}}},
    )

    id: str | int | None = None
    status: int
    needs_review: bool | None = None
    scores: dict[str, dict[str, float]] | None = None
    problem: ProblemOut | None = None


class ModelOut(BaseModel):
    """Which model, taxonomy and thresholds gave an answer."""

    name: str
    taxonomy: str
    recipe: str
    thresholds: str


class ClassifyResponse(BaseModel):
    """Answers in the order of the items."""

    model: ModelOut
    items: list[ItemOut]


class RuntimeOut(BaseModel):
    """How the model runs on this machine, and why so."""

    name: str
    precision: str
    instructions: str
    threads: int
    reason: str


class ModelsResponse(BaseModel):
    """The model in use, what its bundle says of it, and how it runs here."""

    model: ModelOut
    loaded: datetime
    runtime: RuntimeOut | None = Field(description="None where no bundle was opened.")
    training: Mapping[str, Any] | None = Field(description="Provenance; none where no bundle was opened.")
    metrics: Mapping[str, Any] | None = Field(description="What was measured, on what.")


class InfoResponse(BaseModel):
    """What this service is and what it takes."""

    version: str
    model: ModelOut
    limits: dict[str, int | float]


class HealthResponse(BaseModel):
    """``ok``, and nothing else."""

    status: str
