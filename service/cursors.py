"""Opaque cursors: the place where a list goes on, bound to the filters for which it was given."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from nlp.errors import CursorError


def write_cursor(after: int | None, filters: Mapping[str, Any]) -> str | None:
    """The cursor of the next page; ``None`` if there is none."""
    if after is None:
        return None
    return base64.urlsafe_b64encode(json.dumps([after, _mark(filters)]).encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, filters: Mapping[str, Any]) -> int:
    """The place that a cursor holds; the start if there is none.

    Raises:
        CursorError: it is none of ours, or was given for other filters.
    """
    if cursor is None:
        return 0
    try:
        after, mark = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        if type(after) is not int or not 0 <= after < 2**63:
            raise ValueError(after)
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise CursorError(f"the cursor {cursor!r} cannot be read", expected="next of an earlier page") from error
    if mark != _mark(filters):
        raise CursorError(
            "the cursor was given for other filters",
            expected="the filters of the page before",
            remedy="start again without a cursor",
        )
    return after


def _mark(filters: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(filters, sort_keys=True, default=str).encode()).hexdigest()[:12]
