"""What a server or a worker holds while it runs, opened and closed in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from models.processors import processor_share
from models.tagger import Tagger
from service.batching import Batcher
from service.clock import Clock
from service.delivery import Sender
from service.metrics import Metrics
from service.model import Model, open_model
from service.queueing import open_queue
from service.rounds import Rounds
from service.settings import Settings, parse_networks
from service.store import Store, open_store
from service.working import Background

# Seconds between two looks whether another process has reloaded its model.
_FOLLOW_SECONDS = 5.0
_RELOAD = "model.reload"

_log = logging.getLogger(__name__)


@dataclass
class Runtime:
    """What is open.

    Attributes:
        settings: of the service.
        clock: dates what is written.
        model: in use; a reload puts another in its place.
        batcher: queue of the texts that wait for the model.
        store: keeps what must last.
        background: the work behind the requests.
        seen: number of the entry of the audit log up to which reloads are done.
        reloading: is held while a model is opened.
    """

    settings: Settings
    clock: Clock
    model: Model
    batcher: Batcher
    store: Store
    background: Background
    seen: int
    reloading: threading.Lock = field(default_factory=threading.Lock)

    def reload(self, actor: str) -> None:
        """Open the bundle of the settings again, and have all processes on the same database do so.

        Raises:
            BundleError: it cannot be opened; the model in use stays, everywhere.
        """
        with self.reloading:
            self.model = open_model(self.settings, None, self.batcher)
            with self.store.write(self.clock()) as writer:
                self.seen = writer.log(actor, _RELOAD, model=self.model.out.name)

    def follow(self) -> None:
        """Open the bundle of the settings again, if another process did so with its own."""
        with self.reloading:
            with self.store.read() as reader:
                entries = reader.audit_actions(self.seen)
            if any(action == _RELOAD for _, action in entries):
                self.model = open_model(self.settings, None, self.batcher)
                _log.info("another process has reloaded its model; the one in use here is now %s", self.model.out.name)
            if entries:
                self.seen = entries[-1][0]


@contextmanager
def open_runtime(settings: Settings, tagger: Tagger | None, clock: Clock, metrics: Metrics) -> Iterator[Runtime]:
    """Open all of it; at the end, what was accepted is finished before the rest is closed.

    Raises:
        BundleError: the bundle is missing, incomplete or altered.
        StoreError: the database or the queue cannot be opened.
    """
    with ExitStack() as stack:
        batcher = Batcher(
            most_waiting=settings.most_waiting,
            deadline_seconds=settings.deadline_seconds,
            threads=settings.threads or processor_share(),
            observe=metrics.batch,
        )
        stack.callback(batcher.close)
        store = open_store(settings.database, busy_seconds=settings.busy_seconds, query_seconds=settings.query_seconds)
        stack.callback(store.close)
        # Before the bundle is opened: a reload after this moment may be of a later one.
        with store.read() as reader:
            seen = reader.audit_length()
        model = open_model(settings, tagger, batcher)
        sender = Sender(parse_networks(settings.webhook_networks), seconds=settings.webhook_seconds)
        jobs, messages, clusterings = (open_queue(settings, name) for name in ("jobs", "messages", "clusterings"))
        background = Background(settings, jobs, messages, clusterings, store, lambda: runtime.model, clock, sender)
        stack.callback(background.stop)
        runtime = Runtime(settings, clock, model, batcher, store, background, seen)
        background.start(settings.job_threads)
        stack.callback(Rounds(runtime.follow, _FOLLOW_SECONDS).stop)
        yield runtime
