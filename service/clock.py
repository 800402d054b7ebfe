"""Who tells the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

# No clock goes wrong by so much unless it is set.
_JUMP = timedelta(hours=1)


def utc_now() -> datetime:
    """The present time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Jump:
    """A clock that went forward by more than the time that passed.

    Attributes:
        to: what it told then.
        by: how much too far it went.
    """

    to: datetime
    by: timedelta


class Watch:
    """Notices where a clock jumps forward, beside one that cannot."""

    def __init__(self) -> None:
        self._last: tuple[datetime, float] | None = None

    def jump(self, at: datetime) -> Jump | None:
        """The jump between the time last seen and this one, if there was one."""
        if self._last is None:
            return None
        last, seconds = self._last
        by = at - last - timedelta(seconds=time.monotonic() - seconds)
        return Jump(at, by) if by > _JUMP else None

    def see(self, at: datetime) -> None:
        """Take note of what the clock tells."""
        self._last = at, time.monotonic()
