"""Routes that tell of the model in use, and put another in its place."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated

from fastapi import APIRouter, Header, Response

import nlp
from service.callers import CallerDep
from service.dependencies import ModelDep, RuntimeDep, SettingsDep
from service.schemas import InfoResponse, ModelsResponse, RuntimeOut

router = APIRouter(tags=["model"])


@router.get("/v1/taxonomy", responses={304: {"description": "It has not changed."}})
def taxonomy(
    model: ModelDep, if_none_match: Annotated[str | None, Header(description="ETag that is known.")] = None
) -> Response:
    """All axes and labels, with titles and definitions in Arabic and English and the UN URIs."""
    body = json.dumps(model.tagger.taxonomy.source, ensure_ascii=False).encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {"ETag": tag}
    known = {one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")}
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


@router.get("/v1/info")
def info(model: ModelDep, settings: SettingsDep) -> InfoResponse:
    """Versions and limits, each under the name of its setting."""
    return InfoResponse(version=nlp.__version__, model=model.out, limits=settings.limits)


@router.get("/v1/models")
def models(model: ModelDep) -> ModelsResponse:
    """The model in use, where it comes from, and what was measured of it."""
    runtime = model.tagger.encoder.runtime
    return ModelsResponse(
        model=model.out,
        loaded=model.loaded,
        runtime=RuntimeOut.model_validate(runtime, from_attributes=True) if runtime else None,
        training=model.training,
        metrics=model.metrics,
    )


@router.post("/v1/models/reload")
def reload(runtime: RuntimeDep, caller: CallerDep) -> ModelsResponse:
    """Open the bundle of the settings again, after a promotion. Requests under way end with the model they began with.

    If the bundle cannot be opened, the model in use stays. Other servers and workers on the same database open theirs
    within seconds.
    """
    runtime.reload(caller.actor)
    return models(runtime.model)
