"""One thread for scikit-learn's own loops: with several, sums differ in their last digits from run to run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
# One for each who asked. All but the first found one thread: whoever leaves gives back the last, and the first stays.
_limits: list[Any] = []


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold OpenMP to one thread until all have left who asked for it, in whatever order they do."""
    with _lock:
        _limits.append(_openmp().limit(limits=1))
    try:
        yield
    finally:
        with _lock:
            _limits.pop().restore_original_limits()


@cache
def _openmp() -> ThreadpoolController:
    """The libraries that are loaded; to find them takes milliseconds."""
    return ThreadpoolController().select(user_api="openmp")
