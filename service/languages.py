"""The language in which a request wants its problems told."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Literal

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

Language = Literal["en", "ar"]

# Of the request at hand: every request runs in a context of its own, and the threads that work for it see it too.
LANGUAGE: ContextVar[Language] = ContextVar("language", default="en")


class AnswerLanguage:
    """ASGI middleware that notes the language which ``Accept-Language`` prefers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the language, then pass the request on."""
        if scope["type"] == "http":
            LANGUAGE.set(preferred(Headers(scope=scope).get("accept-language", "")))
        await self._app(scope, receive, send)


def preferred(header: str) -> Language:
    """Arabic where ``Accept-Language`` (RFC 9110) sets it above English, else English."""
    weights = {"ar": 0.0, "en": 0.0}
    for part in header.split(","):
        tag, _, parameter = part.partition(";")
        language = tag.strip().lower().partition("-")[0]
        if language in weights:
            weights[language] = max(weights[language], _weight(parameter.strip()))
    return "ar" if weights["ar"] > weights["en"] else "en"


def _weight(parameter: str) -> float:
    try:
        return float(parameter.removeprefix("q=")) if parameter else 1.0
    except ValueError:
        return 0.0
