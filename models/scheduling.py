"""Parts of many tasks over a few threads: results in order, and little in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from math import ceil
from typing import Generic, Protocol, TypeVar

G = TypeVar("G")
M = TypeVar("M")
R = TypeVar("R")
M_co = TypeVar("M_co", covariant=True)
G_contra = TypeVar("G_contra", contravariant=True)

# Sizes of the tasks that are made ready together; two such lots are in memory, one at work and one that waits.
_LOT = 16_384
# Sizes of the parts that are made together, where one alone is not larger.
_TOGETHER = 256


class Work(Protocol[G_contra, M_co]):
    """Makes something of several things of one size at once; called from several threads."""

    def __call__(self, given: Sequence[G_contra], /, *, alone: bool) -> Sequence[M_co]:
        """One result for each, the same as by itself.

        Args:
            given: of one size.
            alone: nothing else runs, so that all processors may be used.
        """
        ...


@dataclass(frozen=True)
class Part(Generic[G, M, R]):
    """Work that needs nothing but itself.

    Attributes:
        size: how long it takes beside others, in any unit (tokens).
        given: what the work takes.
        finish: makes the result of what the work made.
    """

    size: int
    given: G
    finish: Callable[[M], R]


@dataclass(frozen=True)
class _Begun(Generic[G, M, R]):
    part: Part[G, M, R]
    future: Future[R] = field(default_factory=Future)


def run_in_order(
    tasks: Iterable[Sequence[Part[G, M, R]]], work: Work[G, M], *, streams: int
) -> Iterator[list[Future[R]]]:
    """Run the parts of all tasks, the longest of a lot first, while the caller makes the next ones ready.

    Short parts of a lot that are of one size are worked on together.

    Args:
        tasks: are asked for as they are needed, in the thread of the caller.
        work: what is done with the parts.
        streams: how often it is done at the same time; with one, no processor is taken from others.

    Yields:
        For each task, in order, the results of its parts, done or still to come. Whatever is not begun is dropped when
        the caller leaves off.
    """
    pool: ThreadPoolExecutor | None = None
    waiting: deque[list[list[Future[R]]]] = deque()
    try:
        for lot, last in _lots(tasks):
            begun = [[_Begun(part) for part in task] for task in lot]
            groups = _groups([one for task in begun for one in task], streams)
            if last and pool is None and (streams == 1 or len(groups) <= 1):
                for group in groups:
                    _run(group, work, alone=streams > 1)
            else:
                pool = pool or ThreadPoolExecutor(streams, thread_name_prefix="stream")
                for group in groups:
                    pool.submit(_run, group, work, alone=False)
            waiting.append([[one.future for one in task] for task in begun])
            if len(waiting) > 1:
                yield from waiting.popleft()
        while waiting:
            yield from waiting.popleft()
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)


def _lots(tasks: Iterable[Sequence[Part[G, M, R]]]) -> Iterator[tuple[list[Sequence[Part[G, M, R]]], bool]]:
    """Tasks in lots of about equal size, and whether it is the last lot."""
    lot: list[Sequence[Part[G, M, R]]] = []
    size = 0
    for task in tasks:
        lot.append(task)
        size += 1 + sum(part.size for part in task)
        if size >= _LOT:
            yield lot, False
            lot, size = [], 0
    yield lot, True


def _groups(begun: Sequence[_Begun[G, M, R]], streams: int) -> list[list[_Begun[G, M, R]]]:
    """Parts of one size together, the longest first, and no fewer groups than streams have use for."""
    found = []
    for size, equal in groupby(sorted(begun, key=lambda one: -one.part.size), key=lambda one: one.part.size):
        several = list(equal)
        most = max(1, min(_TOGETHER // max(1, size), ceil(len(several) / streams)))
        found += [several[start : start + most] for start in range(0, len(several), most)]
    return found


def _run(group: Sequence[_Begun[G, M, R]], work: Work[G, M], *, alone: bool) -> None:
    try:
        made = work([one.part.given for one in group], alone=alone)
    except Exception as error:
        if len(group) == 1:
            group[0].future.set_exception(error)
            return
        # The others of the group are not to fail with the one that does.
        for one in group:
            _run([one], work, alone=False)
        return
    for one, result in zip(group, made, strict=True):
        try:
            one.future.set_result(one.part.finish(result))
        except Exception as error:
            one.future.set_exception(error)
