"""What breaks around the service: it says so, loses nothing that it confirmed, and goes on when it is mended."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import SCHOOL, WATER, Portal, PostgresServer
from sqlalchemy import event

from nlp.errors import StoreError, StoreFullError
from nlp.taxonomy import Taxonomy
from service.store import Store, open_store


def _until(true: Callable[[], bool], what: str) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if true():
            return
        pause.wait(0.02)
    raise AssertionError(f"{what} did not come")


def _store(portal: Portal) -> Store:
    store: Store = portal.app.state.runtime.store
    return store


# --- the database ------------------------------------------------------------------------------------------------


@pytest.fixture
def lasting(taxonomy: Taxonomy, tmp_path: Path) -> Iterator[Portal]:
    """A portal on SQLite, with a submission."""
    portal = Portal(taxonomy, str(tmp_path / "store.sqlite"), job_lease_seconds=1)
    with portal.client:
        assert portal.put("kept", WATER).status_code == 201
        yield portal


@contextmanager
def _pragma(store: Store, statement: str) -> Iterator[None]:
    """Every connection runs a statement for the length of a block."""

    def run(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(statement)

    store.engine.dispose()
    event.listen(store.engine, "connect", run)
    try:
        yield
    finally:
        event.remove(store.engine, "connect", run)
        store.engine.dispose()


def _full(store: Store) -> AbstractContextManager[None]:
    with store.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    return _pragma(store, f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_told_as_one_and_nothing_is_half_kept(lasting: Portal) -> None:
    large = f"{WATER} " * 2000
    with _full(_store(lasting)):
        answer = lasting.put("new", large)
        assert (answer.status_code, answer.json()["type"]) == (507, "urn:musannif:store-full")
        assert "retry-after" not in answer.headers
        arabic = lasting.put("new", large, {"Accept-Language": "ar"}).json()
        assert "القرص" in arabic["detail"]
        assert lasting.get("kept").json()["text"] == WATER
        assert lasting.get("new").status_code == 404
        assert lasting.client.post("/v1/classify", json={"text": WATER}).status_code == 200
    assert lasting.put("new", large).status_code == 201
    with _store(lasting).read() as reader:
        assert reader.verify_audit().entries == 2


def test_a_job_outlives_a_full_disk(lasting: Portal) -> None:
    items = [{"id": number, "text": WATER} for number in range(40)]
    job = lasting.client.post("/v1/jobs", json={"items": items, "all_scores": True}).json()
    background = lasting.app.state.runtime.background
    with _full(_store(lasting)), pytest.raises(StoreFullError):
        for _ in range(3):
            background._work()
    for _ in range(20):
        background.sweep()
        background._work()
    job = lasting.client.get(f"/v1/jobs/{job['id']}").json()
    assert (job["state"], job["done"], job["failed"]) == ("finished", 40, 0)


def test_a_disk_that_cannot_be_written_is_told_apart_from_a_busy_database(
    lasting: Portal, caplog: pytest.LogCaptureFixture
) -> None:
    with _pragma(_store(lasting), "PRAGMA query_only = ON"):
        answer = lasting.put("new", SCHOOL)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:musannif:store-disk")
        assert lasting.get("kept").status_code == 200
    assert "readonly" in caplog.text
    assert lasting.put("new", SCHOOL).status_code == 201


def test_a_database_that_is_gone_is_told_and_all_goes_on_when_it_is_back(
    taxonomy: Taxonomy, postgres_server: PostgresServer, database_on_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.working._SWEEP_SECONDS", 0.1)
    portal = Portal(taxonomy, database_on_postgres, job_threads=1, job_lease_seconds=1, busy_seconds=1)
    with portal.client:
        assert portal.put("kept", WATER).status_code == 201
        read = portal.tagged
        job = portal.client.post("/v1/jobs", json={"items": [{"id": n, "text": WATER} for n in range(200)]}).json()
        _until(lambda: portal.tagged > read, "the first text of the job")
        postgres_server.stop()
        try:
            for answer in (portal.put("new", WATER), portal.get("kept"), portal.client.get("/v1/jobs/" + job["id"])):
                assert (answer.status_code, answer.json()["type"]) == (503, "urn:musannif:store-busy")
                assert answer.headers["retry-after"] == "1"
            assert portal.client.get("/healthz").status_code == 200
            ready = portal.client.get("/readyz")
            assert (ready.status_code, "database" in ready.json()["detail"]) == (503, True)
        finally:
            postgres_server.start()
        assert portal.client.get("/readyz").status_code == 200
        assert portal.get("kept").json()["text"] == WATER
        assert portal.put("new", WATER).status_code == 201
        address = f"/v1/jobs/{job['id']}"
        _until(lambda: portal.client.get(address).json()["state"] == "finished", "the end of the job")
        job = portal.client.get(address).json()
        assert (job["done"], job["failed"]) == (200, 0)
        with _store(portal).read() as reader:
            reader.verify_audit()


def test_a_database_that_takes_connections_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(StoreError, match="cannot be opened"):
            open_store(f"postgresql://musannif@127.0.0.1:{port}/none", busy_seconds=0.1)


def test_connections_to_postgresql_do_not_wait_for_ever(database_on_postgres: str) -> None:
    store = open_store(database_on_postgres, busy_seconds=9)
    with store.engine.connect() as connection:
        given = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
    store.close()
    limits = {name: given[name] for name in ("tcp_user_timeout", "keepalives_idle", "keepalives_interval")}
    assert limits == {"tcp_user_timeout": "9000", "keepalives_idle": "9", "keepalives_interval": "3"}


def test_when_no_connection_is_free_it_is_said(
    taxonomy: Taxonomy, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.database._CONNECTIONS", 0)
    portal = Portal(taxonomy, database, busy_seconds=0.1)
    with portal.client, ExitStack() as stack:
        assert portal.put("kept", WATER).status_code == 201
        for _ in range(5):  # as many as the pool keeps
            stack.enter_context(_store(portal).read()).submission("kept")
        answer = portal.get("kept")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:musannif:store-busy")
        stack.close()
        assert portal.get("kept").status_code == 200
