"""Work that comes round every few seconds, whatever else is under way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Rounds:
    """A thread that does something again and again; an error is logged, and the next round comes.

    Args:
        work: of one round.
        seconds: between two rounds.
    """

    def __init__(self, work: Callable[[], object], seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"rounds of {work.__name__}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End with the round under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._work()
            except Exception:
                _log.exception("work that comes round failed, and is tried again in %g seconds", self._seconds)
            self._stopping.wait(self._seconds)
