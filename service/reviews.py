"""Routes of reviewers' decisions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from nlp.taxonomy import Taxonomy
from service.cursors import read_cursor, write_cursor
from service.dependencies import ModelDep, SettingsDep, StoreDep
from service.exporting import EXPORTS, Export, reviewed_texts
from service.store import Store
from service.store.records import Filters, Submission
from service.submission_schemas import DecisionOut, DecisionPage, Reviewer

router = APIRouter(tags=["reviews"])

_BATCH = 200


@router.get("/v1/reviews")
def list_reviews(
    store: StoreDep,
    settings: SettingsDep,
    reviewer: Annotated[Reviewer | None, Query(description="Decisions of this reviewer only.")] = None,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, description="Most entries of a page; the setting most_page bounds it.")] = 50,
) -> DecisionPage:
    """All decisions in the order in which they were made, page by page; `state` says which still count."""
    bound = {"list": "reviews", "reviewer": reviewer}
    with store.read() as reader:
        page = reader.decisions(
            reviewer=reviewer, after=read_cursor(cursor, bound), limit=min(limit, settings.most_page)
        )
    items = [DecisionOut.of(decision) for decision in page.items]
    return DecisionPage(items=items, next=write_cursor(page.after, bound))


@router.get("/v1/reviews/export", response_class=StreamingResponse)
def export_reviews(
    store: StoreDep,
    model: ModelDep,
    form: Annotated[Literal["jsonl", "csv", "xlsx", "jsonld"], Query(alias="format")] = "jsonl",
) -> StreamingResponse:
    """Texts with the labels that reviewers settled. JSONL is the corpus format: `musannif train --add` reads it."""
    export = EXPORTS[form]
    return StreamingResponse(
        export_pieces(store, model.tagger.taxonomy, export),
        media_type=export.media_type,
        headers={"Content-Disposition": f'attachment; filename="reviews{export.suffix}"'},
    )


def export_pieces(store: Store, taxonomy: Taxonomy, export: Export) -> Iterator[bytes]:
    """The bytes of an export, read from the store as they are asked for."""
    return export.write(reviewed_texts(_decided(store), taxonomy), taxonomy)


def _decided(store: Store) -> Iterator[Submission]:
    """Batch by batch: a slow reader holds no transaction open."""
    after: int | None = 0
    while after is not None:
        with store.read() as reader:
            page = reader.submissions(Filters(decided=True), after=after, limit=_BATCH)
        yield from page.items
        after = page.after
