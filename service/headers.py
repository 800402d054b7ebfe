"""Headers that tell browsers what pages of this service may do: as little as possible."""

from __future__ import annotations

import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BOUNDS = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; {_BOUNDS}",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_DOCUMENTATION = frozenset({"/docs", "/redoc"})


class SecurityHeaders:
    """ASGI middleware that adds the headers which a response does not set itself.

    Args:
        app: what lies behind.
        documentation_policy: Content-Security-Policy of the documentation pages.
    """

    def __init__(self, app: ASGIApp, documentation_policy: str) -> None:
        self._app = app
        self._documentation_policy = documentation_policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add to the answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if scope["path"] in _DOCUMENTATION:
                    headers["Content-Security-Policy"] = self._documentation_policy
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def documentation_policy(app: FastAPI) -> str:
    """A policy under which the documentation pages of an app run: own scripts, and the inline one by its hash."""
    page = get_swagger_ui_html(
        openapi_url=str(app.openapi_url),
        title=app.title,
        oauth2_redirect_url=app.swagger_ui_oauth2_redirect_url,
        swagger_ui_parameters=app.swagger_ui_parameters,
    )
    return (
        f"default-src 'self'; script-src 'self' {' '.join(map(_source, inline_scripts(bytes(page.body).decode())))}; "
        f"style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src blob:; {_BOUNDS}"
    )


def inline_scripts(page: str) -> list[str]:
    """The scripts that stand in a page itself."""
    return re.findall(r"<script>(.*?)</script>", page, re.DOTALL)


def _source(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
