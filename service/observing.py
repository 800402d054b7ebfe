"""The log: its form, an id for every request, and one line for each; texts and secrets are never in it."""

from __future__ import annotations

import itertools
import logging
import re
import sys
import time
import uuid
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics
from service.settings import Settings

REQUEST_ID = "X-Request-ID"

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# A sender may call a method anything; only these become labels.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_log = logging.getLogger("musannif")


def configure_log(settings: Settings) -> None:
    """Give every line of this process, also of the server and the libraries, one form."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(allow=("method", "route", "status", "seconds")),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "json":
        form: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    else:
        # Its own choice of a form shows the variables of every frame: texts, keys and passwords.
        plain = structlog.dev.plain_traceback
        form = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    output = logging.StreamHandler()
    output.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *form]
        )
    )
    root = logging.getLogger()
    root.handlers = [output]
    root.setLevel(settings.log_level.upper())
    for name, level in (
        ("uvicorn.access", logging.CRITICAL),
        *((one, logging.WARNING) for one in ("huey", "httpx", "httpcore", "alembic")),
    ):
        logging.getLogger(name).setLevel(level)


class Observed:
    """ASGI middleware: every request gets an id, a line in the log, and is counted.

    A sender's own ``X-Request-ID`` is kept where it is plain.

    Args:
        app: answers.
        metrics: count.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        # Ids of this process: drawing a number of its own for each would ask the system every time.
        self._process = uuid.uuid4().hex[:20]
        self._numbers = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and note what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(REQUEST_ID.lower().encode(), b"")
        request_id = given.decode() if _ID.fullmatch(given) else f"{self._process}{next(self._numbers):012x}"
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID.lower().encode(), request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, note)
            finally:
                seconds = time.perf_counter() - started
                # The template, not the path: ids of submissions may name persons.
                route = getattr(scope.get("route"), "path", "none")
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._metrics.answered(method, route, status, seconds)
                figures = {"method": method, "route": route, "status": status, "seconds": round(seconds, 4)}
                _log.info("request", extra=figures)
