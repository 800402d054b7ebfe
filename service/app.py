"""The HTTP service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException
from fastapi_offline import FastAPIOffline

import nlp
from models.tagger import Options, Tagger
from nlp.errors import InvalidTextError
from nlp.records import Classification, Document, Failure
from service import audits, problems, reviews, sessions, submissions
from service.access import Access, require_credentials
from service.dependencies import Clock, Model, ModelDep, SettingsDep, StoreDep, open_model, utc_now
from service.gate import Gate
from service.headers import SecurityHeaders, documentation_policy
from service.languages import AnswerLanguage
from service.limits import BodyLimit, ConcurrencyLimit
from service.schemas import (
    ClassifyRequest,
    ClassifyResponse,
    HealthResponse,
    InfoResponse,
    ItemIn,
    ItemOut,
)
from service.scopes import describe
from service.settings import Settings
from service.store import open_store

router = APIRouter()


# Routes that tag are plain functions: the framework runs them on a thread, and the event loop stays free.
@router.post("/v1/classify", response_model_exclude_none=True, tags=["classify"])
def classify(body: ClassifyRequest, model: ModelDep, settings: SettingsDep) -> ClassifyResponse:
    """Tag one text or many. A text that cannot be tagged gets a problem of its own; the others are answered."""
    items = [ItemIn(text=body.text)] if body.items is None else body.items
    if len(items) > settings.most_items:
        raise HTTPException(413, f"{len(items)} items, expected at most {settings.most_items} (most_items)")
    options = Options(
        axes=tuple(body.axes),
        top_k=body.top_k,
        min_score=body.min_score,
        all_scores=body.all_scores,
        evidence=len(items) == 1 if body.evidence is None else body.evidence,
        most_characters=settings.most_characters,
    )
    for axis in options.axes:
        model.tagger.taxonomy.axis(axis)
    answers = [_answer(model, item, position, options) for position, item in enumerate(items)]
    return ClassifyResponse(model=model.out, items=answers)


def _answer(model: Model, item: ItemIn, position: int, options: Options) -> ItemOut:
    place = f"item {position}"
    if not (item.id is None or (isinstance(item.id, (str, int)) and _is_unicode(str(item.id)))):
        return _failed(None, InvalidTextError(f"{place}: id is not a valid string", expected="a string or an integer"))
    if not isinstance(item.text, str):
        error = InvalidTextError(f"{place}: text is {type(item.text).__name__}", expected="a string")
        return _failed(item.id, error)
    result = model.classify(Document(str(item.id), item.text), options)
    if isinstance(result, Failure):
        return _failed(item.id, result.error)
    return ItemOut(id=item.id, status=200, **_tags(result))


def _tags(result: Classification) -> dict[str, Any]:
    fields = result.to_dict(model="")
    return {name: value for name, value in fields.items() if name not in ("id", "model")}


def _failed(item_id: str | int | None, error: Any) -> ItemOut:
    body = problems.problem_of(error)
    return ItemOut(id=item_id, status=body["status"], problem=body)  # type: ignore[arg-type]


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


@router.get("/v1/taxonomy", tags=["model"])
def taxonomy(model: ModelDep) -> dict[str, Any]:
    """All axes and labels, with titles and definitions in Arabic and English and the UN URIs."""
    return dict(model.tagger.taxonomy.source)


@router.get("/v1/info", tags=["model"])
def info(model: ModelDep, settings: SettingsDep) -> InfoResponse:
    """Versions and limits."""
    return InfoResponse(version=nlp.__version__, model=model.out, limits=settings.limits)


@router.get("/healthz", tags=["operations"])
def healthz() -> HealthResponse:
    """The process answers."""
    return HealthResponse(status="ok")


@router.get("/readyz", tags=["operations"])
def readyz(_: ModelDep, store: StoreDep) -> HealthResponse:
    """The model is loaded and the database answers; 503 before."""
    with store.read() as reader:
        reader.submission("")
    return HealthResponse(status="ok")


def create_app(settings: Settings, tagger: Tagger | None = None, clock: Clock = utc_now) -> FastAPI:
    """The service.

    Args:
        settings: see :class:`~service.settings.Settings`.
        tagger: answers instead of the bundle of the settings; tests give the stub.
        clock: tells the time of what is written.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.model = open_model(settings, tagger)
        app.state.store = open_store(settings.database, busy_seconds=settings.busy_seconds)
        try:
            require_credentials(settings, app.state.store, clock)
            app.state.access = Access(settings, app.state.store, clock)
            yield
        finally:
            app.state.store.close()

    # The documentation pages bring their scripts along: nothing is fetched from outside.
    app = FastAPIOffline(
        title="Musannif",
        version=nlp.__version__,
        description="Tags Arabic texts about government practices: SDG goals and targets, technologies, RITE.",
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.clock = clock
    # The last is the first that a request meets. A slow sender takes no place among the requests in progress.
    app.add_middleware(ConcurrencyLimit, most=settings.most_at_once)
    app.add_middleware(BodyLimit, most_bytes=settings.most_bytes)
    app.add_middleware(Gate, cookie=settings.session_cookie)
    app.add_middleware(SecurityHeaders, documentation_policy=documentation_policy(app))
    app.add_middleware(AnswerLanguage)
    problems.install(app)
    for one in (router, sessions.router, submissions.router, reviews.router, audits.router):
        app.include_router(one)
    describe(app, settings.session_cookie)
    return app
