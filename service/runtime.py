"""What a server or a worker holds while it runs, opened and closed in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from models.tagger import Tagger
from service.batching import Batcher
from service.clock import Clock
from service.delivery import Sender
from service.metrics import Metrics
from service.model import Model, open_model
from service.queueing import open_queue
from service.settings import Settings, parse_networks
from service.store import Store, open_store
from service.working import Background


@dataclass
class Runtime:
    """What is open.

    Attributes:
        model: in use; a reload puts another in its place.
        batcher: queue of the texts that wait for the model.
        store: keeps what must last.
        background: the work behind the requests.
    """

    model: Model
    batcher: Batcher
    store: Store
    background: Background


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
            observe=metrics.batch,
        )
        stack.callback(batcher.close)
        model = open_model(settings, tagger, batcher)
        store = open_store(settings.database, busy_seconds=settings.busy_seconds)
        stack.callback(store.close)
        sender = Sender(parse_networks(settings.webhook_networks), seconds=settings.webhook_seconds)
        stack.callback(sender.close)
        jobs, messages = open_queue(settings, "jobs"), open_queue(settings, "messages")
        background = Background(settings, jobs, messages, store, lambda: runtime.model, clock, sender)
        stack.callback(background.stop)
        runtime = Runtime(model, batcher, store, background)
        background.start(settings.job_threads)
        yield runtime
