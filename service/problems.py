"""Errors as problems of RFC 9457 (``application/problem+json``)."""

from __future__ import annotations

import errno
import logging
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
    AuditError,
    BundleError,
    DeadlineError,
    ForbiddenError,
    JobError,
    ModelStoppedError,
    MusannifError,
    NotStoredError,
    PreconditionError,
    QueueFullError,
    RateLimitError,
    StoreBusyError,
    StoreDiskError,
    StoreDownError,
    StoreFullError,
    TaggingError,
    TextTooLongError,
    UnknownCallerError,
)
from service.arabic import ARABIC
from service.headers import SECURITY_HEADERS
from service.languages import LANGUAGE

MEDIA_TYPE = "application/problem+json"

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

_log = logging.getLogger(__name__)

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
    StoreDownError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreBusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreFullError: HTTPStatus.INSUFFICIENT_STORAGE,
    StoreDiskError: HTTPStatus.SERVICE_UNAVAILABLE,
    BundleError: HTTPStatus.SERVICE_UNAVAILABLE,
    TaggingError: HTTPStatus.INTERNAL_SERVER_ERROR,
    ModelStoppedError: HTTPStatus.SERVICE_UNAVAILABLE,
    QueueFullError: HTTPStatus.TOO_MANY_REQUESTS,
    DeadlineError: HTTPStatus.SERVICE_UNAVAILABLE,
    JobError: HTTPStatus.CONFLICT,
    AuditError: HTTPStatus.CONFLICT,
    UnknownCallerError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    RateLimitError: HTTPStatus.TOO_MANY_REQUESTS,
}


def problem(status: int, detail: str, kind: str = "about:blank", title: str = "") -> dict[str, Any]:
    """The body of a problem, in the language of the request at hand."""
    title = title or HTTPStatus(status).phrase
    words = ARABIC.get(str(status) if kind == "about:blank" else kind)
    if LANGUAGE.get() == "ar" and words:
        title, sentence = words
        # The finding is set off as one piece, so that it does not mix with the Arabic around it.
        detail = f"{sentence} \u2068{detail}\u2069" if sentence.endswith(":") else sentence
    return {"type": kind, "title": title, "status": status, "detail": detail}


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
    headers = {"Content-Language": LANGUAGE.get(), "Vary": "Accept-Language", **(headers or {})}
    return JSONResponse(body, status_code=body["status"], media_type=MEDIA_TYPE, headers=headers)


def error_response(error: MusannifError) -> JSONResponse:
    """The answer to a request that ended in an error of ours."""
    headers = {}
    if isinstance(error, RateLimitError | QueueFullError):
        headers["Retry-After"] = str(error.retry_after)
    elif isinstance(error, StoreBusyError | DeadlineError):
        headers["Retry-After"] = "1"
    elif isinstance(error, UnknownCallerError):
        headers["WWW-Authenticate"] = 'Bearer realm="musannif"'
    return problem_response(problem_of(error), headers)


def install(app: FastAPI) -> None:
    """Answer every error of an app with a problem; nothing of the inside shows."""

    async def _known(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, MusannifError)
        return error_response(error)

    app.add_exception_handler(MusannifError, _known)

    @app.exception_handler(ClientDisconnect)
    async def _gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody reads it; the log shows it

    @app.exception_handler(RequestValidationError)
    async def _validation(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(problem(422, faults_of(error.errors())))

    @app.exception_handler(OSError)
    async def _disk(_: Request, error: OSError) -> JSONResponse:
        if error.errno not in _NO_ROOM:
            raise error
        _log.error("the disk of the temporary folder is full: %s", error.strerror)
        return error_response(
            StoreFullError(
                "no room is left in the temporary folder",
                expected="room for what was sent",
                remedy="make room, then try again",
            )
        )

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400 and isinstance(error.__cause__, OSError):
            # A file that could not be written to the temporary folder: no fault of what was sent.
            return await _disk(request, error.__cause__)
        return problem_response(problem(error.status_code, str(error.detail)), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, _: Exception) -> JSONResponse:
        # This answer is given outside of all middleware.
        body = problem(500, "an unexpected error; the log of the service has the details, under the X-Request-ID")
        return problem_response(body, {**SECURITY_HEADERS, "X-Request-ID": getattr(request.state, "request_id", "")})
