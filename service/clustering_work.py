"""The making of clusterings: at once for small sets, as a job for large ones."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from models.clustering.options import ClusterOptions, Progress
from models.clustering.plain import from_plain
from models.processors import give_way
from models.tagger import Options
from nlp.errors import ModelStoppedError, MusannifError, StoreDownError
from nlp.records import Document
from service.clock import Clock
from service.consultation import cluster, hear
from service.kept_trees import new_comments, packed, shown
from service.model import Model
from service.store import Store
from service.store.records import Job, StoredClustering, StoredComment
from service.store.writing import Writer

# Seconds between two looks whether a job was cancelled.
_LOOK_SECONDS = 1.0
NICENESS = 15
"""Of threads that make clusterings: below those of the model."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """A clustering that is ready to be kept.

    Attributes:
        tree: to be shown, as plain data.
        packed: with all that placing and editing need.
        comments: with their places.
        masked: places that were masked, by kind of personal data.
        model: name of the one that read the texts.
    """

    tree: Mapping[str, Any]
    packed: bytes
    comments: Sequence[StoredComment]
    masked: Mapping[str, int]
    model: str

    def keep(self, writer: Writer, clustering_id: str, actor: str) -> StoredClustering:
        """Keep it in the place of the comments as they came."""
        kept = writer.clusterings.keep(
            clustering_id,
            tree=self.tree,
            made=self.packed,
            changed=self.comments,
            masked=self.masked,
            model=self.model,
        )
        writer.log(
            actor,
            "clustering.make",
            clustering=clustering_id,
            comments=kept.total,
            topics=len(self.tree["topics"]),
            masked=dict(self.masked),
            model=self.model,
        )
        return kept


def make(
    documents: Sequence[Document], options: ClusterOptions, model: Model, progress: Progress, *, patient: bool
) -> Made:
    """Make a clustering.

    Args:
        documents: the comments as they came.
        options: of the caller.
        model: reads the texts.
        progress: told how far it is; what it raises ends the work.
        patient: the texts wait for the model however many others do.

    Raises:
        MusannifError: the comments cannot be grouped as asked, or the model has too much to do.
    """
    voices = hear(documents, progress=progress)
    tree, understood = cluster(
        voices,
        lambda some: model.classify(some, Options(embedding=True), patient=patient),
        replace(options, model=model.out.name),
        model.tagger.taxonomy,
        progress,
    )
    comments = new_comments(voices, understood, tree)
    return Made(shown(tree), packed(tree), comments, voices.masked or {}, model.out.name)


class _StopError(Exception):
    """The work is no longer wanted."""


class _Course:
    """How far the work is, told by one thread and read by another."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.share = 0.0
        self.stopped = threading.Event()

    def tell(self, step: str, share: float) -> None:
        if self.stopped.is_set():
            raise _StopError
        self.share = share
        if step not in self.steps:
            self.steps.append(step)


class ClusterWork:
    """Makes the clusterings that wait as jobs, one at a time.

    A job whose worker is killed is begun anew by another; one that kills its workers again and again fails.

    Args:
        store: says what is to be done, and keeps what was.
        model: gives the model in use.
        clock: dates what is written.
        lease: how long a job is the worker's own, unless it is renewed.
        stopping: is set when the process ends.
        ended: tells that a job has ended.
    """

    def __init__(
        self,
        store: Store,
        model: Callable[[], Model],
        clock: Clock,
        lease: timedelta,
        stopping: threading.Event,
        ended: Callable[[Writer, Job], None],
    ) -> None:
        self._store = store
        self._model = model
        self._clock = clock
        self._lease = lease
        self._stopping = stopping
        self._ended = ended

    def work(self) -> None:
        """Make the clustering that has waited longest, if one waits."""
        if self._stopping.is_set() or not self._model().batcher.alive:
            return
        with self._store.write(self._clock()) as writer:
            job = writer.jobs.take_whole(lease=self._lease)
        if job is None:
            return
        course, future = _Course(), Future[Made]()
        # The process does not wait for it at its end: the job is given back, and begun anew elsewhere.
        threading.Thread(target=self._run, args=(job, course, future), name="clustering", daemon=True).start()
        try:
            if self._watched(job, course, future):
                self._end(job, course, future)
        finally:
            course.stopped.set()
            # What is no longer wanted ends at its next step; the next clustering needs its memory.
            while not (self._stopping.is_set() or wait([future], timeout=_LOOK_SECONDS).done):
                pass

    def _watched(self, job: Job, course: _Course, future: Future[Made]) -> bool:
        """Keep the job while it is worked on; false if it was cancelled or lost, or the process ends."""
        seconds = min(_LOOK_SECONDS, self._lease.total_seconds() / 3)
        while not wait([future], timeout=seconds).done:
            if self._stopping.is_set():
                with self._store.write(self._clock()) as writer:
                    writer.jobs.give_back(job.id, job.turn)
                return False
            if not self._reported(job, course):
                return False
        return self._reported(job, course)

    def _run(self, job: Job, course: _Course, future: Future[Made]) -> None:
        # Also to the threads of the model: what somebody waits for goes first.
        give_way(NICENESS)
        try:
            with self._store.read() as reader:
                kept = reader.clusterings.get(job.options["clustering"])
                stored = reader.clusterings.comments(kept.key).items
            documents = [Document(one.id, one.text, one.attributes) for one in stored]
            options = from_plain(ClusterOptions, kept.options)
            future.set_result(make(documents, options, self._model(), course.tell, patient=True))
        except BaseException as error:
            future.set_exception(error)

    def _reported(self, job: Job, course: _Course) -> bool:
        try:
            with self._store.write(self._clock()) as writer:
                return writer.jobs.report(job.id, job.turn, list(course.steps), course.share, lease=self._lease)
        except StoreDownError:
            return True  # the next try may still come in time, and if not, the tree is not kept

    def _end(self, job: Job, course: _Course, future: Future[Made]) -> None:
        error = future.exception()
        if error is None:
            made = future.result()
            with self._store.write(self._clock()) as writer:
                ended = writer.jobs.finish(job.id, job.turn, model=self._model().out.model_dump_json())
                if ended is not None:
                    made.keep(writer, job.options["clustering"], job.owner)
                    self._ended(writer, ended)
            # The log of SQLite still holds the texts as they were sent.
            self._store.empty_log()
            return
        if isinstance(error, ModelStoppedError):
            return  # the job is given on when its lease is over
        _log.error("a clustering cannot be made", exc_info=error)
        reason = str(error) if isinstance(error, MusannifError) else "an unexpected error; the log has the details"
        where = f" (step {course.steps[-1]})" if course.steps else ""
        with self._store.write(self._clock()) as writer:
            failed = writer.jobs.fail(job.id, job.turn, reason + where)
            if failed is not None:
                self._ended(writer, failed)
        self._store.empty_log()
