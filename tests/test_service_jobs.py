from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import SCHOOL, WATER, Clock, Portal
from fastapi.testclient import TestClient
from test_service_batching import GatedEncoder

from models.tagger import Tagger
from nlp.taxonomy import Taxonomy
from service.app import create_app
from service.queueing import open_queue
from service.settings import Settings
from service.store import Store, open_store
from service.store.jobs import MOST_LOSSES
from service.store.records import Job, JobState

ROOT = Path(__file__).parents[1]
LEASE = timedelta(seconds=60)


def _until(true: Callable[[], bool], what: str) -> None:
    pause = threading.Event()
    for _ in range(1200):
        if true():
            return
        pause.wait(0.05)
    raise AssertionError(f"{what} did not come")


@pytest.fixture
def working(taxonomy: Taxonomy, database: str) -> Iterator[Portal]:
    """A service that works on its jobs."""
    portal = Portal(taxonomy, database, job_threads=1)
    with portal.client:
        yield portal


def _ended(portal: Portal, job_id: str) -> dict[str, object]:
    found: dict[str, object] = {}

    def ended() -> bool:
        found.update(portal.client.get(f"/v1/jobs/{job_id}").json())
        return found["result"] is not None

    _until(ended, f"the end of job {job_id}")
    return found


def _lines(portal: Portal, job: dict[str, object]) -> list[dict[str, object]]:
    answer = portal.client.get(str(job["result"]))
    assert answer.headers["content-type"] == "application/jsonl"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_job_answers_as_classify_does_item_by_item(working: Portal) -> None:
    items = [{"id": n, "text": WATER if n % 2 else SCHOOL} for n in range(40)] + [{"id": "x", "text": ""}, {"text": 7}]
    taken = working.client.post("/v1/jobs", json={"items": items, "axes": ["sdg"], "all_scores": True})
    assert taken.status_code == 202
    job = taken.json()
    assert taken.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["total"], job["done"], job["result"]) == ("queued", 42, 2, None)
    job = _ended(working, job["id"])
    assert (job["state"], job["done"], job["failed"], job["model"]["name"]) == ("finished", 42, 2, "stub")
    expected = working.client.post("/v1/classify", json={"items": items, "axes": ["sdg"], "all_scores": True})
    assert _lines(working, job) == expected.json()["items"]


def test_a_file_may_be_a_job(working: Portal) -> None:
    data = f"id,التعليق\n1,{WATER}\n2,\n3,{SCHOOL}\n".encode()
    taken = working.client.post("/v1/jobs/file?axes=sdg", files={"file": ("تعليقات.csv", data)})
    assert taken.status_code == 202
    lines = _lines(working, _ended(working, taken.json()["id"]))
    assert [(line["id"], line["status"]) for line in lines] == [("1", 200), ("2", 422), ("3", 200)]


def test_a_fault_of_the_model_fails_an_item_and_not_the_job(working: Portal) -> None:
    working.encoder.broken = True
    job = working.client.post("/v1/jobs", json={"items": [{"id": "a", "text": WATER}]}).json()
    job = _ended(working, job["id"])
    assert (job["state"], job["failed"]) == ("finished", 1)
    assert _lines(working, job)[0]["status"] == 500


def test_a_job_that_cannot_go_on_fails_with_its_reason(portal: Portal) -> None:
    job = portal.client.post("/v1/jobs", json={"items": [{"text": WATER}], "axes": ["sdg"]}).json()
    runtime = portal.app.state.runtime
    with runtime.store._engine.begin() as connection:
        connection.exec_driver_sql("""UPDATE jobs SET options = '{"axes": ["colour"]}'""")
    runtime.background._work()
    job = portal.client.get(f"/v1/jobs/{job['id']}").json()
    assert job["state"] == "failed"
    assert "unknown axis 'colour'" in job["problem"]


