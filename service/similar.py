"""The route of similar submissions: nearest by the embedding of the model in use."""

from __future__ import annotations

import heapq
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.concurrency import run_in_threadpool

from models.tagger import Options
from nlp.errors import NotStoredError
from nlp.records import Document, Failure
from service.dependencies import ModelDep, SettingsDep, StoreDep
from service.schemas import ModelOut
from service.store import Store
from service.store.records import Similar
from service.submission_schemas import ExternalId

router = APIRouter(tags=["submissions"])


class SimilarRequest(BaseModel):
    """A text, or a submission that is kept."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = None
    external_id: ExternalId | None = None
    limit: Annotated[int, Field(ge=1, description="At most so many; the setting most_similar bounds it.")] = 10
    min_score: Annotated[float, Field(ge=-1, le=1, description="None below this cosine.")] = -1.0

    @model_validator(mode="after")
    def _one(self) -> SimilarRequest:
        if (self.text is None) == (self.external_id is None):
            found = "neither" if self.text is None else "both"
            raise ValueError(f"expected either 'text' or 'external_id', found {found}")
        return self


class SimilarItem(BaseModel):
    """A submission, and the cosine of its embedding and that of the text."""

    external_id: str
    score: float


class SimilarResponse(BaseModel):
    """The nearest submissions, nearest first; those that the model in use has not embedded yet are not among them."""

    model: ModelOut
    items: list[SimilarItem]


@router.post("/v1/similar")
async def similar(
    request: Request, body: SimilarRequest, model: ModelDep, store: StoreDep, settings: SettingsDep
) -> SimilarResponse:
    """The submissions nearest to a text, or to another submission."""
    name = model.out.name
    if body.text is not None:
        options = Options(embedding=True, most_characters=settings.most_characters)
        (result,) = await model.classify_for(request, [Document("", body.text)], options)
        if isinstance(result, Failure):
            raise result.error
        vector = np.asarray(result.embedding, np.float32)
    else:
        vector = await run_in_threadpool(_kept, store, body.external_id or "", name)
    limit = min(body.limit, settings.most_similar)
    found = await run_in_threadpool(nearest, store, name, vector, limit, besides=body.external_id)
    items = [SimilarItem(external_id=one.external_id, score=round(one.score, 4)) for one in found]
    return SimilarResponse(model=model.out, items=[item for item in items if item.score >= body.min_score])


def _kept(store: Store, external_id: str, model: str) -> NDArray[np.float32]:
    with store.read() as reader:
        if reader.submission(external_id) is None:
            raise NotStoredError(f"there is no submission {external_id!r}")
        vector = reader.embeddings.of(external_id, model)
    if vector is None:
        raise NotStoredError(
            f"{model} has not embedded the submission {external_id!r} yet",
            expected="a submission with an embedding",
            remedy="ask again later: the service embeds what is missing",
        )
    return vector


def nearest(
    store: Store, model: str, vector: NDArray[np.float32], limit: int, *, besides: str | None = None
) -> list[Similar]:
    """The submissions whose embeddings have the highest cosine with a vector, nearest first.

    All of them are compared, block by block: exact, and flat in memory.

    Args:
        store: has the embeddings.
        model: whose embeddings.
        vector: of length 1, shape ``(dimension,)``.
        limit: at most so many.
        besides: a submission that is left out.
    """
    best: list[Similar] = []
    with store.read() as reader:
        for ids, vectors in reader.embeddings.blocks(model):
            scores = vectors @ vector
            some = [Similar(ids[place], float(scores[place])) for place in np.argsort(-scores)[: limit + 1]]
            best += [one for one in some if one.external_id != besides]
            best = heapq.nsmallest(limit, best, key=lambda one: (-one.score, one.external_id))
    return best
