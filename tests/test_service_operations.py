"""Files, the model in use, figures, readiness and the log."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from conftest import SCHOOL, WATER, Portal
from fastapi.testclient import TestClient
from test_service_jobs import _until

from models.tagger import Tagger
from nlp.errors import (
    AuditError,
    BundleError,
    JobError,
    MusannifError,
    OverloadError,
    QueueFullError,
    ReadingError,
    StoreError,
    TaggingError,
    TaxonomyError,
    WebhookError,
)
from nlp.taxonomy import Taxonomy
from service.app import create_app
from service.arabic import ARABIC
from service.cli import cli
from service.observing import configure_log
from service.problems import problem_of
from service.settings import Settings
from service.store import back_up, open_store, restore

ROOT = Path(__file__).parents[1]


@pytest.fixture
def client(stub: Tagger) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(most_items=5, most_characters=200), stub)) as client:
        yield client


_LINES = b'{"id": 1, "text": "x"}\nno json\n{"id": 3, "text": "%s"}' % (b"x" * 201)


def _send(client: TestClient, name: str, data: bytes, query: str = ""):  # type: ignore[no-untyped-def]
    return client.post(f"/v1/classify/file{query}", files={"file": (name, data)})


@pytest.mark.parametrize(
    ("name", "data", "ids", "statuses"),
    [
        ("تقرير.txt", WATER.encode(), ["تقرير.txt"], [200]),
        ("a.md", b"\xff\xfe" + WATER.encode("utf-16-le"), ["a.md"], [200]),
        ("a.csv", f"id;comment\n7;{WATER}\n;\n8;\n".encode(), ["7", "8"], [200, 422]),
        ("a.tsv", f"text\n{WATER}\n".encode(), ["a.tsv:2"], [200]),
        ("a.jsonl", _LINES, ["1", "a.jsonl:2", "3"], [200, 422, 413]),
        ("a.txt", b"\x80\x81", ["a.txt"], [422]),
        ("a.txt", b"%PDF-1.7", ["a.txt"], [422]),
        ("a.csv", b"", ["a.csv"], [422]),
    ],
)  # fmt: skip
def test_files_are_read_item_by_item(
    client: TestClient, name: str, data: bytes, ids: list[str], statuses: list[int]
) -> None:
    answer = _send(client, name, data)
    assert answer.status_code == 200
    items = answer.json()["items"]
    assert ([item["id"] for item in items], [item["status"] for item in items]) == (ids, statuses)


def test_columns_and_options_of_a_file(client: TestClient) -> None:
    data = f"key,words\nk1,{WATER}\n".encode()
    (item,) = _send(client, "a.csv", data, "?text_column=words&id_column=key&axes=rite&all_scores=true").json()["items"]
    assert (item["id"], set(item["scores"]), "goals" in item) == ("k1", {"rite"}, False)
    refused = _send(client, "a.csv", data)
    assert (refused.status_code, "text_column" in refused.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("name", "data", "query", "status", "word"),
    [
        ("a.docx", b"PK\x03\x04", "", 422, "files of kind .docx"),
        ("", b"x", "", 422, ""),
        ("../../etc/passwd", b"x", "", 422, "(no suffix)"),
        ("a.jsonl", b'{"text": "x"}\n' * 6, "", 413, "most_items"),
        ("a.txt", b"x", "?axes=colour", 422, "colour"),
        ("a.txt", b"x", "?colour=1", 422, "colour"),
        ("a.txt", b"x", "?top_k=0", 422, "top_k"),
    ],
)
def test_files_that_are_refused(client: TestClient, name: str, data: bytes, query: str, status: int, word: str) -> None:
    answer = _send(client, name, data, query)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert word in answer.json()["detail"]


def test_malformed_multipart_is_a_problem(client: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x\r\nContent-Disposition: form-data\r\n\r\n", b"--y--", b"--x\r\n"):
        answer = client.post("/v1/classify/file", content=body, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) in (
            (400, "application/problem+json"),
            (422, "application/problem+json"),
        )


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/jobs", "/v1/similar", "/v1/webhooks", "/v1/submissions"])
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"items": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b"\xff\xfe{",
        b'"\\ud800"',
        b"NaN",
        b"",
    ],
)
def test_bodies_that_are_no_requests_are_problems(client: TestClient, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_taxonomy_has_an_etag(client: TestClient) -> None:
    first = client.get("/v1/taxonomy")
    tag = first.headers["etag"]
    assert first.json()["axes"]
    known = client.get("/v1/taxonomy", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    assert client.get("/v1/taxonomy", headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_model_in_use_and_its_reload(tiny_bundle: Path) -> None:
    with TestClient(create_app(Settings(bundle=tiny_bundle))) as client:
        found = client.get("/v1/models").json()
        assert found["model"]["name"] == json.loads((tiny_bundle / "manifest.json").read_text())["name"] + "@0.1.0"
        assert found["training"]["seed"] is not None
        assert found["metrics"] == json.loads((tiny_bundle / "metrics.json").read_text())
        assert found["runtime"]["name"].startswith("onnxruntime ")
        assert found["runtime"]["threads"] >= 1
        assert found["runtime"]["instructions"]
        before = client.post("/v1/classify", json={"text": WATER}).json()
        again = client.post("/v1/models/reload").json()
        assert again["loaded"] > found["loaded"]
        assert client.post("/v1/classify", json={"text": WATER}).json() == before


def _rename(bundle: Path) -> None:
    """Another model in the place of the one that was there."""
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": "promoted"}))


def test_a_reload_reaches_every_process_and_is_in_the_audit_log(
    tiny_bundle: Path, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.runtime._FOLLOW_SECONDS", 0.05)
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    settings = Settings(bundle=bundle, database=database)
    with TestClient(create_app(settings)) as client, TestClient(create_app(settings)) as other:
        assert other.get("/v1/models").json()["model"]["name"] == "tiny@0.1.0"
        _rename(bundle)
        mine = client.post("/v1/models/reload").json()
        assert mine["model"]["name"] == "promoted@0.1.0"
        _until(lambda: other.get("/v1/models").json()["model"]["name"] == "promoted@0.1.0", "the other's reload")
        # Each opened it once.
        runtimes = [one.app.state.runtime for one in (client, other)]  # type: ignore[attr-defined]
        for runtime in runtimes:
            model = runtime.model
            runtime.follow()
            assert runtime.model is model
        assert client.get("/v1/models").json() == mine
        with runtimes[0].store.read() as reader:
            assert reader.audit_actions(0) == [(1, "model.reload")]


def test_a_worker_of_the_command_line_follows_a_reload(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    command = [sys.executable, "-c", "from service.cli import main; main()", "worker", "--bundle", str(bundle)]
    worker = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        with TestClient(create_app(Settings(bundle=bundle))) as client:

            def model() -> str:
                job = client.post("/v1/jobs", json={"items": [{"text": WATER}]}).json()
                address = f"/v1/jobs/{job['id']}"
                _until(lambda: client.get(address).json()["state"] == "finished", "the end of the job")
                return str(client.get(address).json()["model"]["name"])

            assert model() == "tiny@0.1.0"
            _rename(bundle)
            assert client.post("/v1/models/reload").status_code == 200
            _until(lambda: model() == "promoted@0.1.0", "the worker's reload")
        worker.terminate()
        assert worker.wait(timeout=60) == 0
    finally:
        worker.kill()
        worker.wait()


def test_a_bundle_that_cannot_be_opened_leaves_the_model_in_use(stub: Tagger, tmp_path: Path) -> None:
    with TestClient(create_app(Settings(bundle=tmp_path / "none"), stub)) as client:
        answer = client.post("/v1/models/reload")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:musannif:bundle")
        assert client.post("/v1/classify", json={"text": WATER}).status_code == 200


def test_figures_for_prometheus(client: TestClient) -> None:
    client.post("/v1/classify", json={"items": [{"text": WATER}, {"text": SCHOOL}]})
    client.get("/v1/jobs/somebody")
    client.get("/somewhere")
    client.request("BREW", "/somewhere")
    client.post("/v1/jobs", json={"items": [{"text": WATER}]})
    page = client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    lines = page.text.splitlines()
    for line in (
        'musannif_requests_total{method="POST",route="/v1/classify",status="200"} 1.0',
        'musannif_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"} 1.0',
        'musannif_requests_total{method="GET",route="none",status="404"} 1.0',
        'musannif_requests_total{method="other",route="none",status="404"} 1.0',
        "musannif_batch_texts_sum 2.0",
        "musannif_waiting_texts 0.0",
        "musannif_open_jobs 1.0",
    ):
        assert line in lines
    assert "somebody" not in page.text
    assert "BREW" not in page.text


def test_ready_only_while_model_database_and_queue_answer(stub: Tagger, tmp_path: Path) -> None:
    settings = Settings(busy_seconds=0.1)
    with TestClient(create_app(settings, stub)) as client:
        runtime = client.app.state.runtime  # type: ignore[attr-defined]
        assert client.get("/readyz").status_code == 200
        storage = runtime.background._queue.storage
        storage.close()
        storage.filename = str(tmp_path / "none" / "queue.sqlite")
        answer = client.get("/readyz")
        assert (answer.status_code, "queue" in answer.json()["detail"]) == (503, True)
        storage.filename = settings.queue
        assert client.get("/readyz").status_code == 200
        runtime.batcher.close()
        answer = client.get("/readyz")
        assert (answer.status_code, "model" in answer.json()["detail"]) == (503, True)
        assert client.get("/healthz").status_code == 503


# --- similar submissions -----------------------------------------------------------------------------------------


def _similar(portal: Portal, **body: object) -> list[str]:
    answer = portal.client.post("/v1/similar", json=body)
    assert answer.status_code == 200
    scores = [item["score"] for item in answer.json()["items"]]
    assert scores == sorted(scores, reverse=True)
    return [item["external_id"] for item in answer.json()["items"]]


def test_the_nearest_submissions_come_first(portal: Portal) -> None:
    portal.put("water", WATER)
    portal.put("school", SCHOOL)
    portal.put("both", f"{WATER} و {SCHOOL}")
    assert _similar(portal, text="ماء ماء ماء")[0] == "water"
    assert _similar(portal, external_id="school")[0] == "both"
    assert _similar(portal, external_id="school", limit=1) == ["both"]
    assert _similar(portal, text=SCHOOL, min_score=0.9999) == ["school"]
    portal.put("school", WATER)
    assert _similar(portal, text=SCHOOL, min_score=0.9999) == []
    portal.client.delete("/v1/submissions/water")
    assert "water" not in _similar(portal, text=WATER)


def test_similar_refuses_what_it_cannot_compare(portal: Portal) -> None:
    for body, status in (
        ({}, 422),
        ({"text": "a", "external_id": "a"}, 422),
        ({"external_id": "none"}, 404),
        ({"text": ""}, 422),
        ({"text": "a", "limit": 0}, 422),
    ):
        answer = portal.client.post("/v1/similar", json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_a_fault_of_the_model_is_told_as_one(portal: Portal) -> None:
    portal.encoder.broken = True
    answer = portal.client.post("/v1/similar", json={"text": WATER})
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:musannif:tagging")


def test_what_the_model_in_use_has_not_embedded_is_embedded_in_the_background(portal: Portal) -> None:
    for number in range(20):
        portal.put(f"n{number}", f"{WATER} {number}")
    runtime = portal.app.state.runtime
    with runtime.store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE embeddings SET model = 'older@1'")
    assert _similar(portal, text=WATER) == []
    missing = portal.client.post("/v1/similar", json={"external_id": "n1"})
    assert (missing.status_code, "not embedded" in missing.json()["detail"]) == (404, True)
    for found in (20, 20, 0):
        # Two rounds: what another process wrote with the model before, while it lagged behind, is found by the second.
        # Two processes that keep different models do not take turns at each other's embeddings for ever.
        runtime.background.embed_missing()
        assert len(_similar(portal, text=WATER, limit=50)) == found
        with runtime.store.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE embeddings SET model = 'older@1'")
    runtime.model = replace(runtime.model)  # as a reload does
    runtime.background.embed_missing()
    assert len(_similar(portal, text=WATER, limit=50)) == 20


# --- the log -----------------------------------------------------------------------------------------------------


@contextmanager
def _logged(settings: Settings) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_log(settings)
    stream = io.StringIO()
    root.handlers[0].setStream(stream)  # type: ignore[attr-defined]
    try:
        yield stream
    finally:
        root.handlers, root.level = handlers, level


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with _logged(Settings(log_format="json")) as stream:
        yield stream


@pytest.mark.parametrize("settings", [Settings(), Settings(log_format="json", log_level="debug")])
def test_no_form_of_the_log_shows_texts_and_passwords(taxonomy: Taxonomy, database: str, settings: Settings) -> None:
    word = "كلمة السر"

    def sign_in(password: str) -> None:
        raise RuntimeError("the database is gone")

    with _logged(settings) as stream, Portal(taxonomy, database).client as client:
        runtime = client.app.state.runtime  # type: ignore[attr-defined]
        runtime.model.tagger.encoder.broken = True
        client.post("/v1/classify", json={"items": [{"text": WATER}, {"text": SCHOOL}]})
        client.put("/v1/submissions/ليلى", json={"text": WATER, "metadata": {"name": "ليلى"}})
        client.post("/v1/jobs", json={"items": [{"text": SCHOOL}]})
        runtime.background._work()
        try:
            sign_in(word)
        except RuntimeError:
            logging.getLogger("uvicorn.error").exception("an error of the server")
    written = stream.getvalue()
    assert "the model is broken" in written
    assert "the database is gone" in written
    for secret in (WATER, SCHOOL, "ليلى", word):
        assert secret not in written


def test_every_request_has_an_id_and_a_line_without_texts_and_ids(
    taxonomy: Taxonomy, database: str, log: io.StringIO
) -> None:
    portal = Portal(taxonomy, database)
    with portal.client as client:
        answer = client.put("/v1/submissions/ليلى", json={"text": WATER}, headers={"X-Request-ID": "from-the-portal.1"})
        assert answer.headers["x-request-id"] == "from-the-portal.1"
        made = client.get("/healthz", headers={"X-Request-ID": "a b\tc"}).headers["x-request-id"]
        assert len(made) == 32
        portal.encoder.broken = True
        client.post("/v1/classify", json={"text": WATER}, headers={"X-Request-ID": "broken"})
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["request_id"], line["route"], line["status"]) for line in requests] == [
        ("from-the-portal.1", "/v1/submissions/{external_id:path}", 201),
        (made, "/healthz", 200),
        ("broken", "/v1/classify", 200),
    ]
    assert any("the model is broken" in line.get("exception", "") for line in lines)
    assert WATER not in log.getvalue()
    assert "ليلى" not in log.getvalue()


def test_an_unexpected_error_names_the_request_and_nothing_of_the_inside(stub: Tagger) -> None:
    app = create_app(Settings(), stub)

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("a secret of the inside")

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/broken", headers={"X-Request-ID": "abc"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "abc")
    assert "secret" not in answer.text


# --- the command -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_the_served_command_finishes_what_it_accepted(tiny_bundle: Path, tmp_path: Path, workers: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {"MUSANNIF_LOG_FORMAT": "json", "MUSANNIF_JOB_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "from service.cli import main; main()", "serve", "--port", str(port)]
    log = tmp_path / "log"
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [*command, "--bundle", str(tiny_bundle), "--workers", str(workers)],
            env={**os.environ, **variables},
            stdout=stream,
            stderr=stream,
        )
    base = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert server.poll() is None, log.read_text()
        try:
            return httpx.get(f"{base}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        _until(ready, "the server")
        job = httpx.post(f"{base}/v1/jobs", json={"items": [{"text": WATER}] * 40}).json()
        _until(lambda: httpx.get(f"{base}/v1/jobs/{job['id']}").json()["state"] == "finished", "the end of the job")
        assert "musannif_open_jobs" in httpx.get(f"{base}/metrics").text
        answers: list[httpx.Response] = []
        body = {"items": [{"text": f"{WATER} {number}"} for number in range(200)]}
        asking = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{base}/v1/classify", json=body, timeout=60))
        )
        asking.start()
        _until(
            lambda: "musannif_waiting_texts 0.0" not in httpx.get(f"{base}/metrics").text or not asking.is_alive(),
            "the request",
        )
        server.send_signal(signal.SIGTERM)
        asking.join()
        assert server.wait(timeout=60) in (0, -signal.SIGTERM)
    finally:
        server.kill()
        server.wait()
    assert (answers[0].status_code, len(answers[0].json()["items"])) == (200, 200)
    assert all(json.loads(line)["event"] for line in log.read_text().splitlines())


def test_problems_are_told_in_the_language_that_is_preferred(client: TestClient) -> None:
    def told(accept: str) -> tuple[str, dict[str, str]]:
        answer = client.get("/v1/jobs/none", headers={"Accept-Language": accept})
        return answer.headers["content-language"], answer.json()

    for accept in ("", "fr", "en, ar;q=0.9", "ar;q=x", "*"):
        said, problem = told(accept)
        assert (said, problem["detail"]) == ("en", "there is no job 'none'")
    for accept in ("ar", "ar-JO,en;q=0.8", "fr, en;q=0.2, ar;q=0.5"):
        said, problem = told(accept)
        assert (said, problem["title"], "there is no job 'none'" in problem["detail"]) == ("ar", "غير موجود", True)
    body = {"items": [{"text": ""}]}
    (item,) = client.post("/v1/classify", json=body, headers={"Accept-Language": "ar"}).json()["items"]
    assert item["problem"]["title"] == "نص فارغ"


def test_every_problem_of_the_service_has_arabic_words() -> None:
    kinds = {
        problem_of(kind("x"))["type"]
        for kind in _kinds(ReadingError, StoreError, OverloadError)
        if kind not in (QueueFullError, AuditError)
    }
    kinds |= {
        problem_of(kind("x"))["type"] for kind in (TaxonomyError, TaggingError, JobError, WebhookError, BundleError)
    }
    assert kinds - {"urn:musannif:overload"} <= set(ARABIC)


def _kinds(*roots: type[MusannifError]) -> set[type[MusannifError]]:
    return {*roots, *(one for root in roots for one in root.__subclasses__())}


# --- backups -----------------------------------------------------------------------------------------------------


def test_a_backup_is_restored_into_either_kind_and_the_service_goes_on(portal: Portal, tmp_path: Path) -> None:
    for number in range(3):
        portal.put(f"n{number}", WATER)
    portal.review("n1", "confirm goals:6")
    portal.client.post("/v1/jobs", json={"items": [{"text": WATER}]})
    kept = portal.client.get("/v1/submissions").json()
    target = tmp_path / "backup.sqlite"
    report = back_up(portal.app.state.runtime.store, target)
    assert not list(tmp_path.glob("backup.sqlite*-wal"))
    with pytest.raises(StoreError, match="there already"):
        back_up(portal.app.state.runtime.store, target)
    with pytest.raises(StoreError, match="an empty one"):
        restore(target, portal.app.state.runtime.store)
    store = open_store(str(tmp_path / "other.sqlite"))
    assert restore(target, store) == report
    store.close()
    other = Portal(portal.app.state.runtime.model.tagger.taxonomy, str(tmp_path / "other.sqlite"))
    with other.client:
        assert other.client.get("/v1/submissions").json() == kept
        assert other.put("n3", WATER).status_code == 201
        with other.app.state.runtime.store.read() as reader:
            assert reader.verify_audit().entries == report.entries + 1


def test_a_backup_of_sqlite_moves_to_postgresql(taxonomy: Taxonomy, tmp_path: Path, database: str) -> None:
    source = Portal(taxonomy, str(tmp_path / "source.sqlite"))
    with source.client:
        source.put("a", WATER)
        back_up(source.app.state.runtime.store, tmp_path / "backup.sqlite")
    store = open_store(database)
    restore(tmp_path / "backup.sqlite", store)
    store.close()
    target = Portal(taxonomy, database)
    with target.client:
        assert target.get("a").json()["text"] == WATER
        assert target.put("b", WATER).status_code == 201
        assert target.review("a", "confirm goals:6").status_code == 200


def test_a_backup_is_its_owners_alone(portal: Portal, tmp_path: Path) -> None:
    back_up(portal.app.state.runtime.store, tmp_path / "backup.sqlite")
    assert (tmp_path / "backup.sqlite").stat().st_mode & 0o777 == 0o600


def test_an_altered_log_is_said_and_backed_up_all_the_same(taxonomy: Taxonomy, tmp_path: Path) -> None:
    source = tmp_path / "source.sqlite"
    portal = Portal(taxonomy, str(source))
    with portal.client:
        portal.put("a", WATER)
        portal.put("b", WATER)
    with sqlite3.connect(source) as connection:
        connection.execute("DROP TRIGGER audit_log_no_update")
        connection.execute("UPDATE audit_log SET actor = 'somebody' WHERE sequence = 2")
    run = CliRunner()
    made = run.invoke(cli, ["backup", str(tmp_path / "b.sqlite"), "--database", str(source)])
    assert (made.exit_code, "is made, but its audit log is broken: entry 2" in made.output) == (1, True)
    assert not list(tmp_path.glob("*.partial*"))
    filled = run.invoke(cli, ["restore", str(tmp_path / "b.sqlite"), "--database", str(tmp_path / "new.sqlite")])
    assert (filled.exit_code, "filled, but its audit log is broken: entry 2" in filled.output) == (1, True)
    restored = Portal(taxonomy, str(tmp_path / "new.sqlite"))
    with restored.client:
        assert [restored.get(one).status_code for one in ("a", "b")] == [200, 200]


def test_a_backup_of_an_earlier_version_is_restored_and_stays_as_it_is(taxonomy: Taxonomy, tmp_path: Path) -> None:
    backup = tmp_path / "backup.sqlite"
    portal = Portal(taxonomy, str(tmp_path / "source.sqlite"))
    with portal.client:
        portal.put("a", WATER)
        kept = portal.get("a").json()
        report = back_up(portal.app.state.runtime.store, backup)
    with closing(sqlite3.connect(backup)) as connection:
        for table in ("clustering_edits", "clustering_comments", "clusterings"):
            connection.execute(f"DROP TABLE {table}")
        for column in ("kind", "steps", "share"):
            connection.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
        connection.execute("ALTER TABLE submissions DROP COLUMN owner")
        connection.execute("ALTER TABLE tags DROP COLUMN sections")
        connection.execute("UPDATE alembic_version SET version_num = '0003'")
        connection.commit()
        connection.execute("PRAGMA journal_mode = DELETE")
    before = backup.read_bytes()
    store = open_store(str(tmp_path / "new.sqlite"))
    assert restore(backup, store) == report
    store.close()
    assert backup.read_bytes() == before
    assert not list(tmp_path.glob("backup.sqlite-*"))
    restored = Portal(taxonomy, str(tmp_path / "new.sqlite"))
    with restored.client:
        assert restored.get("a").json() == kept


def test_what_is_no_backup_is_not_restored(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "new.sqlite"))
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no database at all " * 100)
    for name, words in (("none", "cannot be read"), ("empty", "is no backup"), ("text", "is no backup")):
        with pytest.raises(StoreError, match=words):
            restore(tmp_path / name, store)
    store.close()


def test_the_commands_of_backups(portal: Portal, database: str, tmp_path: Path) -> None:
    portal.put("a", WATER)
    run = CliRunner()
    made = run.invoke(cli, ["backup", str(tmp_path / "b.sqlite"), "--database", database])
    assert (made.exit_code, "1 entries in the audit log" in made.output) == (0, True)
    filled = run.invoke(cli, ["restore", str(tmp_path / "b.sqlite"), "--database", str(tmp_path / "new.sqlite")])
    assert (filled.exit_code, made.output.split()[-1]) == (0, filled.output.split()[-1])
