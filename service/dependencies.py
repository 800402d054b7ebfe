"""What routes depend on: the model in use, the settings, the store, the clock, and the work behind the requests."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException, Request

from service.clock import Clock
from service.model import Model
from service.runtime import Runtime
from service.settings import Settings
from service.store import Store
from service.working import Background


# Coroutines, so that a request is not handed to a thread only to look something up.
async def _runtime(request: Request) -> Runtime:
    runtime: Runtime | None = getattr(request.app.state, "runtime", None)
    if runtime is None:
        raise HTTPException(503, "the service is still starting", headers={"Retry-After": "1"})
    return runtime


async def _background(request: Request) -> Background:
    return (await _runtime(request)).background


async def _model(request: Request) -> Model:
    return (await _runtime(request)).model


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _store(request: Request) -> Store:
    return (await _runtime(request)).store


async def _clock(request: Request) -> Clock:
    clock: Clock = request.app.state.clock
    return clock


RuntimeDep = Annotated[Runtime, Depends(_runtime)]
BackgroundDep = Annotated[Background, Depends(_background)]
ModelDep = Annotated[Model, Depends(_model)]
SettingsDep = Annotated[Settings, Depends(_settings)]
StoreDep = Annotated[Store, Depends(_store)]
ClockDep = Annotated[Clock, Depends(_clock)]
