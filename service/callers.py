"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Request

from nlp.errors import ForbiddenError, ReviewError
from service.store.records import Scope


class Means(StrEnum):
    """By what a caller is known."""

    OPEN = "open"
    KEY = "key"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        means: how that is known; ``open`` where access is open and nobody is known.
        actor: name in the audit log: ``api``, ``key:NAME``, or the name of a user.
        scopes: what the caller may do.
        expires: when key or session end.
        token: of the session; empty if there is none.
        csrf: what the session's writes must bring along; empty if there is no session.
    """

    means: Means
    actor: str
    scopes: frozenset[Scope]
    expires: datetime | None = None
    token: str = field(default="", repr=False)
    csrf: str = field(default="", repr=False)

    def signs_as(self, given: str | None) -> str:
        """The name under which decisions are kept.

        Args:
            given: the name in the request.

        Raises:
            ForbiddenError: the request names somebody else than who asks.
            ReviewError: access is open, and the request names nobody.
        """
        if self.means is Means.OPEN:
            if given is None:
                raise ReviewError("nobody signs the decisions", expected="the field reviewer where access is open")
            return given
        if given is not None and given != self.actor:
            raise ForbiddenError(
                f"the request is signed by {given!r}",
                expected=f"{self.actor!r}, who asks",
                remedy="leave the field reviewer out",
            )
        return self.actor


OPEN_CALLER = Caller(Means.OPEN, "api", frozenset(Scope))


# A coroutine, so that a request is not handed to a thread only to look something up.
async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


CallerDep = Annotated[Caller, Depends(_caller)]
