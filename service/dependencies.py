"""What routes depend on: the model in use, the settings, the store, and the clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from models.bundle import load_tagger, read_manifest
from models.tagger import Options, Tagger
from nlp.records import Classification, Document, Failure
from service.schemas import ModelOut
from service.settings import Settings
from service.store import Store

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Model:
    """The tagger in use, with the versions that every answer names.

    One text is classified at a time, on all threads: several at once would only wait for each other's processors.
    """

    tagger: Tagger
    out: ModelOut
    turn: threading.Lock

    def classify(self, document: Document, options: Options) -> Classification | Failure:
        """Tag one text when it is its turn."""
        with self.turn:
            return self.tagger.classify([document], options)[0]


def open_model(settings: Settings, tagger: Tagger | None) -> Model:
    """Take the given tagger, or open the bundle of the settings.

    Raises:
        BundleError: the bundle is missing, incomplete or altered.
    """
    if tagger is None:
        versions = read_manifest(settings.bundle).versions
        tagger = load_tagger(settings.bundle, threads=settings.threads or None)
    else:
        versions = {
            "taxonomy": f"{tagger.taxonomy.version}+{tagger.taxonomy.fingerprint[:12]}",
            "recipe": f"{tagger.recipe.name}+{tagger.recipe.fingerprint[:12]}",
            "thresholds": "given",
        }
    return Model(tagger, ModelOut(name=tagger.name, **versions), threading.Lock())


def _model(request: Request) -> Model:
    model: Model | None = getattr(request.app.state, "model", None)
    if model is None:
        raise HTTPException(503, "the model is still loading", headers={"Retry-After": "1"})
    return model


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _store(request: Request) -> Store:
    store: Store | None = getattr(request.app.state, "store", None)
    if store is None:
        raise HTTPException(503, "the store is still opening", headers={"Retry-After": "1"})
    return store


def _clock(request: Request) -> Clock:
    clock: Clock = request.app.state.clock
    return clock


ModelDep = Annotated[Model, Depends(_model)]
SettingsDep = Annotated[Settings, Depends(_settings)]
StoreDep = Annotated[Store, Depends(_store)]
ClockDep = Annotated[Clock, Depends(_clock)]
