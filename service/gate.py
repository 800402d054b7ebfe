"""The gate before all operations: who asks, and whether the body is of a form that the operation takes.

It decides before a byte of the body is read.
"""

from __future__ import annotations

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from nlp.errors import MusannifError
from service.access import Access
from service.limits import Places
from service.problems import error_response, problem, problem_response
from service.scopes import PROBES, Open, Operation, operation_of

_THREADS = 8


class Gate:
    """ASGI middleware that lets a request pass, or answers 401, 403, 415 or 429.

    Args:
        app: what lies behind.
        places: where none is left, a request is refused before anybody looks who sent it: that costs least.
        cookie: name of the session's cookie.
    """

    def __init__(self, app: ASGIApp, places: Places, cookie: str) -> None:
        self._app = app
        self._places = places
        self._cookie = cookie
        # Threads of its own: a refusal does not wait until texts are tagged.
        self._threads = CapacityLimiter(_THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        operation = operation_of(request.method, scope["path"])
        if operation.path in PROBES and operation.need is Open.ANYONE:
            # Whether the service lives is asked without end, and answered also where no thread is free.
            await self._app(scope, receive, send)
            return
        if self._places.full:
            await self._places.refusal()(scope, receive, send)
            return
        access: Access | None = getattr(request.app.state, "access", None)
        if access is not None:
            try:
                cookie = request.cookies.get(self._cookie)
                at_once, known = access.recall(operation, request.headers, cookie)
                asked = (operation, request.headers, cookie, scope["client"], known)
                # A thread costs more than everything else that is done here.
                if at_once:
                    request.state.caller = access.admit(*asked)
                else:
                    request.state.caller = await to_thread.run_sync(access.admit, *asked, limiter=self._threads)
            except MusannifError as error:
                await error_response(error)(scope, receive, send)
                return
        elif operation.need is not Open.ANYONE:
            refusal = problem_response(problem(503, "the store is still opening"), {"Retry-After": "1"})
            await refusal(scope, receive, send)
            return
        fault = _fault_of_form(request, operation)
        if fault:
            await problem_response(problem(415, fault))(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _fault_of_form(request: Request, operation: Operation) -> str:
    """What is wrong with the media type of a body; empty if nothing is, or if there is no body."""
    if "transfer-encoding" not in request.headers and request.headers.get("content-length", "0") == "0":
        return ""
    described = request.app.openapi()["paths"].get(operation.path, {}).get(operation.method.lower(), {})
    taken = list(described.get("requestBody", {}).get("content", {}))
    if not taken:
        return ""
    given = request.headers.get("content-type", "")
    media_type, _, parameters = given.partition(";")
    charset = parameters.lower().replace(" ", "").replace('"', "").partition("charset=")[2].partition(";")[0]
    if media_type.strip().lower() in taken and charset in ("", "utf-8", "utf8"):
        return ""
    return f"the body is {given.strip() or 'without a Content-Type'!s}; expected {' or '.join(taken)}, in UTF-8"
