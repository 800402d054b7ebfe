"""Routes of sessions: signing in, who am I, signing out."""

from __future__ import annotations

from datetime import datetime

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from service.access import AccessDep
from service.callers import Caller, CallerDep, Means
from service.dependencies import SettingsDep
from service.passwords import MOST_CHARACTERS
from service.store.records import Scope
from service.submission_schemas import Reviewer

router = APIRouter(prefix="/v1/session", tags=["session"])


class SignInIn(BaseModel):
    """A name and its password."""

    model_config = ConfigDict(extra="forbid")

    name: Reviewer
    password: SecretStr = Field(max_length=MOST_CHARACTERS)


class SessionOut(BaseModel):
    """Who asks."""

    name: str | None = Field(description="Under which decisions are kept; none where access is open.")
    means: Means
    scopes: list[Scope]
    expires: datetime | None
    csrf: str | None = Field(description="Of a session: what writes carry in the header X-CSRF-Token.")

    @classmethod
    def of(cls, caller: Caller) -> SessionOut:
        """On the wire."""
        return cls(
            name=None if caller.means is Means.OPEN else caller.actor,
            means=caller.means,
            scopes=sorted(caller.scopes),
            expires=caller.expires,
            csrf=caller.csrf or None,
        )


@router.post("")
async def sign_in(
    body: SignInIn, request: Request, response: Response, access: AccessDep, settings: SettingsDep
) -> SessionOut:
    """Sign in by name and password. The answer sets a cookie, which scripts of pages cannot read."""
    asked = (body.name, body.password.get_secret_value(), request.scope["client"])
    cookie, caller = await to_thread.run_sync(access.sign_in, *asked, limiter=access.door)
    response.set_cookie(
        settings.session_cookie,
        cookie,
        max_age=int(settings.session_hours * 3600),
        secure=settings.secure_cookies,
        httponly=True,
        samesite="lax",
    )
    return SessionOut.of(caller)


@router.get("")
def who_am_i(caller: CallerDep) -> SessionOut:
    """Who asks, and what they may do."""
    return SessionOut.of(caller)


@router.delete("", status_code=204)
def sign_out(caller: CallerDep, response: Response, access: AccessDep, settings: SettingsDep) -> None:
    """End the session. Its cookie opens nothing any more, wherever it was copied to."""
    access.sign_out(caller)
    response.delete_cookie(settings.session_cookie, secure=settings.secure_cookies, httponly=True, samesite="lax")
