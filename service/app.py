"""The HTTP service."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated

from anyio import CapacityLimiter, fail_after, to_thread
from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response, UploadFile
from fastapi.responses import PlainTextResponse
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool

import nlp
from models.processors import give_way
from models.tagger import Tagger
from service import about, audits, clusterings, jobs, problems, reviews, sessions, similar, submissions, webhooks
from service.access import Access, require_credentials
from service.answers import Batch, read_upload
from service.batching import model_stopped
from service.clock import Clock, utc_now
from service.clustering_work import NICENESS
from service.dependencies import ModelDep, RuntimeDep, SettingsDep
from service.gate import Gate
from service.headers import SecurityHeaders, documentation_policy
from service.languages import AnswerLanguage
from service.limits import BodyLimit, ConcurrencyLimit, Places
from service.metrics import CONTENT_TYPE, Metrics
from service.model import Model
from service.observing import Observed, configure_log
from service.runtime import Runtime, open_runtime
from service.schemas import ClassifyRequest, ClassifyResponse, FileQuery, HealthResponse, ItemIn, OptionsIn
from service.scopes import describe
from service.settings import Settings

router = APIRouter()

# Whether the service is ready is asked on threads of its own, and answered within so many seconds.
_PROBE_THREADS = 2
_PROBE_SECONDS = 3
# Texts of an answer that costs less to write than to hand to a thread.
_WRITTEN_AT_ONCE = 4
# Small sets of comments that are grouped at a time; others wait.
_CLUSTERING_THREADS = 2


@router.post("/v1/classify", response_model=ClassifyResponse, tags=["classify"])
async def classify(request: Request, body: ClassifyRequest, model: ModelDep, settings: SettingsDep) -> Response:
    """Tag one text or many. A text that cannot be tagged gets a problem of its own; the others are answered."""
    batch = Batch.of_items([ItemIn(text=body.text)] if body.items is None else body.items, settings.most_characters)
    return await _classified(request, batch, body, model, settings)


@router.post("/v1/classify/file", response_model=ClassifyResponse, tags=["classify"])
async def classify_file(
    request: Request, file: UploadFile, query: Annotated[FileQuery, Query()], model: ModelDep, settings: SettingsDep
) -> Response:
    """Tag a file, whose kind its name tells: text or Markdown is one item; a row of CSV, TSV or JSONL is one each."""
    batch = await read_upload(file, query, settings.most_characters)
    return await _classified(request, batch, query, model, settings)


async def _classified(request: Request, batch: Batch, asked: OptionsIn, model: Model, settings: Settings) -> Response:
    if len(batch) > settings.most_items:
        detail = f"{len(batch)} items, expected at most {settings.most_items} (most_items); send more as a job"
        raise HTTPException(413, detail)
    taxonomy = model.tagger.taxonomy
    options = asked.options(taxonomy, texts=len(batch), most_characters=settings.most_characters)
    results = await model.classify_for(request, batch.documents, options)

    def written() -> str:
        answer = ClassifyResponse(model=model.out, items=batch.answers(results))
        return answer.model_dump_json(exclude_none=True)

    # Long answers are written on a thread: the event loop stays free.
    body = written() if len(batch) <= _WRITTEN_AT_ONCE else await run_in_threadpool(written)
    return Response(body, media_type="application/json")


@router.get("/healthz", tags=["operations"])
async def healthz(request: Request) -> HealthResponse:
    """The process answers; 503 where its model has stopped: it takes texts again when the process is started again."""
    runtime: Runtime | None = getattr(request.app.state, "runtime", None)
    if runtime is not None and not runtime.batcher.alive:
        raise model_stopped()
    return HealthResponse(status="ok")


@router.get("/readyz", tags=["operations"])
async def readyz(request: Request, runtime: RuntimeDep) -> HealthResponse:
    """The model is loaded and takes texts, the database and the queue answer; 503 otherwise, naming what does not."""
    if not runtime.batcher.alive:
        raise model_stopped()
    for name, check in (("the database", _ask_database), ("the queue of the jobs", _ask_queue)):
        try:
            with fail_after(_PROBE_SECONDS):
                await to_thread.run_sync(check, runtime, limiter=request.app.state.probing, abandon_on_cancel=True)
        except Exception as error:
            raise HTTPException(503, f"{name} does not answer", headers={"Retry-After": "1"}) from error
    return HealthResponse(status="ok")


def _ask_database(runtime: Runtime) -> None:
    with runtime.store.read() as reader:
        reader.submission("")


def _ask_queue(runtime: Runtime) -> None:
    runtime.background.check()


@router.get("/metrics", response_class=PlainTextResponse, tags=["operations"])
def metrics(request: Request, runtime: RuntimeDep) -> Response:
    """Figures for Prometheus."""
    with runtime.store.read() as reader:
        jobs = reader.jobs.open()
    figures: Metrics = request.app.state.metrics
    return Response(figures.written(waiting=runtime.batcher.waiting, jobs=jobs), media_type=CONTENT_TYPE)


def create_app(
    settings: Settings,
    tagger: Tagger | None = None,
    clock: Clock = utc_now,
    *,
    opened: Callable[[], object] = lambda: None,
) -> FastAPI:
    """The service.

    Args:
        settings: see :class:`~service.settings.Settings`.
        tagger: answers instead of the bundle of the settings; tests give the stub.
        clock: tells the time of what is written.
        opened: is called once the model and the store are open.
    """
    figures = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with open_runtime(settings, tagger, clock, figures) as runtime:
            require_credentials(settings, runtime.store, clock)
            app.state.runtime = runtime
            app.state.access = Access(settings, runtime.store, clock)
            opened()
            yield

    # The documentation pages bring their scripts along: nothing is fetched from outside.
    app = FastAPIOffline(
        title="Musannif",
        version=nlp.__version__,
        description="Tags Arabic texts about government practices: SDG goals and targets, technologies, RITE.",
        lifespan=lifespan,
        responses=problems.RESPONSES,
    )
    app.state.settings = settings
    app.state.clock = clock
    app.state.metrics = figures
    app.state.probing = CapacityLimiter(_PROBE_THREADS)
    app.state.clustering = ThreadPoolExecutor(
        _CLUSTERING_THREADS, "clustering", initializer=give_way, initargs=(NICENESS,)
    )
    # The last is the first that a request meets. A slow sender takes no place among the requests in progress; bodies on
    # their way have places of their own.
    places = Places(settings.most_at_once)
    app.add_middleware(ConcurrencyLimit, places=places)
    app.add_middleware(
        BodyLimit,
        most=settings.most_at_once,
        most_bytes=settings.most_bytes,
        seconds=settings.body_seconds,
        large_bytes=settings.most_cluster_bytes,
    )
    app.add_middleware(Gate, places=places, cookie=settings.session_cookie)
    app.add_middleware(SecurityHeaders, documentation_policy=documentation_policy(app))
    app.add_middleware(AnswerLanguage)
    app.add_middleware(Observed, metrics=figures)
    problems.install(app)
    for one in (
        router,
        about.router,
        sessions.router,
        submissions.router,
        reviews.router,
        similar.router,
        clusterings.router,
        jobs.router,
        webhooks.router,
        audits.router,
    ):
        app.include_router(one)
    describe(app, settings.session_cookie)
    return app


def create_app_from_environment() -> FastAPI:
    """The service as every process of ``musannif serve`` makes it."""
    settings = Settings()
    configure_log(settings)
    return create_app(settings, opened=_keep_for_good)


def _keep_for_good() -> None:
    """What is there now stays: looking through all of it for garbage would stop every request for a quarter second."""
    gc.collect()
    gc.freeze()
