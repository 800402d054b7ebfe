"""The work behind the requests: jobs part by part, embeddings, webhooks, and what is too old."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from typing import Any

from huey import Huey

from models.tagger import Options
from nlp.errors import MusannifError
from nlp.records import Classification, Document, Failure
from service.answers import answer_of
from service.clock import Clock
from service.delivery import Sender
from service.job_schemas import JobOut
from service.model import Model
from service.queueing import Threads
from service.settings import Settings
from service.store import Store
from service.store.records import DeliveryState, Job, JobPart, JobState
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

_log = logging.getLogger(__name__)


class Background:
    """Composes the queue, the store, the model and the sender of webhooks.

    Args:
        settings: of the service.
        queue: wakes those who work on jobs.
        post: wakes those who post messages to webhooks.
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
        store: Store,
        model: Callable[[], Model],
        clock: Clock,
        sender: Sender,
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._post = post
        self._store = store
        self._model = model
        self._clock = clock
        self._sender = sender
        self._lease = timedelta(seconds=settings.job_lease_seconds)
        self._threads: list[Threads] = []
        self._job = queue.task(name="job")(self._work)
        self._message = post.task(name="message")(self._deliver)
        self._embed = queue.task(name="embed")(self._embed_some)
        # Whoever wakes first does it for all: what is due is taken in one transaction.
        queue.periodic_task(lambda _: True, name="sweep")(self.sweep)

    @property
    def lease(self) -> timedelta:
        """How long a part of a job belongs to the worker that took it."""
        return self._lease

    def start(self, threads: int) -> None:
        """Start to work."""
        if threads:
            self._threads = [Threads(self._queue, threads), Threads(self._post, _POSTERS)]
            for some in self._threads:
                some.start()
            self.refresh_embeddings()

    def stop(self) -> None:
        """Finish the parts that were begun; the rest waits in the store for the next start."""
        for some in self._threads:
            some.stop_flag.set()
        for some in self._threads:
            some.stop(graceful=True)
        self._queue.storage.close()
        self._post.storage.close()

    def check(self) -> None:
        """Raise if the queue does not answer."""
        self._queue.storage.queue_size()

    def wake(self, job: Job) -> None:
        """Tell the workers of a job; if the queue fails, :meth:`sweep` finds it."""
        self._send(self._job, job.id, job.turn)

    def _send(self, task: Any, *arguments: Any) -> None:
        try:
            task(*arguments)
        except Exception:
            _log.exception("the queue does not take messages; the work waits in the store")

    def sweep(self) -> None:
        """Give what nobody works on to the workers again, and remove what is too old."""
        with self._store.write(self._clock()) as writer:
            jobs = writer.jobs.wake(lease=self._lease)
            for job in jobs:
                if job.state.ended:
                    announce(writer, job)
            room = max(0, _MESSAGES - self._post.storage.queue_size())
            patience = timedelta(seconds=2 * _MESSAGES * self._settings.webhook_seconds)
            messages = writer.webhooks.take_due(lease=patience, limit=room)
            age = timedelta(days=self._settings.job_days)
            writer.webhooks.forget(age)
            forgotten = writer.jobs.forget(age)
        for job in jobs:
            if not job.state.ended:
                self.wake(job)
        for sequence, tries in messages:
            self._send(self._message, sequence, tries)
        if forgotten:
            self._store.empty_log()

    def _work(self, job_id: str, turn: int) -> None:
        """Do the next part of a job, and pass the rest on, so that jobs take turns."""
        with self._store.write(self._clock()) as writer:
            part = writer.jobs.take(
                job_id, turn, lease=self._lease, most_items=_PART_ITEMS, most_characters=_PART_CHARACTERS
            )
        if part is None:
            return
        try:
            answers, model = self._answers(part)
        except Exception as error:
            _log.exception("a job cannot go on")
            problem = str(error) if isinstance(error, MusannifError) else "an unexpected error; the log has the details"
            with self._store.write(self._clock()) as writer:
                announce(writer, writer.jobs.fail(job_id, problem))
            return
        with self._store.write(self._clock()) as writer:
            job = writer.jobs.record(job_id, turn, answers, model=model, lease=self._lease)
            if job is not None and job.state.ended:
                announce(writer, job)
        if job is not None and not job.state.ended:
            self.wake(job)

    def _answers(self, part: JobPart) -> tuple[list[tuple[int, str, bool]], str]:
        model = self._model()
        names = {field.name for field in fields(Options)}
        given = {name: value for name, value in part.job.options.items() if name in names}
        options = Options(**{**given, "axes": tuple(given.get("axes", ()))})
        for axis in options.axes:
            model.tagger.taxonomy.axis(axis)
        documents = [Document(str(item.position), item.text or "") for item in part.items]
        results = model.classify(documents, options, patient=True)
        answers = []
        for item, result in zip(part.items, results, strict=True):
            answer = answer_of(json.loads(item.item_id), result)
            answers.append((item.position, answer.model_dump_json(exclude_none=True), isinstance(result, Failure)))
        return answers, model.out.model_dump_json()

    def _embed_some(self, after: int) -> None:
        """Embed submissions that have no embedding of the model in use, and pass the rest on."""
        model = self._model()
        with self._store.read() as reader:
            missing = reader.embeddings.missing(model.out.name, after=after, limit=_PART_ITEMS)
        if not missing:
            return
        documents = [Document(str(key), text) for key, text in missing]
        results = model.classify(documents, Options(embedding=True), patient=True)
        with self._store.write(self._clock()) as writer:
            for (key, text), result in zip(missing, results, strict=True):
                if isinstance(result, Classification) and result.embedding:
                    writer.embeddings.put(key, text, result.embedding, model.out.name)
        self._send(self._embed, missing[-1][0])

    def refresh_embeddings(self) -> None:
        """Embed what the model in use has not embedded."""
        self._send(self._embed, 0)

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
