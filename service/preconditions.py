"""Conditions on writes: ETag with If-Match and If-None-Match (RFC 9110), and the Idempotency-Key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Annotated, Any, Protocol

from fastapi import Depends, Header, Response

from nlp.errors import PreconditionError
from service.callers import CallerDep
from service.store.records import Answer, Repeatable


class Versioned(Protocol):
    """What is stored, and changes."""

    @property
    def key(self) -> int:
        """Of the row; never given twice."""
        ...

    @property
    def version(self) -> int:
        """Rises when anything changes."""
        ...


def etag(stored: Versioned) -> str:
    """The entity tag of a submission or a clustering as it is now; every change gives another."""
    return f'"{stored.key}.{stored.version}"'


@dataclass(frozen=True)
class Condition:
    """Under which a write is wanted.

    Attributes:
        if_match: entity tags, one of which it must have, or ``*`` for any.
        if_none_match: ``*`` if there must not be any such yet.
    """

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, stored: Versioned | None) -> None:
        """Let the write go on, or not.

        Raises:
            PreconditionError: the submission or clustering is not as the caller last read it.
        """
        present = None if stored is None else etag(stored)
        remedy = "read it again and decide on what it is now"
        if self.if_match is not None and not _names(self.if_match, present):
            raise PreconditionError(
                f"it is now {present or 'absent'}", expected=f"If-Match {self.if_match}", remedy=remedy
            )
        if self.if_none_match is not None and _names(self.if_none_match, present):
            raise PreconditionError(f"it is there, as {present}", expected="none (If-None-Match)", remedy=remedy)


def _names(tags: str, present: str | None) -> bool:
    return present is not None and (tags.strip() == "*" or present in {tag.strip() for tag in tags.split(",")})


async def _condition(
    if_match: Annotated[str | None, Header(description="Entity tag that it must have.")] = None,
    if_none_match: Annotated[str | None, Header(description="* to write only what is not there yet.")] = None,
) -> Condition:
    return Condition(if_match, if_none_match)


ConditionDep = Annotated[Condition, Depends(_condition)]


async def _repeat_key(
    caller: CallerDep,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            max_length=200,
            pattern="^[!-~]+$",
            description="Of your choice; the same request with the same key is answered the same and done once.",
        ),
    ] = None,
) -> str | None:
    """The key, set off from those of other callers: no name of a caller holds a slash."""
    return key and f"{caller.actor}/{key}"


KeyDep = Annotated[str | None, Depends(_repeat_key)]


def replayed(answer: Answer) -> Answer:
    """An answer that is given again, and says so."""
    return replace(answer, headers={**answer.headers, "Idempotency-Replayed": "true"})


def response_of(answer: Answer) -> Response:
    """An answer on the wire."""
    return Response(answer.body, answer.status, dict(answer.headers), media_type="application/json")


def repeatable(key: str | None, *request: Any) -> Repeatable | None:
    """The mark of a request with its key; ``None`` if it has none.

    Args:
        key: of the header, with its caller.
        request: method, address and body, as JSON.
    """
    if key is None:
        return None
    return Repeatable(key, hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest())
