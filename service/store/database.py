"""Opening a database, bringing its schema up to date, and transactions."""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from nlp.errors import StoreBusyError, StoreDiskError, StoreDownError, StoreError, StoreFullError
from service.clock import Jump, Watch
from service.store import audit
from service.store.reading import Reader
from service.store.writing import Writer

MIGRATIONS = Path(__file__).with_name("migrations")

# Writers take turns under this advisory lock of PostgreSQL, as SQLite makes them do: the audit log has one end.
_TURN = 0x6D7573616E6E6966

# More than a process has threads that ask: whoever only reads never waits for a connection.
_CONNECTIONS = 64

# What SQLite and PostgreSQL call a disk that is full, and one that cannot be read or written: primary result codes of
# the one, SQLSTATEs of the other.
_FULL = (sqlite3.SQLITE_FULL, "53100")
_DISK = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, "58030")

# SQLite's change to a write-ahead log does not wait for another process that makes it too.
_TRY_AGAIN_SECONDS = 0.02

# Unanswered probes after which a connection to PostgreSQL is given up.
_PROBES = 3
# A server that lives says by itself that a question took too long: it has so many seconds more to say it.
_GRACE_SECONDS = 1.0
# Bringing a large database up to date may take long.
_UPGRADE_SECONDS = 3600.0

_log = logging.getLogger(__name__)


class Store:
    """A database, ready for use.

    Args:
        engine: of a schema that is up to date.
        busy_seconds: how long a writer waits for another of this process.
    """

    def __init__(self, engine: Engine, busy_seconds: float) -> None:
        self._engine = engine
        self._busy_seconds = busy_seconds
        # All questions of a transaction are answered from one moment, as SQLite does by itself.
        postgres = engine.dialect.name == "postgresql"
        self._reading = engine.execution_options(isolation_level="REPEATABLE READ") if postgres else engine
        self._writing = engine.execution_options(immediate=True)
        # Writers wait for their turn before they take a connection.
        self._turn = threading.Lock()
        # What is kept for a time is kept as long where the clock jumps forward; see Writer.lived.
        self._watch = Watch()
        self._jumps: Sequence[Jump] | None = None
        self._written = 0

    @property
    def engine(self) -> Engine:
        """The database itself, for the modules of the store."""
        return self._engine

    @property
    def written(self) -> int:
        """How often something was written through this store since it was opened."""
        return self._written

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """Questions in one transaction.

        Raises:
            StoreDownError: the database does not answer, or its disk cannot be used.
        """
        with _faults_are_said(), Session(self._reading) as session:
            yield Reader(session)

    @contextmanager
    def write(self, at: datetime) -> Iterator[Writer]:
        """Changes in one transaction: all of them are kept, or none if the block raises. Writers take turns.

        Args:
            at: the time of what is written.

        Raises:
            StoreDownError: the database does not answer, another writer does not end, or its disk cannot be used.
        """
        if not self._turn.acquire(timeout=self._busy_seconds):
            raise _busy()
        try:
            with _faults_are_said(), Session(self._writing) as session, session.begin():
                _take_turn(session.connection())
                jumps = self._jumps if self._jumps is not None else audit.jumps(session)
                jump = self._watch.jump(at)
                if jump is not None:
                    jumps = [*jumps, jump]
                    audit.append(
                        session, at=at, actor="service", action=audit.JUMP, payload={"seconds": jump.by.total_seconds()}
                    )
                yield Writer(session, at, jumps)
            # Only now it is kept.
            self._watch.see(at)
            self._jumps = jumps
            self._written += 1
        finally:
            self._turn.release()

    def empty_log(self) -> None:
        """Empty the write-ahead log of SQLite, which keeps deleted words until then; readers may put it off."""
        if self._engine.dialect.name != "sqlite":
            return
        try:
            with _faults_are_said(), closing(self._engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (StoreDownError, sqlite3.Error):
            # What was asked for is done and kept.
            _log.exception("deleted words stay in the write-ahead log until it is emptied next")

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def open_store(location: str, *, create: bool = True, busy_seconds: float = 10.0, query_seconds: float = 60.0) -> Store:
    """Open a database.

    Args:
        location: path of an SQLite file, or a URL such as ``postgresql://user:password@host/name``.
        create: make the file with its folder, and bring the schema up to date; if not, both must be there.
        busy_seconds: how long to wait for another writer, or for a connection.
        query_seconds: how long a PostgreSQL server has for one question.

    Raises:
        StoreError: the location is not understood, nothing is there, or its schema is of another version.
    """
    url = database_url(location)
    if url.database and url.get_backend_name() == "sqlite":
        path = Path(url.database)
        if not create and not path.is_file():
            raise StoreError(
                f"there is no database {path}",
                expected="the file that the service keeps",
                remedy="give it with --database or MUSANNIF_DATABASE",
            )
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the folder {path.parent} cannot be made: {error.strerror}",
                expected="a place to write",
                remedy="choose another with MUSANNIF_DATABASE",
            ) from error
    engine = _engine(url, busy_seconds, query_seconds)
    try:
        if create:
            patient = _engine(url, busy_seconds, max(query_seconds, _UPGRADE_SECONDS))
            try:
                upgrade(patient)
            finally:
                patient.dispose()
        else:
            _check_version(engine)
    except DBAPIError as error:
        engine.dispose()
        raise StoreError(
            f"the database {url.render_as_string()} cannot be opened: {error.orig}",
            expected="an SQLite file or a PostgreSQL server that can be reached",
            remedy="check MUSANNIF_DATABASE",
        ) from error
    except Exception:
        engine.dispose()
        raise
    return Store(engine, busy_seconds)