def test_the_same_key_makes_one_job(portal: Portal) -> None:
    headers = {"Idempotency-Key": "k1"}
    body = {"items": [{"text": WATER}]}
    first = portal.client.post("/v1/jobs", json=body, headers=headers)
    again = portal.client.post("/v1/jobs", json=body, headers=headers)
    assert (again.status_code, again.json(), again.headers["location"]) == (
        202,
        first.json(),
        first.headers["location"],
    )
    assert again.headers["idempotency-replayed"] == "true"
    other = portal.client.post("/v1/jobs", json={"items": [{"text": SCHOOL}]}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "urn:musannif:repeat")


def test_faulty_jobs_are_refused(taxonomy: Taxonomy, database: str) -> None:
    portal = Portal(taxonomy, database, most_job_items=1)
    with portal.client as client:
        for body, status, word in (
            ({"items": []}, 422, "items"),
            ({"items": [{"text": "a"}, {"text": "b"}]}, 413, "most_job_items"),
            ({"items": [{"text": "a"}], "axes": ["colour"]}, 422, "colour"),
            ({"items": [{"text": "a"}], "colour": 1}, 422, "colour"),
        ):
            answer = client.post("/v1/jobs", json=body)
            assert (answer.status_code, word in answer.json()["detail"]) == (status, True)
        for method, path in (("GET", ""), ("GET", "/result"), ("POST", "/cancel"), ("DELETE", "")):
            answer = client.request(method, f"/v1/jobs/none{path}")
            assert (answer.status_code, answer.json()["type"]) == (404, "urn:musannif:not-stored")


