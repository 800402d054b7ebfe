"""Bounds on requests: how many at once, and how large."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import problem, problem_response
from service.scopes import PROBES


class ConcurrencyLimit:
    """ASGI middleware that answers 429 to what comes while ``most`` requests are in progress, but never to probes."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if there is room."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        if self._running >= self._most:
            detail = f"{self._most:,} requests are in progress (most_at_once); try again in a second"
            await problem_response(problem(429, detail), {"Retry-After": "1"})(scope, receive, send)
            return
        self._running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1


class BodyLimit:
    """ASGI middleware that answers 413 to a body over ``most_bytes``, with or without a content length."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body within its bound, then pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        chunks: list[bytes] = []
        size = int(declared) if declared.isdigit() else 0
        more = size <= self._most_bytes
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunks.append(message.get("body", b""))
            size = sum(map(len, chunks))
            more = message.get("more_body", False) and size <= self._most_bytes
        if size > self._most_bytes:
            detail = f"the request body is over {self._most_bytes:,} bytes (most_bytes); send fewer texts at a time"
            await problem_response(problem(413, detail))(scope, receive, send)
            return
        await self._app(scope, _replay(b"".join(chunks), receive), send)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then whatever still comes."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message
