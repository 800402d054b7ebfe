"""Keys of programs: how they are made and recognised."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from nlp.errors import UnknownCallerError
from service.store.credentials import Credentials
from service.store.records import ApiKey, Scope

_FORM = re.compile(r"(mk_[0-9a-f]{12})_[A-Za-z0-9_-]{43}")


def new_key(name: str, scopes: Iterable[Scope], at: datetime, lasting: timedelta) -> tuple[str, ApiKey]:
    """A random key of 256 bits, and what is kept of it.

    Args:
        name: of its holder.
        scopes: what it opens.
        at: now.
        lasting: how long it opens anything.

    Returns:
        The key, which nobody can ever tell again, and its record.
    """
    prefix = f"mk_{secrets.token_hex(6)}"
    key = f"{prefix}_{secrets.token_urlsafe(32)}"
    return key, ApiKey(name, prefix, digest_of(key), frozenset(scopes), at, at + lasting)


def digest_of(secret: str) -> str:
    """SHA-256 in hexadecimal digits. It is enough for what is random and long; passwords need more."""
    return hashlib.sha256(secret.encode()).hexdigest()


def recognise(key: str, credentials: Credentials, at: datetime) -> ApiKey:
    """The record of a key that opens something now.

    Raises:
        UnknownCallerError: there is no such key, or not any more. Only its holder learns which.
    """
    form = _FORM.fullmatch(key)
    known = credentials.key(form[1]) if form else None
    if known is None or not hmac.compare_digest(known.digest, digest_of(key)):
        raise UnknownCallerError(
            "the key is not known here",
            expected="a key as musannif keys create shows it",
            remedy="send it as Authorization: Bearer KEY",
        )
    if not known.usable(at):
        when = f"was revoked on {known.revoked:%Y-%m-%d}" if known.revoked else f"expired on {known.expires:%Y-%m-%d}"
        raise UnknownCallerError(
            f"the key {known.prefix} {when}",
            expected="a key that still holds",
            remedy="ask for a new one; musannif keys create makes it",
        )
    return known