def test_a_job_is_cancelled_once_and_deleted_with_its_words(portal: Portal) -> None:
    job = portal.client.post("/v1/jobs", json={"items": [{"text": WATER}]}).json()
    early = portal.client.get(f"/v1/jobs/{job['id']}/result")
    assert (early.status_code, "0 of 1 items" in early.json()["detail"]) == (409, True)
    for _ in range(2):
        cancelled = portal.client.post(f"/v1/jobs/{job['id']}/cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert _lines(portal, cancelled.json()) == []
    runtime = portal.app.state.runtime
    with runtime.store._engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT text FROM job_items").fetchall() == [(None,)]
    assert portal.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert portal.client.get(f"/v1/jobs/{job['id']}").status_code == 404
    with runtime.store.read() as reader:
        assert reader.verify_audit().entries == 3


class Still:
    """A clock that stands still until it is put on."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_a_part_that_waits_long_for_the_model_is_not_lost(stub: Tagger, database: str) -> None:
    encoder, clock = GatedEncoder(), Still()
    settings = Settings(database=database, job_threads=1, job_lease_seconds=0.3)
    with TestClient(create_app(settings, replace(stub, encoder=encoder), clock)) as client:
        runtime = client.app.state.runtime  # type: ignore[attr-defined]

        def due() -> object:
            with runtime.store.engine.connect() as connection:
                return connection.exec_driver_sql("SELECT due FROM jobs").scalar()

        job = client.post("/v1/jobs", json={"items": [{"text": WATER}, {"text": SCHOOL}]}).json()
        assert encoder.begun.wait(30)
        for _ in range(MOST_LOSSES + 1):
            before = due()
            clock.now += timedelta(seconds=0.2)
            _until(lambda before=before: due() != before, "the renewal")  # type: ignore[misc]
            runtime.background.sweep()
        encoder.gate.set()
        _until(lambda: client.get(f"/v1/jobs/{job['id']}").json()["result"] is not None, "the end of the job")
        end = client.get(f"/v1/jobs/{job['id']}").json()
    assert (end["state"], end["failed"], len(encoder.read)) == ("finished", 0, 2)


def test_every_part_that_waits_has_one_message_however_many_were_lost(portal: Portal) -> None:
    background = portal.app.state.runtime.background
    for _ in range(3):
        portal.client.post("/v1/jobs", json={"items": [{"text": WATER}]})
    background._queue.storage.flush_queue()
    for _ in range(3):
        background.sweep()
        assert background._queue.storage.queue_size() == 3


def test_what_is_no_id_is_refused_before_the_database_sees_it(portal: Portal) -> None:
    for path in ("jobs/%00", "jobs/a%00b/result", "webhooks/%00", "webhooks/%00/deliveries"):
        assert portal.client.get(f"/v1/{path}").status_code == 422
    for path in ("jobs/%00", "webhooks/%00"):
        assert portal.client.delete(f"/v1/{path}").status_code == 422
    assert portal.client.post("/v1/jobs/%00/cancel").status_code == 422


def test_a_finished_job_is_not_cancelled(working: Portal) -> None:
    job = working.client.post("/v1/jobs", json={"items": [{"text": WATER}]}).json()
    _ended(working, job["id"])
    assert working.client.post(f"/v1/jobs/{job['id']}/cancel").status_code == 409


# --- the store ---------------------------------------------------------------------------------------------------


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    store = open_store(database)
    yield store
    store.close()


def _job(store: Store, clock: Clock, texts: int = 3) -> Job:
    with store.write(clock()) as writer:
        items = [(json.dumps(n), f"نص {n}", None) for n in range(texts)]
        return writer.jobs.create(uuid.uuid4().hex, items, {}, owner="test")


def test_a_part_belongs_to_one_worker_and_a_lost_one_is_given_on(store: Store) -> None:
    clock = Clock()
    job = _job(store, clock)
    with store.write(clock()) as writer:
        part = writer.jobs.take(lease=LEASE, most_items=2, most_characters=1000)
        assert part is not None
        assert [item.position for item in part.items] == [0, 1]
        assert writer.jobs.take(lease=LEASE, most_items=2, most_characters=1000) is None
        assert writer.jobs.reclaim() == []
    with store.write(clock() + 2 * LEASE) as writer:
        (lost,) = writer.jobs.reclaim()
        assert lost.turn == 1
        other = writer.jobs.take(lease=LEASE, most_items=2, most_characters=1000)
        assert other is not None
        # The worker that was thought dead comes back: its turn has passed, and nothing that it says counts.
        assert writer.jobs.record(job.id, 0, [(0, "{}", False)], model="m") is None
        assert writer.jobs.fail(job.id, 0, "unknown axis") is None
        assert not writer.jobs.renew(job.id, 0, lease=LEASE)
        kept = writer.jobs.record(job.id, 1, [(0, "{}", False), (1, "{}", True)], model="m")
        assert kept is not None
        assert (kept.done, kept.failed, kept.turn, kept.state) == (2, 1, 2, JobState.RUNNING)
        assert writer.jobs.record(job.id, 1, [(0, "{}", False)], model="m") is None
        last = writer.jobs.take(lease=LEASE, most_items=2, most_characters=1000)
        assert last is not None
        assert [item.position for item in last.items] == [2]
        end = writer.jobs.record(job.id, 2, [(2, "{}", False)], model="m")
        assert end is not None
        assert end.state is JobState.FINISHED
        assert writer.jobs.fail(job.id, 2, "too late") is None
        assert writer.jobs.get(job.id).state is JobState.FINISHED


def test_jobs_take_turns_and_a_lost_part_goes_first(store: Store) -> None:
    clock = Clock()
    jobs = [_job(store, clock) for _ in range(3)]
    at = clock()

    def taken() -> int:
        with store.write(at) as writer:
            part = writer.jobs.take(lease=LEASE, most_items=1, most_characters=1000)
            assert part is not None
            return [job.id for job in jobs].index(part.job.id)

    assert taken() == 0
    assert taken() == 1
    with store.write(at) as writer:
        assert writer.jobs.record(jobs[0].id, 0, [(0, "{}", False)], model="m")
    at += 2 * LEASE
    with store.write(at) as writer:
        assert [job.id for job in writer.jobs.reclaim()] == [jobs[1].id]
        assert writer.jobs.waiting() == 3
    assert [taken(), taken(), taken()] == [1, 2, 0]
    with store.read() as reader:
        assert reader.jobs.waiting() == 0


def test_a_part_that_is_worked_on_is_not_lost(store: Store) -> None:
    clock = Clock()
    job = _job(store, clock)
    at = clock()
    with store.write(at) as writer:
        assert writer.jobs.take(lease=LEASE, most_items=1, most_characters=1000)
    for _ in range(MOST_LOSSES + 1):
        at += 0.9 * LEASE
        with store.write(at) as writer:
            assert writer.jobs.reclaim() == []
            assert writer.jobs.renew(job.id, 0, lease=LEASE)
    with store.write(at) as writer:
        writer.jobs.cancel(job.id)
        assert not writer.jobs.renew(job.id, 0, lease=LEASE)


def test_a_job_that_kills_its_workers_fails_in_the_end(store: Store) -> None:
    clock = Clock()
    job = _job(store, clock)
    at = clock()
    for _ in range(MOST_LOSSES):
        with store.write(at) as writer:
            assert writer.jobs.take(lease=LEASE, most_items=1, most_characters=1000)
        at += 2 * LEASE
        with store.write(at) as writer:
            (lost,) = writer.jobs.reclaim()
    assert (lost.id, lost.state) == (job.id, JobState.FAILED)
    assert "workers in a row were lost" in (lost.problem or "")


def test_a_part_is_bounded_by_characters_but_never_empty(store: Store) -> None:
    clock = Clock()
    _job(store, clock)
    with store.write(clock()) as writer:
        part = writer.jobs.take(lease=LEASE, most_items=3, most_characters=1)
        assert part is not None
        assert len(part.items) == 1


def test_old_jobs_are_forgotten_with_their_answers(store: Store) -> None:
    clock = Clock()
    ended, open_ = _job(store, clock), _job(store, clock)
    with store.write(clock()) as writer:
        writer.jobs.cancel(ended.id)
    with store.write(clock() + timedelta(days=8)) as writer:
        assert writer.jobs.forget(timedelta(days=7)) == 1
        assert writer.jobs.open() == 1
        assert writer.jobs.get(open_.id)
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM job_items").scalar() == 3


def test_a_locked_database_delays_a_job_and_loses_nothing(taxonomy: Taxonomy, database: str) -> None:
    portal = Portal(taxonomy, database, job_threads=1, busy_seconds=0.2, job_lease_seconds=1)
    with portal.client:
        read = portal.tagged
        job = portal.client.post("/v1/jobs", json={"items": [{"id": n, "text": WATER} for n in range(60)]}).json()
        _until(lambda: portal.tagged > read, "the first text")
        runtime = portal.app.state.runtime
        with runtime.store.write(portal.app.state.clock()):
            refused = portal.put("a", WATER)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        job = _ended(portal, job["id"])
        assert (job["state"], job["done"], job["failed"]) == ("finished", 60, 0)
        assert [line["id"] for line in _lines(portal, job)] == list(range(60))


# --- killed workers ----------------------------------------------------------------------------------------------

# A worker whose tagger notes each text when it has read it, and stops for ever at the word given.
_WORKER = """
import signal, sys, threading
from dataclasses import replace
from pathlib import Path
from models.stub import StubEncoder, stub_tagger
from nlp.taxonomy import load_taxonomy
from service.clock import utc_now
from service.metrics import Metrics
from service.runtime import open_runtime
from service.settings import Settings

notes, stop = Path(sys.argv[1]), sys.argv[2]

class Noting(StubEncoder):
    def windows(self, text):
        if stop and stop in text:
            notes.with_suffix(".stopped").touch()
            threading.Event().wait()
        with notes.open("a") as file:
            file.write(text + "\\n")
        return super().windows(text)

tagger = replace(stub_tagger(load_taxonomy(Path("data/taxonomy.yaml"))), encoder=Noting())
stopped = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopped.set())
with open_runtime(Settings(job_threads=1), tagger, utc_now, Metrics()):
    stopped.wait()
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts workers; gives their processes."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(settings: Settings, stop: str = "") -> subprocess.Popen[bytes]:
        variables = {
            "MUSANNIF_DATABASE": settings.database,
            "MUSANNIF_QUEUE": settings.queue,
            "MUSANNIF_JOB_LEASE_SECONDS": str(settings.job_lease_seconds),
            "PYTHONPATH": str(ROOT),
        }
        process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(tmp_path / "notes"), stop], cwd=ROOT, env={**os.environ, **variables}
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture(params=["sqlite", "redis"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "queue" / "queue.sqlite")
    folder: Path = request.getfixturevalue("redis_socket")
    return f"unix://{folder}/redis.sock"


@pytest.fixture(scope="session")
def redis_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the socket of a Redis server that lives as long as the tests, without a network."""
    redis = pytest.importorskip("redis", reason="the extra 'redis' is not installed")
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no Redis server on this machine: redis-server is not on PATH")
    folder = tmp_path_factory.mktemp("redis")
    socket = folder / "redis.sock"
    server = subprocess.Popen(
        [binary, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )

    def answers() -> bool:
        assert server.poll() is None, "the Redis server did not start"
        try:
            return bool(redis.Redis(unix_socket_path=str(socket)).ping())
        except redis.ConnectionError:
            return False

    try:
        _until(answers, "the Redis server")
        yield folder
    finally:
        server.terminate()
        server.wait(timeout=30)


def _read(tmp_path: Path) -> list[str]:
    notes = tmp_path / "notes"
    return notes.read_text().splitlines() if notes.exists() else []


def test_a_job_outlives_workers_and_servers_that_are_killed(
    stub: Tagger, database: str, queue: str, tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    settings = Settings(database=database, queue=queue, job_lease_seconds=1)
    texts = [f"نص {number:03}" for number in range(50)]
    with TestClient(create_app(settings, stub)) as client:
        job = client.post("/v1/jobs", json={"items": [{"id": n, "text": text} for n, text in enumerate(texts)]}).json()
    # The server is gone, and a worker comes, which hangs in the third part of the job.
    first = start(settings, stop="نص 037")
    _until((tmp_path / "notes.stopped").exists, "the text at which the worker hangs")
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    with TestClient(create_app(settings, stub)) as client:
        seen = client.get(f"/v1/jobs/{job['id']}").json()
        assert (seen["state"], seen["done"], seen["total"]) == ("running", 32, 50)
        second = start(settings)
        _until(lambda: client.get(f"/v1/jobs/{job['id']}").json()["state"] == "finished", "the end of the job")
        end = client.get(f"/v1/jobs/{job['id']}").json()
        lines = [json.loads(line) for line in client.get(end["result"]).text.splitlines()]
    assert (end["done"], end["failed"]) == (50, 0)
    assert [line["id"] for line in lines] == list(range(50))
    read = _read(tmp_path)
    # What was kept before the kill is not read again; of the part under way, what was read was read in vain.
    assert all(read.count(text) == 1 for text in texts[:32] + texts[37:])
    assert all(read.count(text) == 2 for text in texts[32:37])
    second.terminate()
    assert second.wait(timeout=30) == 0


def test_two_workers_share_jobs_and_do_each_item_once(
    stub: Tagger, database: str, queue: str, tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    settings = Settings(database=database, queue=queue)
    texts = [f"نص {number:03}" for number in range(90)]
    with TestClient(create_app(settings, stub)) as client, TestClient(create_app(settings, stub)) as other:
        jobs = [
            server.post("/v1/jobs", json={"items": [{"text": text} for text in texts[place : place + 30]]}).json()["id"]
            for server, place in ((client, 0), (other, 30), (client, 60))
        ]
        for _ in range(2):
            start(settings)
        for job in jobs:
            _until(lambda job=job: other.get(f"/v1/jobs/{job}").json()["state"] == "finished", "the end of a job")  # type: ignore[misc]
    assert sorted(_read(tmp_path)) == texts


def test_the_queue_holds_no_pickles(tmp_path: Path) -> None:
    queue = open_queue(Settings(queue=str(tmp_path / "queue.sqlite")), "test")
    seen: list[tuple[str, int]] = []

    @queue.task(name="task")  # type: ignore[untyped-decorator]
    def task(name: str, number: int) -> None:
        seen.append((name, number))

    task("أ", 1)
    (data,) = queue.storage.enqueued_items()
    assert json.loads(data)["args"] == ["أ", 1]
    queue.execute(queue.dequeue())
    task.schedule(("ب", 2), delay=3600)
    queue.execute(queue.dequeue())
    (data,) = queue.storage.scheduled_items()
    assert queue.deserialize_task(data).eta is not None
    assert seen == [("أ", 1)]
