"""The work behind the requests: jobs part by part, embeddings, webhooks, and what is too old."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import fields
from datetime import timedelta
from typing import Any

from huey import Huey

from models.tagger import Options
from nlp.errors import ModelStoppedError, MusannifError, StoreDownError
from nlp.records import Classification, Document, Failure
from service.answers import answer_of
from service.clock import Clock
from service.clustering_work import ClusterWork
from service.delivery import Sender
from service.job_schemas import JobOut
from service.model import Model
from service.queueing import Threads
from service.rounds import Rounds
from service.settings import Settings
from service.store import Store
from service.store.records import DeliveryState, Job, JobKind, JobPart, JobState
from service.store.writing import Writer

JOB_ENDED = {
    JobState.FINISHED: "job.finished",
    JobState.FAILED: "job.failed",
    JobState.CANCELLED: "job.cancelled",
}

# A part of a job: little enough that a lost one is soon done again, and that many jobs share the model fairly.
_PART_ITEMS = 16
_PART_CHARACTERS = 32_000
# Messages that wait to be posted, and threads that post them: a receiver that does not answer holds up no job.
_MESSAGES = 20
_POSTERS = 2
_CLUSTERERS = 1
# Seconds between two looks for what is lost, due or too old, and for submissions without an embedding.
_SWEEP_SECONDS = 5.0
_EMBED_SECONDS = 60.0
# Other processes may go on with the model before for some seconds after a reload: a second round finds what they write.
_EMBED_ROUNDS = 2

_log = logging.getLogger(__name__)


class Background:
    """Composes the queue, the store, the model and the sender of webhooks.

    Args:
        settings: of the service.
        queue: wakes those who work on jobs.
        post: wakes those who post messages to webhooks.
        clusterings: wakes those who make clusterings.
        store: says what is to be done, and keeps what was.
        model: gives the model in use.
        clock: dates what is written.
        sender: posts messages to webhooks.
    """

    def __init__(
        self,
        settings: Settings,
        queue: Huey,
        post: Huey,
        clusterings: Huey,
        store: Store,
        model: Callable[[], Model],
        clock: Clock,
        sender: Sender,
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._post = post
        self._clusterings = clusterings
        self._store = store
        self._model = model
        self._clock = clock
        self._sender = sender
        self._lease = timedelta(seconds=settings.job_lease_seconds)
        self._threads: list[Threads] = []
        self._rounds: list[Rounds] = []
        self._stopping = threading.Event()
        self._embedded: tuple[Model | None, int] = (None, 0)
        self._job = queue.task(name="job")(self._work)
        self._message = post.task(name="message")(self._deliver)
        work = ClusterWork(store, model, clock, self._lease, self._stopping, announce)
        self._clustering = clusterings.task(name="clustering")(work.work)

    def start(self, threads: int) -> None:
        """Start to work."""
        if threads:
            # A clustering takes long: texts of other jobs do not wait for it.
            self._threads = [
                Threads(self._queue, threads),
                Threads(self._post, _POSTERS),
                Threads(self._clusterings, _CLUSTERERS),
            ]
            for some in self._threads:
                some.start()
            # On threads of their own: they wait behind no part of a job.
            self._rounds = [Rounds(self.sweep, _SWEEP_SECONDS), Rounds(self.embed_missing, _EMBED_SECONDS)]

    def stop(self) -> None:
        """Finish the parts that were begun; the rest waits in the store for the next start."""
        self._stopping.set()
        for some in self._threads:
            some.stop_flag.set()
        for rounds in self._rounds:
            rounds.stop()
        for some in self._threads:
            some.stop(graceful=True)
        self._queue.storage.close()
        self._post.storage.close()
        self._clusterings.storage.close()

    def check(self) -> None:
        """Raise if the queue does not answer."""
        self._queue.storage.queue_size()

    def wake(self) -> None:
        """Tell the workers of a part that waits; if the queue fails, :meth:`sweep` finds it."""
        self._send(self._job)

    def wake_clustering(self) -> None:
        """Tell the workers of a clustering that waits; if the queue fails, :meth:`sweep` finds it."""
        self._send(self._clustering)

    def _send(self, task: Any, *arguments: Any) -> None:
        try:
            task(*arguments)
        except Exception:
            _log.exception("the queue does not take messages; the work waits in the store")

    def sweep(self) -> None:
        """Give what nobody works on to the workers again, and remove what is too old.

        Every process does it: what is due is taken in one transaction, by whoever comes first.
        """
        if self._threads and not self._model().batcher.alive:
            # What wakes workers is left to processes whose model reads.
            jobs, _, clusterers = self._threads
            jobs.stop_flag.set()
            clusterers.stop_flag.set()
        told, told_of_clusterings = (queue.storage.queue_size() for queue in (self._queue, self._clusterings))
        room = max(0, _MESSAGES - self._post.storage.queue_size())
        with self._store.write(self._clock()) as writer:
            lost = [job for job in writer.jobs.reclaim() if job.state.ended]
            for job in lost:
                announce(writer, job)
            waiting, clusterings = writer.jobs.waiting(), writer.jobs.waiting(JobKind.CLUSTER)
            patience = timedelta(seconds=2 * _MESSAGES * self._settings.webhook_seconds)
            messages = writer.webhooks.take_due(lease=patience, limit=room)
            age = writer.lived(timedelta(days=self._settings.job_days))
            writer.webhooks.forget(age)
            forgotten = writer.jobs.forget(age) + writer.clusterings.forget(age)
        for _ in range(waiting - told):
            self.wake()
        for _ in range(clusterings - told_of_clusterings):
            self.wake_clustering()
        for sequence, tries in messages:
            self._send(self._message, sequence, tries)
        if forgotten or lost:
            self._store.empty_log()

    def _work(self) -> None:
        """Do the next part of the job that has waited longest, and pass the rest on, so that jobs take turns."""
        if not self._model().batcher.alive:
            return  # what waits is for other processes
        with self._store.write(self._clock()) as writer:
            part = writer.jobs.take(lease=self._lease, most_items=_PART_ITEMS, most_characters=_PART_CHARACTERS)
        if part is None:
            return
        job_id, turn = part.job.id, part.job.turn
        try:
            found = self._answers(part)
        except ModelStoppedError:
            return  # the part is given on when its lease is over
        except Exception as error:
            _log.exception("a job cannot go on")
            problem = str(error) if isinstance(error, MusannifError) else "an unexpected error; the log has the details"
            with self._store.write(self._clock()) as writer:
                failed = writer.jobs.fail(job_id, turn, problem)
                if failed is not None:
                    announce(writer, failed)
            return
        if found is None:
            return
        answers, model = found
        with self._store.write(self._clock()) as writer:
            job = writer.jobs.record(job_id, turn, answers, model=model)
            if job is not None and job.state.ended:
                announce(writer, job)
        if job is not None and not job.state.ended:
            self.wake()

    def _answers(self, part: JobPart) -> tuple[list[tuple[int, str, bool]], str] | None:
        """Answers and model; ``None`` if the part is no longer this worker's."""
        model = self._model()
        names = {field.name for field in fields(Options)}
        given = {name: value for name, value in part.job.options.items() if name in names}
        options = Options(**{**given, "axes": tuple(given.get("axes", ()))})
        for axis in options.axes:
            model.tagger.taxonomy.axis(axis)
        documents = [Document(str(item.position), item.text or "") for item in part.items]
        results = self._results(part, model, documents, options)
        if results is None:
            return None
        answers = []
        for item, result in zip(part.items, results, strict=True):
            answer = answer_of(json.loads(item.item_id), result)
            answers.append((item.position, answer.model_dump_json(exclude_none=True), isinstance(result, Failure)))
        return answers, model.out.model_dump_json()

    def _results(
        self, part: JobPart, model: Model, documents: Sequence[Document], options: Options
    ) -> list[Classification | Failure] | None:
        """Tag texts, and keep the part meanwhile: the model may be at the texts of others for long."""
        work = model.batcher.submit(model.tagger, documents, options, patient=True)
        while not wait([work], timeout=self._lease.total_seconds() / 3).done:
            if not self._renewed(part):
                work.cancel()
                return None
        return work.result()

    def _renewed(self, part: JobPart) -> bool:
        try:
            with self._store.write(self._clock()) as writer:
                return writer.jobs.renew(part.job.id, part.job.turn, lease=self._lease)
        except StoreDownError:
            return True  # the next try may still come in time, and if not, the answers are not kept

    def embed_missing(self) -> None:
        """Embed the submissions that the model in use has not embedded; no more than twice for one model."""
        model = self._model()
        before, rounds = self._embedded
        rounds = rounds if before is model else 0
        if rounds == _EMBED_ROUNDS:
            return
        with self._store.read() as reader:
            keys = reader.embeddings.missing(model.out.name)
        # Several processes do this at once, and seldom the same.
        random.shuffle(keys)
        for place in range(0, len(keys), _PART_ITEMS):
            if self._stopping.is_set() or self._model() is not model:
                return
            self._embed(model, keys[place : place + _PART_ITEMS])
        self._embedded = (model, rounds + 1)

    def _embed(self, model: Model, keys: Sequence[int]) -> None:
        with self._store.read() as reader:
            texts = reader.embeddings.missing_texts(model.out.name, keys)
        documents = [Document(str(key), text) for key, text in texts]
        results = model.classify(documents, Options(embedding=True), patient=True)
        with self._store.write(self._clock()) as writer:
            for (key, text), result in zip(texts, results, strict=True):
                if isinstance(result, Classification) and result.embedding:
                    writer.embeddings.put(key, text, result.embedding, model.out.name)

    def _deliver(self, sequence: int, tries: int) -> None:
        """Post a message that was tried so often before."""
        with self._store.read() as reader:
            delivery = reader.webhooks.delivery(sequence)
        if delivery is None or delivery.state is not DeliveryState.WAITING or delivery.tries != tries:
            return
        outcome = self._sender.post(delivery, self._clock())
        last = tries + 1 >= self._settings.webhook_tries
        again = None if outcome.problem is None or last else backoff(tries)
        with self._store.write(self._clock()) as writer:
            writer.webhooks.record(sequence, status=outcome.status, problem=outcome.problem, again=again)


def backoff(tries: int) -> timedelta:
    """How long to wait after so many tries before: 5 seconds, then four times longer each time, at most 6 hours."""
    return min(timedelta(seconds=5 * 4**tries), timedelta(hours=6))


def announce(writer: Writer, job: Job) -> None:
    """Tell the webhooks that a job has ended."""
    writer.webhooks.announce(JOB_ENDED[job.state], JobOut.of(job).model_dump(mode="json"))
