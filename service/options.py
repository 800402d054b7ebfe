"""What commands share that work on the database of the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from service.settings import Settings
from service.store import Store, open_store

database_option = click.option(
    "--database", help="Path or URL of the database; the setting of the service if not given."
)


@contextmanager
def opened_store(database: str | None, *, create: bool = False) -> Iterator[Store]:
    """The store for the length of a block.

    Args:
        database: path or URL; the setting if ``None``.
        create: make it if it is not there.

    Raises:
        StoreError: it cannot be opened.
    """
    settings = Settings()
    store = open_store(
        database or settings.database,
        create=create,
        busy_seconds=settings.busy_seconds,
        query_seconds=settings.query_seconds,
    )
    try:
        yield store
    finally:
        store.close()
