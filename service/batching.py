"""Texts of requests that arrive together go to the model together, in a queue that is bounded."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from models.processors import give_way
from models.tagger import Options, Tagger
from nlp.errors import DeadlineError, ModelStoppedError, MusannifError, QueueFullError, TaggingError
from nlp.records import Classification, Document, Failure

Result = Classification | Failure

# Texts of one batch, and the characters after which it takes no further text: a comment that stands behind a report
# waits for one long text at most.
_BATCH_TEXTS = 8
_BATCH_CHARACTERS = 16_000
# Of the threads of the model.
_NICENESS = 10

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Work:
    """The texts of one request, of which ``results`` has an entry for each as it is done."""

    tagger: Tagger
    documents: Sequence[Document]
    options: Options
    deadline: float
    future: Future[list[Result]] = field(default_factory=Future)
    results: dict[int, Result] = field(default_factory=dict)
    begun: int = 0

    @property
    def waiting(self) -> int:
        return len(self.documents) - self.begun


class Batcher:
    """Threads run the model, each on a batch of the texts that wait.

    Requests take turns text by text, so that a comment does not stand behind a request of hundreds. A batch keeps to
    one processor while others run or wait, and has all of them otherwise. A text is tagged the same whatever else is
    tagged beside it. If a thread ends before it is closed, all that wait are told so, and no more is taken.

    Args:
        threads: batches at a time.
        most_waiting: texts that may wait; a request that finds an empty queue is taken whatever its size.
        deadline_seconds: how long a request may take before what is left of it is dropped.
        now: monotonic seconds.
        observe: is told the number of texts of every batch and the seconds that it took.
    """

    def __init__(
        self,
        *,
        most_waiting: int,
        deadline_seconds: float,
        threads: int = 1,
        now: Callable[[], float] = time.monotonic,
        observe: Callable[[int, float], None] = lambda texts, seconds: None,
    ) -> None:
        self._most_waiting = most_waiting
        self._deadline_seconds = deadline_seconds
        self._now = now
        self._observe = observe
        self._works: deque[_Work] = deque()
        self._seconds_per_text = 0.05
        self._closing = False
        self._ended = False
        self._changed = threading.Condition()
        self._running = 0
        self._threads = [threading.Thread(target=self._run, name=f"model-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Texts that wait for the model."""
        with self._changed:
            return self._waiting()

    @property
    def alive(self) -> bool:
        """The threads of the model take work."""
        return not self._ended

    def submit(
        self, tagger: Tagger, documents: Sequence[Document], options: Options, *, patient: bool = False
    ) -> Future[list[Result]]:
        """Put texts into the queue.

        Args:
            tagger: tags them.
            documents: in the order of the results.
            options: for all of them.
            patient: background work, which is taken although the queue is full and has no deadline; its sender waits
                for one piece before it sends the next.

        Returns:
            The results to come. A text on which the model failed has a failure. Cancelling drops what is not begun.
            It ends with a ``DeadlineError`` where the deadline passed before the last text was begun, and with a
            ``ModelStoppedError`` where the model stopped before it.

        Raises:
            QueueFullError: too many texts wait.
            ModelStoppedError: the model takes no more texts.
        """
        deadline = math.inf if patient else self._now() + self._deadline_seconds
        work = _Work(tagger, documents, options, deadline)
        if not documents:
            work.future.set_result([])
            return work.future
        with self._changed:
            if self._closing:
                raise model_stopped()
            self._drop()
            waiting = self._waiting()
            if waiting and not patient and waiting + len(documents) > self._most_waiting:
                raise QueueFullError(
                    f"{waiting} texts wait for the model",
                    retry_after=min(60, max(1, math.ceil(waiting * self._seconds_per_text))),
                    expected=f"at most {self._most_waiting} (most_waiting)",
                    remedy="send the request again later",
                )
            self._works.append(work)
            self._changed.notify()
        return work.future

    def close(self) -> None:
        """Finish what was accepted, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._ended = True

    def _waiting(self) -> int:
        return sum(work.waiting for work in self._works)

    def _run(self) -> None:
        # The other threads say who is refused while the model has all it can do.
        give_way(_NICENESS)
        batch: list[tuple[_Work, int]] = []
        try:
            while batch := self._next():
                started = self._now()
                self._classify(batch)
                self._end(len(batch), self._now() - started)
        except BaseException:
            self._ended = True
            _log.exception("the model has stopped, and takes texts again when the service is started again")
        with self._changed:
            self._closing = True
            left = [*(work for work, _ in batch), *self._works]
            self._works.clear()
            self._changed.notify_all()
        for work in left:
            _settle(work, model_stopped())

    def _end(self, texts: int, seconds: float) -> None:
        with self._changed:
            self._seconds_per_text += 0.1 * (seconds / texts / self._running - self._seconds_per_text)
            self._running -= 1
        self._tell(texts, seconds)

    def _tell(self, texts: int, seconds: float) -> None:
        try:
            self._observe(texts, seconds)
        except Exception:
            _log.exception("a batch is missing in the figures")

    def _drop(self) -> None:
        """Leave out work whose sender is gone, and work that comes too late."""
        now = self._now()
        kept = []
        for work in self._works:
            if now > work.deadline:
                error = DeadlineError(
                    f"the model did not come to the request in {self._deadline_seconds:g} seconds",
                    expected="an answer by then (deadline_seconds)",
                    remedy="send it again later, or as a job",
                )
                _settle(work, error)
            elif not work.future.cancelled():
                kept.append(work)
        self._works = deque(kept)

    def _next(self) -> list[tuple[_Work, int]]:
        """Wait for texts, and take one batch of them; nothing at the end."""
        with self._changed:
            while True:
                self._drop()
                if self._works or self._closing:
                    break
                self._changed.wait()
            batch: list[tuple[_Work, int]] = []
            characters = 0
            while self._works and len(batch) < _BATCH_TEXTS and characters < _BATCH_CHARACTERS:
                work = self._works[0]
                length = len(work.documents[work.begun].text)
                if batch and characters + length > _BATCH_CHARACTERS:
                    break
                batch.append((work, work.begun))
                characters += length
                work.begun += 1
                self._works.rotate(-1)
                if not work.waiting:
                    self._works.remove(work)
            self._running += 1
            return batch

    def _classify(self, batch: list[tuple[_Work, int]]) -> None:
        with self._changed:
            streams = 1 if self._running > 1 or self._works else None
        alike: dict[tuple[int, Options], list[tuple[_Work, int]]] = {}
        for work, place in batch:
            alike.setdefault((id(work.tagger), work.options), []).append((work, place))
        found: list[Result] = []
        for some in alike.values():
            first = some[0][0]
            documents = [work.documents[place] for work, place in some]
            found += _tag(first.tagger, documents, first.options, streams)
        # The texts of one request may be in the batches of several threads: the last of them answers it.
        with self._changed:
            for (work, place), result in zip((one for some in alike.values() for one in some), found, strict=True):
                work.results[place] = result
            done = {id(work): work for work, _ in batch if len(work.results) == len(work.documents)}
        for work in done.values():
            _settle(work, [work.results[place] for place in range(len(work.documents))])


def model_stopped() -> ModelStoppedError:
    """What is said of a model whose thread has ended."""
    return ModelStoppedError("the model takes no more texts", remedy="start the service again")


def _settle(work: _Work, outcome: list[Result] | MusannifError) -> None:
    try:
        if isinstance(outcome, MusannifError):
            work.future.set_exception(outcome)
        else:
            work.future.set_result(outcome)
    except InvalidStateError:
        _log.debug("the sender of a request is gone before its answer")


def _tag(tagger: Tagger, documents: list[Document], options: Options, streams: int | None) -> list[Result]:
    """Tag a batch; if the model fails on it, tag its texts one by one, so that only the faulty one fails."""
    try:
        results = tagger.classify(documents, options, streams=streams)
        if len(results) == len(documents):
            return results
        raise RuntimeError(f"{len(results)} results for {len(documents)} texts")
    except Exception:
        if len(documents) == 1:
            _log.exception("the model failed on a text")
            return [Failure(documents[0].id, TaggingError("the model failed; the log of the service has the details"))]
    return [result for document in documents for result in _tag(tagger, [document], options, streams)]