def database_url(location: str) -> URL:
    """The URL that a location means.

    Raises:
        StoreError: it is neither a path nor the URL of SQLite or PostgreSQL.
    """
    expected = "the path of an SQLite file, or postgresql://user:password@host/name"
    try:
        url = make_url(location) if "://" in location else URL.create("sqlite", database=location)
    except ArgumentError as error:
        raise StoreError("the location of the database is not a URL", expected=expected) from error
    name = url.drivername.partition("+")[0]
    if name in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if name != "sqlite" or not url.database or url.database == ":memory:":
        raise StoreError(f"the location of the database is {url.render_as_string()}", expected=expected)
    return url


def upgrade(engine: Engine) -> None:
    """Bring the schema up to date, in one transaction; two processes that start together take turns.

    Raises:
        StoreError: the schema is of a later version than this program.
    """
    with engine.execution_options(immediate=True).begin() as connection:
        _take_turn(connection)
        _refuse_later(connection)
        command.upgrade(migrations(connection), "head")


def migrations(connection: Connection | None = None) -> Config:
    """The migrations for Alembic."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _check_version(engine: Engine) -> None:
    with engine.connect() as connection:
        _refuse_later(connection)
        found = MigrationContext.configure(connection).get_current_revision()
        head = ScriptDirectory.from_config(migrations()).get_current_head()
    if found != head:
        raise StoreError(
            f"the schema of the database is {found or 'empty'}",
            expected=str(head),
            remedy="start the service once: musannif serve brings it up to date",
        )


def _refuse_later(connection: Connection) -> None:
    found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(migrations()).walk_revisions()}
    if found is not None and found not in known:
        raise StoreError(
            f"the schema of the database is {found}",
            expected="one of " + ", ".join(sorted(known)),
            remedy="a later Musannif has used this database: run that version",
        )


def _take_turn(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})


def _engine(url: URL, busy_seconds: float, query_seconds: float) -> Engine:
    # Parameters are texts, hashes and secrets: an error of the database must not show them.
    options: dict[str, Any] = {
        "max_overflow": _CONNECTIONS,
        "pool_timeout": busy_seconds,
        "hide_parameters": True,
    }
    try:
        if url.get_backend_name() == "sqlite":
            engine = create_engine(url, connect_args={"timeout": busy_seconds}, **options)
            event.listen(engine, "connect", lambda connection, _: _prepare_sqlite(connection, busy_seconds))
            event.listen(engine, "begin", _begin_sqlite)
        else:
            from service.store.postgres import Connection as PostgresConnection

            # Limits mean "for ever" where they are 0. A server that is gone without a word is found out by probes where
            # an answer is awaited, and by what it does not acknowledge where something was sent.
            seconds = max(2, math.ceil(busy_seconds))
            options["connect_args"] = {
                "connect_timeout": seconds,
                "tcp_user_timeout": 1000 * seconds,
                "keepalives_idle": seconds,
                "keepalives_interval": max(1, seconds // _PROBES),
                "keepalives_count": _PROBES,
            }
            engine = create_engine(url, pool_pre_ping=True, **options)
            limits = (
                f"SET lock_timeout = {max(1, int(busy_seconds * 1000))}; "
                f"SET statement_timeout = {max(1, int(query_seconds * 1000))}"
            )

            def connect(_: Any, __: Any, place: list[Any], options: dict[str, Any]) -> PostgresConnection:
                connection = PostgresConnection.connect(*place, **options)
                connection.silent_seconds = query_seconds + _GRACE_SECONDS
                return connection

            event.listen(engine, "do_connect", connect)
            event.listen(engine, "connect", lambda connection, _: _run(connection, limits))
    except ModuleNotFoundError as error:
        raise StoreError(
            f"{error.name} is not installed",
            expected="the driver of PostgreSQL",
            remedy="pip install 'musannif[postgres]'",
        ) from error
    return engine


def _prepare_sqlite(connection: Any, busy_seconds: float) -> None:
    # The driver must not begin transactions by itself: it would take the lock too late, and fail then.
    connection.isolation_level = None
    end = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(_TRY_AGAIN_SECONDS)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _run(connection: Any, statement: str) -> None:
    connection.execute(statement)
    connection.commit()


@contextmanager
def _faults_are_said() -> Iterator[None]:
    try:
        yield
    except (OperationalError, PoolTimeoutError) as error:
        raise _down(error) from error


def _down(error: OperationalError | PoolTimeoutError) -> StoreDownError:
    cause = error.orig if isinstance(error, OperationalError) else None
    # The low byte of an extended code of SQLite is the primary one.
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF or getattr(cause, "sqlstate", None)
    if code in (*_FULL, *_DISK):
        _log.error("the database says: %s", cause)
    if code in _FULL:
        return StoreFullError(
            "no room is left for the database", expected="room on its disk", remedy="make room, then try again"
        )
    if code in _DISK:
        return StoreDiskError(
            "the file of the database cannot be read or written",
            expected="a disk without faults that may be written",
            remedy="the log of the service has the details",
        )
    return _busy()


def _busy() -> StoreBusyError:
    return StoreBusyError(
        "the database does not answer", expected="an answer within the waiting time", remedy="try again"
    )
