"""The queue that wakes workers: huey on SQLite, or on Redis where several machines work.

What is to be done stands in the store; a message only names it. A message that is lost costs time and no work.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from huey import Huey, SqliteHuey
from huey.consumer import Consumer
from huey.registry import Message
from huey.serializer import Serializer

from nlp.errors import StoreError
from service.settings import Settings
from service.store.database import database_url

_TIMES = ("eta", "expires_resolved")


class JsonSerializer(Serializer):  # type: ignore[misc]
    """Messages as JSON: nothing is unpickled, whoever can write to the queue."""

    def _serialize(self, data: Any) -> bytes:
        fields = data._asdict() if isinstance(data, Message) else data
        return json.dumps(fields, default=datetime.isoformat).encode()

    def _deserialize(self, data: bytes) -> Any:
        fields = json.loads(bytes(data))
        if not isinstance(fields, dict):
            return fields
        for name in _TIMES:
            if fields.get(name) is not None:
                fields[name] = datetime.fromisoformat(fields[name])
        return Message(**fields)


def open_queue(settings: Settings, name: str) -> Huey:
    """A queue in the place of the settings.

    Args:
        settings: of the service.
        name: of the queue; those of other names lie beside it.

    Raises:
        StoreError: its place cannot be used, or the driver of Redis is missing.
    """
    location = settings.queue or _beside(settings.database)
    if location.startswith(("redis://", "rediss://", "unix://")):
        try:
            from huey import RedisHuey

            return RedisHuey(f"musannif-{name}", url=location, results=False, serializer=JsonSerializer())
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"the queue on Redis cannot be used: {error}",
                expected="the driver of Redis, and redis://host/number",
                remedy="pip install 'musannif[redis]'",
            ) from error
    path = Path(location)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SqliteHuey(
            f"musannif-{name}",
            filename=str(path),
            results=False,
            serializer=JsonSerializer(),
            timeout=settings.busy_seconds,
        )
    except Exception as error:
        raise StoreError(
            f"the queue {path} cannot be opened: {error}",
            expected="a place to write an SQLite file",
            remedy="choose another with MUSANNIF_QUEUE",
        ) from error


def _beside(database: str) -> str:
    url = database_url(database)
    local = url.get_backend_name() == "sqlite"
    return str(Path(url.database or "").with_name("queue.sqlite") if local else Path("var/queue.sqlite"))


class Threads(Consumer):  # type: ignore[misc]
    """Workers that are threads of this process, and leave its signals alone.

    Args:
        queue: whose messages they take.
        workers: how many.
    """

    def __init__(self, queue: Huey, workers: int) -> None:
        super().__init__(queue, workers=workers, periodic=False, max_delay=0.5, check_worker_health=False)

    def _set_signal_handlers(self) -> None:
        """The server, or the command, has its own."""
