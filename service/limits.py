"""A bound on the size of a request body, held while it is read."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import problem, problem_response


class _BodyTooLargeError(Exception):
    pass


class BodyLimit:
    """ASGI middleware that answers 413 to a body over ``most_bytes``, with or without a content length."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting the bytes of its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most_bytes:
                raise _BodyTooLargeError
            return message

        try:
            if declared.isdigit() and int(declared) > self._most_bytes:
                raise _BodyTooLargeError
            await self._app(scope, counted, send)
        except _BodyTooLargeError:
            detail = f"the request body is over {self._most_bytes:,} bytes (most_bytes); send fewer texts at a time"
            await problem_response(problem(413, detail))(scope, receive, send)
