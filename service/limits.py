"""Bounds on requests: how many at once, and how large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from anyio import fail_after
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import problem, problem_response
from service.scopes import PROBES, Open, operation_of

# Of a body that anyone may send: the name and password of a sign-in.
_MOST_OF_ANYONE = 16_384
# Operations that take a consultation at once.
_LARGE = frozenset({"/v1/cluster", "/v1/cluster/file", "/v1/clusterings/{clustering_id}/comments"})


class Places:
    """For requests in progress.

    Args:
        most: that are in progress at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    @property
    def full(self) -> bool:
        """Further requests are to be refused."""
        return self._taken >= self._most

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold one."""
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    def refusal(self) -> Response:
        """The answer where there is none left."""
        detail = f"{self._most:,} requests are in progress (most_at_once); try again in a second"
        return problem_response(problem(429, detail), {"Retry-After": "1"})


class ConcurrencyLimit:
    """ASGI middleware that answers 429 to what comes while all places are taken, but never to probes."""

    def __init__(self, app: ASGIApp, places: Places) -> None:
        self._app = app
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if there is room."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        if self._places.full:
            await self._places.refusal()(scope, receive, send)
            return
        with self._places.taken():
            await self._app(scope, receive, send)


class BodyLimit:
    """ASGI middleware that bounds bodies: in bytes, in time, and how many may be on their way; 429 to further ones.

    Those of the operations that anyone may ask for are counted apart: nobody unknown keeps the bodies of others out.

    Args:
        app: what lies behind.
        most: bodies on their way.
        most_bytes: larger ones are answered 413, with or without a content length.
        seconds: within which a body must have come; 408 after them.
        large_bytes: takes the place of ``most_bytes`` for the comments of a consultation.
    """

    def __init__(self, app: ASGIApp, most: int, most_bytes: int, seconds: float, large_bytes: int) -> None:
        self._app = app
        self._most = most
        self._coming: Counter[bool] = Counter()
        self._most_bytes = most_bytes
        self._large_bytes = large_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body within its bound, then pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._most_bytes
        name = "most_bytes"
        operation = operation_of(scope["method"], scope["path"])
        of_anyone = operation.need is Open.ANYONE
        if of_anyone:
            most = min(most, _MOST_OF_ANYONE)
        elif operation.path in _LARGE:
            most, name = max(most, self._large_bytes), "most_cluster_bytes"
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"0")
        comes = declared != b"0" or b"transfer-encoding" in headers
        if comes and self._coming[of_anyone] >= self._most:
            detail = f"{self._most:,} request bodies are on their way (most_at_once); try again in a second"
            await problem_response(problem(429, detail), {"Retry-After": "1"})(scope, receive, send)
            return
        chunks: list[bytes] = []
        size = int(declared) if declared.isdigit() and int(declared) > most else 0
        more = size <= most
        self._coming[of_anyone] += comes
        try:
            with fail_after(self._seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    more = message.get("more_body", False) and size <= most
        except TimeoutError:
            detail = f"the request body did not come within {self._seconds:g} seconds (body_seconds)"
            await problem_response(problem(408, detail))(scope, receive, send)
            return
        finally:
            self._coming[of_anyone] -= comes
        if size > most:
            detail = f"the request body is over {most:,} bytes ({name}); send fewer texts at a time"
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
