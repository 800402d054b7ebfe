"""Errors as problems of RFC 9457 (``application/problem+json``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from nlp.errors import (
    BundleError,
    DeadlineError,
    JobError,
    MusannifError,
    NotStoredError,
    OverloadError,
    PreconditionError,
    QueueFullError,
    ReadingError,
    StoreBusyError,
    StoreError,
    TaggingError,
    TaxonomyError,
    TextTooLongError,
    WebhookError,
)
from service.language import ARABIC, language

MEDIA_TYPE = "application/problem+json"

_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
# What every route may answer besides, for its description.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "The request cannot be answered: a problem of RFC 9457.", "content": _CONTENT},
    "5XX": {"description": "The service cannot answer now: a problem of RFC 9457.", "content": _CONTENT},
}

_STATUS: dict[type[MusannifError], HTTPStatus] = {
    TextTooLongError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    NotStoredError: HTTPStatus.NOT_FOUND,
    PreconditionError: HTTPStatus.PRECONDITION_FAILED,
    StoreBusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    BundleError: HTTPStatus.SERVICE_UNAVAILABLE,
    TaggingError: HTTPStatus.INTERNAL_SERVER_ERROR,
    QueueFullError: HTTPStatus.TOO_MANY_REQUESTS,
    DeadlineError: HTTPStatus.SERVICE_UNAVAILABLE,
    JobError: HTTPStatus.CONFLICT,
}


def problem(status: int, detail: str, kind: str = "about:blank", title: str = "") -> dict[str, Any]:
    """The body of a problem, in the language of the request under way."""
    body = {"type": kind, "title": title or HTTPStatus(status).phrase, "status": status, "detail": detail}
    arabic = ARABIC.get(kind) or ARABIC.get(str(status))
    if language.get() == "ar" and arabic:
        body |= {"title": arabic[0], "detail": arabic[1], "found": detail}
    return body


def problem_of(error: MusannifError) -> dict[str, Any]:
    """The problem that an error of ours is: its name is the type, its message the detail."""
    status = _STATUS.get(type(error), HTTPStatus.UNPROCESSABLE_ENTITY)
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()
    return problem(int(status), str(error), kind=f"urn:musannif:{words.replace(' ', '-')}", title=words.capitalize())


def faults_of(errors: Sequence[Any]) -> str:
    """The first faults that validation found, each with its place."""
    faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in errors[:5])
    return faults.encode("utf-8", "replace").decode()


def problem_response(body: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    """A response that carries a problem."""
    said = "ar" if "found" in body else "en"
    headers = {**(headers or {}), "Content-Language": said, "Vary": "Accept-Language"}
    return JSONResponse(body, status_code=body["status"], media_type=MEDIA_TYPE, headers=headers)


def _retry_after(error: MusannifError) -> dict[str, str] | None:
    if isinstance(error, QueueFullError):
        return {"Retry-After": str(error.retry_after)}
    return {"Retry-After": "1"} if isinstance(error, StoreBusyError | DeadlineError) else None


def install(app: FastAPI) -> None:
    """Answer every error of an app with a problem; nothing of the inside shows."""

    async def _known(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, MusannifError)
        return problem_response(problem_of(error), _retry_after(error))

    for kind in (TaxonomyError, ReadingError, StoreError, OverloadError, JobError, WebhookError, BundleError):
        app.add_exception_handler(kind, _known)

    @app.exception_handler(ClientDisconnect)
    async def _gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody reads it; the log shows it

    @app.exception_handler(RequestValidationError)
    async def _validation(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(problem(422, faults_of(error.errors())))

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return problem_response(problem(error.status_code, str(error.detail)), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, _: Exception) -> JSONResponse:
        body = problem(500, "an unexpected error; the log of the service has the details, under the X-Request-ID")
        return problem_response(body, {"X-Request-ID": getattr(request.state, "request_id", "")})
