"""Parts of many tasks over a few threads: results in order, and little in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

R = TypeVar("R")

# Sizes of the tasks that are made ready together; two such lots are in memory, one at work and one that waits.
_LOT = 16_384


@dataclass(frozen=True)
class Part(Generic[R]):
    """Work that needs nothing but itself.

    Attributes:
        size: how long it takes beside others, in any unit (tokens).
        run: does it; it is told whether nothing else runs, so that all processors are its own.
    """

    size: int
    run: Callable[[bool], R]


def run_in_order(tasks: Iterable[Sequence[Part[R]]], *, streams: int) -> Iterator[list[Future[R]]]:
    """Run the parts of all tasks, the longest of a lot first, while the caller makes the next ones ready.

    Args:
        tasks: are asked for as they are needed, in the thread of the caller.
        streams: parts that run at the same time.

    Yields:
        For each task, in order, the results of its parts, done or still to come. Whatever is not begun is dropped when
        the caller leaves off.
    """
    pool: ThreadPoolExecutor | None = None
    waiting: deque[list[list[Future[R]]]] = deque()
    try:
        for lot, last in _lots(tasks):
            parts = sorted((part for task in lot for part in task), key=lambda part: -part.size)
            if last and pool is None and len(parts) <= 1:
                futures = {id(part): _run_alone(part) for part in parts}
            else:
                pool = pool or ThreadPoolExecutor(streams, thread_name_prefix="stream")
                futures = {id(part): pool.submit(part.run, False) for part in parts}
            waiting.append([[futures[id(part)] for part in task] for task in lot])
            if len(waiting) > 1:
                yield from waiting.popleft()
        while waiting:
            yield from waiting.popleft()
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)


def _lots(tasks: Iterable[Sequence[Part[R]]]) -> Iterator[tuple[list[Sequence[Part[R]]], bool]]:
    """Tasks in lots of about equal size, and whether it is the last lot."""
    lot: list[Sequence[Part[R]]] = []
    size = 0
    for task in tasks:
        lot.append(task)
        size += 1 + sum(part.size for part in task)
        if size >= _LOT:
            yield lot, False
            lot, size = [], 0
    yield lot, True


def _run_alone(part: Part[R]) -> Future[R]:
    future: Future[R] = Future()
    try:
        future.set_result(part.run(True))
    except Exception as error:
        future.set_exception(error)
    return future
