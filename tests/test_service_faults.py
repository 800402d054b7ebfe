"""What breaks around the service: it says so, loses nothing that it confirmed, and goes on when it is mended."""

from __future__ import annotations

import asyncio
import errno
import json
import resource
import shutil
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO

import httpx
import pytest
import uvicorn
from conftest import SCHOOL, WATER, Portal, PostgresServer
from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from models.tagger import Tagger
from nlp.errors import StoreBusyError, StoreError, StoreFullError
from nlp.taxonomy import Taxonomy
from service.app import create_app
from service.connections import Connection, allow_many
from service.limits import BodyLimit
from service.settings import Settings
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


@pytest.mark.parametrize("path", ["/v1/classify/file", "/v1/jobs/file", "/v1/cluster/file"])
def test_a_full_temporary_folder_is_told_as_a_full_disk(
    lasting: Portal, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    rows = "".join(f"{WATER * 1000}\n" for _ in range(40))
    files = {"file": ("تعليقات.csv", f"text\n{rows}".encode())}
    opened: list[IO[bytes]] = []

    def full(**_: object) -> IO[bytes]:
        opened.append(Path("/dev/full").open("w+b"))  # noqa: SIM115 - who spools closes it
        return opened[-1]

    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", full)
        answer = lasting.client.post(path, files=files)
        assert (answer.status_code, answer.json()["type"]) == (507, "urn:musannif:store-full")
        assert "temporary folder" in answer.json()["detail"]
        assert "القرص" in lasting.client.post(path, files=files, headers={"Accept-Language": "ar"}).json()["detail"]
    assert [file.closed for file in opened] == [True, True]
    with _store(lasting).read() as reader:
        assert not reader.jobs.open()
    assert lasting.client.post("/v1/jobs/file", files=files).status_code == 202


def test_another_fault_of_the_temporary_folder_is_not_told_as_the_senders(
    taxonomy: Taxonomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> IO[bytes]:
        raise OSError(errno.EIO, "Input/output error")

    portal = Portal(taxonomy, str(tmp_path / "store.sqlite"))
    monkeypatch.setattr("tempfile.TemporaryFile", broken)
    client = TestClient(portal.app, raise_server_exceptions=False)
    with client:
        answer = client.post("/v1/classify/file", files={"file": ("a.txt", b"x" * 2_000_000)})
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")


def test_a_job_outlives_a_full_disk(lasting: Portal) -> None:
    items = [{"id": number, "text": WATER} for number in range(40)]
    job = lasting.client.post("/v1/jobs", json={"items": items, "all_scores": True}).json()
    background = lasting.app.state.runtime.background

    def work() -> None:
        for _ in range(3):
            background._work()

    with _full(_store(lasting)), pytest.raises(StoreFullError):
        work()
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


def test_a_server_that_hangs_and_still_acknowledges_is_given_up(
    taxonomy: Taxonomy, postgres_server: PostgresServer, database_on_postgres: str
) -> None:
    portal = Portal(taxonomy, database_on_postgres, busy_seconds=1, query_seconds=3)
    with portal.client:
        assert portal.put("kept", WATER).status_code == 201

        def read() -> None:
            with _store(portal).read() as reader:
                assert reader.submission("kept") is not None
                with postgres_server.hanging():
                    reader.submission("kept")

        with pytest.raises(StoreBusyError):
            read()
        with postgres_server.hanging():
            for answer in (portal.get("kept"), portal.put("new", WATER)):
                assert (answer.status_code, answer.json()["type"]) == (503, "urn:musannif:store-busy")
            assert portal.client.get("/healthz").status_code == 200
        assert portal.get("kept").json()["text"] == WATER
        assert portal.put("new", WATER).status_code == 201


def test_a_question_that_takes_too_long_is_ended_by_the_server(database_on_postgres: str) -> None:
    store = open_store(database_on_postgres, query_seconds=2)
    with store.engine.connect() as connection, pytest.raises(OperationalError, match="statement timeout"):
        connection.exec_driver_sql("SELECT pg_sleep(60)")
    with store.read() as reader:
        assert reader.submission("a") is None
    store.close()


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


# --- slow clients ------------------------------------------------------------------------------------------------


@contextmanager
def _served(tagger: Tagger, **settings: object) -> Iterator[int]:
    """The service as the command serves it, on a port of its own."""
    given = Settings(**settings)  # type: ignore[arg-type]
    config = uvicorn.Config(
        create_app(given, tagger),
        port=0,
        http=partial(Connection, head_seconds=given.body_seconds),  # type: ignore[arg-type]
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        _until(lambda: server.started, "the server")
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def _opened(stack: ExitStack, port: int, sent: bytes) -> socket.socket:
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
    connection.sendall(sent)
    return connection


_HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_a_thousand_connections_that_are_half_open_keep_nobody_out(stub: Tagger) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_many()
    # Both ends of a connection are files of this process.
    count = min(1000, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200) // 2)
    try:
        with _served(stub) as port, ExitStack() as stack:
            for number in range(count):
                _opened(stack, port, (b"", _HEAD, _HEAD + b"Content-Length: 9\r\n\r\n{")[number % 3])
            for path in ("/healthz", "/readyz", "/v1/models"):
                assert httpx.get(f"http://127.0.0.1:{port}{path}", timeout=60).status_code == 200
            # As many bodies are on their way as may be.
            full = httpx.post(f"http://127.0.0.1:{port}/v1/classify", json={"text": WATER}, timeout=60)
            assert full.status_code == (429 if count // 3 >= Settings().most_at_once else 200)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_connections_on_which_no_whole_request_comes_are_closed(stub: Tagger) -> None:
    whole = _HEAD + b'Content-Length: 13\r\n\r\n{"text": "x"}'
    with _served(stub, body_seconds=0.5) as port, ExitStack() as stack:
        for sent in (b"", _HEAD, b"POST"):
            assert _opened(stack, port, sent).recv(1000) == b""
        late = _opened(stack, port, _HEAD + b"Content-Length: 9\r\n\r\n{")
        assert late.recv(1000).startswith(b"HTTP/1.1 408 ")
        again = _opened(stack, port, whole)
        assert again.recv(100_000).startswith(b"HTTP/1.1 200 ")
        again.sendall(_HEAD)  # and no more: the head of a second request
        while again.recv(100_000):
            pass
        assert _opened(stack, port, whole).recv(1000).startswith(b"HTTP/1.1 200 ")


def test_bodies_on_their_way_are_bounded_and_strangers_keep_nobody_out() -> None:
    async def exchange() -> list[tuple[str, int]]:
        done: list[tuple[str, int]] = []
        go = asyncio.Event()

        async def answered(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
            await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        limit = BodyLimit(answered, most=2, most_bytes=1000, seconds=30, large_bytes=1000)

        async def ask(method: str, path: str) -> None:
            async def receive() -> dict[str, object]:
                if method == "POST":
                    await go.wait()
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message) -> None:  # type: ignore[no-untyped-def]
                if message["type"] == "http.response.start":
                    done.append((path, message["status"]))

            headers = [(b"transfer-encoding", b"chunked")] if method == "POST" else []
            await limit({"type": "http", "method": method, "path": path, "headers": headers}, receive, send)  # type: ignore[arg-type]

        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(ask("POST", "/v1/session"))
            for _ in range(2):
                tasks.create_task(ask("POST", "/v1/classify"))
            await asyncio.sleep(0)
            await ask("GET", "/v1/reviews")
            await ask("POST", "/v1/classify")
            go.set()
        await ask("POST", "/v1/session")
        return done

    found = asyncio.run(exchange())
    assert found[:3] == [("/v1/session", 429), ("/v1/reviews", 200), ("/v1/classify", 429)]
    rest = sorted(found[3:])
    assert rest == [("/v1/classify", 200)] * 2 + [("/v1/session", 200)] * 3


# --- the clock ---------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_forward_costs_no_confirmed_work(stub: Tagger, database: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    settings = Settings(database=database, job_days=7, repeat_hours=24)

    def sent(client: TestClient, text: str) -> httpx.Response:
        return client.put("/v1/submissions/a", json={"text": text}, headers={"Idempotency-Key": "k"})

    with TestClient(create_app(settings, stub, lambda: now)) as client:
        first = sent(client, WATER)
        job = client.post("/v1/jobs", json={"items": [{"text": WATER}]}).json()
        result = f"/v1/jobs/{job['id']}/result"
        background = client.app.state.runtime.background  # type: ignore[attr-defined]
        background._work()
        kept = client.get(result).text
        client.put("/v1/submissions/a", json={"text": SCHOOL})
        now += timedelta(days=400)
        background.sweep()
        assert client.get(result).text == kept
        assert sent(client, WATER).json() == first.json()
        assert client.get("/v1/submissions/a").json()["text"] == SCHOOL
    # Another process knows of it.
    with TestClient(create_app(settings, stub, lambda: now)) as client:
        client.app.state.runtime.background.sweep()  # type: ignore[attr-defined]
        assert client.get(result).text == kept
        assert sent(client, WATER).json() == first.json()
    # Time that passes is no jump: in the end all is forgotten.
    now += timedelta(days=8)
    with TestClient(create_app(settings, stub, lambda: now)) as client:
        client.app.state.runtime.background.sweep()  # type: ignore[attr-defined]
        assert client.get(result).status_code == 404
        client.put("/v1/submissions/b", json={"text": WATER})
        assert sent(client, SCHOOL).status_code == 200
        with client.app.state.runtime.store.read() as reader:  # type: ignore[attr-defined]
            actions = [action for _, action in reader.audit_actions(0)]
            reader.verify_audit()
    assert actions.count("clock.jump") == 1


# --- the model ---------------------------------------------------------------------------------------------------


def test_a_bundle_that_is_swapped_while_requests_run_fails_none_of_them(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    manifest = bundle / "manifest.json"
    said = json.loads(manifest.read_text())
    body = {"items": [{"id": str(number), "text": text} for number, text in enumerate((WATER, SCHOOL, WATER))]}
    answers: list[httpx.Response] = []
    swapped = threading.Event()
    with TestClient(create_app(Settings(bundle=bundle))) as client:

        def ask() -> None:
            while not swapped.is_set():
                answers.append(client.post("/v1/classify", json=body))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        names = []
        for number in range(3):
            seen = len(answers)
            _until(lambda seen=seen: len(answers) > seen + 4, "answers of the model in use")  # type: ignore[misc]
            manifest.write_text(json.dumps({**said, "name": f"promoted-{number}"}))
            names.append(client.post("/v1/models/reload").json()["model"]["name"])
        seen = len(answers)
        _until(lambda: len(answers) > seen + 4, "answers of the last model")
        swapped.set()
        for thread in threads:
            thread.join()
    assert names == [f"promoted-{number}@0.1.0" for number in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    told = [answer.json() for answer in answers]
    assert {one["model"]["name"] for one in told} == {"tiny@0.1.0", *names}
    assert all(one["items"] == told[0]["items"] for one in told)


# --- texts that are no words -------------------------------------------------------------------------------------


def test_texts_that_are_statements_or_markup_are_texts(portal: Portal) -> None:
    texts = [
        "'); DROP TABLE submissions; --",
        '" OR ""="',
        "<script>alert(1)</script>",
        "{{7*7}} ${7*7} %s %(x)s",
        "=HYPERLINK(1)\r\nSet-Cookie: a=b",
        "\u202eمقلوب\u202c \x1b[31m",
    ]
    for number, text in enumerate(texts):
        answer = portal.put(f"n{number}", text, metadata={text: text})
        assert answer.status_code == 201
        assert "set-cookie" not in answer.headers
        kept = portal.get(f"n{number}")
        assert (kept.json()["text"], kept.json()["metadata"]) == (text, {text: text})
        assert kept.headers["content-type"] == "application/json"
        assert kept.headers["x-content-type-options"] == "nosniff"
        for path, name in (("/v1/submissions", "label"), ("/v1/reviews", "reviewer")):
            found = portal.client.get(path, params={name: text})
            assert found.status_code == 422 or found.json()["items"] == []
    assert len(portal.client.get("/v1/submissions").json()["items"]) == len(texts)
