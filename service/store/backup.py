"""Copies of a whole database: the backup is an SQLite file, whatever kind the database is.

What is restored may thus be of another kind: this is also the way from SQLite to PostgreSQL.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from sqlalchemy import Connection, Engine, func, insert, select, text

from nlp.errors import AuditError, StoreError
from service.store.database import Store, open_store
from service.store.records import ChainReport
from service.store.tables import Base

_ROWS = 500


def back_up(store: Store, target: Path) -> ChainReport:
    """Write a database to a file, as it is at one moment; the service may go on meanwhile.

    Only its owner can read the file.

    Args:
        store: with a schema that is up to date.
        target: a new file.

    Returns:
        What a walk along the audit log of the copy found.

    Raises:
        StoreError: the file is there already.
        AuditError: the audit log was altered; the backup is made nevertheless.
    """
    if target.exists():
        raise StoreError(f"{target} is there already", expected="a new file")
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL, 0o600))
    copy = open_store(str(partial))
    try:
        _copy(store, copy)
        found = _verified(copy)
    finally:
        copy.close()
    partial.replace(target)
    if isinstance(found, AuditError):
        raise found
    return found


def restore(source: Path, store: Store) -> ChainReport:
    """Fill an empty database from a backup, also from one of an earlier version. The backup itself is only read.

    Raises:
        StoreError: there is no such backup, it is of a later version, or the database is not empty.
        AuditError: the audit log of the backup was altered; the database is filled nevertheless.
    """
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "backup.sqlite"
        try:
            shutil.copyfile(source, copied)
        except OSError as error:
            raise StoreError(f"{source} cannot be read: {error.strerror}", expected="a backup") from error
        _check_backup(source, copied)
        backup = open_store(str(copied))
        try:
            _copy(backup, store)
        finally:
            backup.close()
    found = _verified(store)
    if isinstance(found, AuditError):
        raise found
    return found


def _check_backup(source: Path, copied: Path) -> None:
    connection = sqlite3.connect(copied)
    try:
        connection.execute("SELECT version_num FROM alembic_version")
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{source} is no backup: {error}", expected="a file of musannif backup") from error
    finally:
        connection.close()


def _verified(store: Store) -> ChainReport | AuditError:
    try:
        with store.read() as reader:
            return reader.verify_audit()
    except AuditError as error:
        return error


def _copy(source: Store, target: Store) -> None:
    with source.engine.connect() as reading, target.engine.begin() as writing:
        if reading.dialect.name == "postgresql":
            reading.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        _check_empty(writing, target.engine)
        for table in Base.metadata.sorted_tables:
            rows = reading.execution_options(yield_per=_ROWS).execute(select(table))
            for some in rows.partitions():
                writing.execute(insert(table), [row._asdict() for row in some])
        _go_on_counting(writing)


def _check_empty(connection: Connection, engine: Engine) -> None:
    for table in Base.metadata.sorted_tables:
        if connection.scalar(select(func.count()).select_from(table)):
            raise StoreError(
                f"the database {engine.url.render_as_string()} has entries in {table.name}",
                expected="an empty one",
                remedy="restore into a new database, and name that with MUSANNIF_DATABASE",
            )


def _go_on_counting(connection: Connection) -> None:
    """PostgreSQL counts keys apart from the rows: the next one must not be one that was copied."""
    if connection.dialect.name != "postgresql":
        return
    for table in Base.metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            last = connection.scalar(select(func.max(column)))
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            connection.execute(select(func.setval(sequence, last or 1, last is not None)))
