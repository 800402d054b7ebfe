from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from conftest import WATER, word_tagger
from fastapi.testclient import TestClient
from httpx import Response

from models.stub import StubEncoder
from models.tagger import Options, Tagger
from models.tokenizer import Window
from nlp.errors import DeadlineError, ModelStoppedError, QueueFullError, TaggingError
from nlp.records import Classification, Document, Failure
from nlp.taxonomy import Taxonomy
from service.app import create_app
from service.batching import Batcher
from service.settings import Settings


class GatedEncoder(StubEncoder):
    """Notes what it reads, and reads nothing while the gate is closed."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.gate = threading.Event()
        self.begun = threading.Event()

    def windows(self, text: str) -> Sequence[Window]:
        self.begun.set()
        assert self.gate.wait(30)
        self.read.append(text)
        if "سم" in text:
            raise RuntimeError("poison")
        if "قاطع" in text:
            raise SystemExit
        return super().windows(text)


@pytest.fixture
def encoder() -> GatedEncoder:
    return GatedEncoder()


@pytest.fixture
def gated(stub: Tagger, encoder: GatedEncoder) -> Tagger:
    return replace(stub, encoder=encoder)


def _documents(*texts: str) -> list[Document]:
    return [Document(text, text) for text in texts]


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_texts_that_wait_together_are_one_batch_and_requests_take_turns(gated: Tagger, encoder: GatedEncoder) -> None:
    sizes: list[int] = []
    batcher = Batcher(most_waiting=100, deadline_seconds=30, observe=lambda texts, _: sizes.append(texts))
    first = batcher.submit(gated, _documents("أول"), Options())
    assert encoder.begun.wait(30)
    many = batcher.submit(gated, _documents("ا", "ب", "ت"), Options())
    other = batcher.submit(gated, _documents("ث"), Options(all_scores=True))
    assert batcher.waiting == 4
    encoder.gate.set()
    assert [result.id for result in many.result()] == ["ا", "ب", "ت"]
    (scored,) = other.result()
    assert isinstance(scored, Classification)
    assert scored.scores is not None
    assert first.result()
    batcher.close()
    assert sizes == [1, 4]


def test_a_comment_does_not_wait_for_all_of_a_long_request(gated: Tagger, encoder: GatedEncoder) -> None:
    batcher = Batcher(most_waiting=100, deadline_seconds=30)
    batcher.submit(gated, _documents("أول"), Options())
    assert encoder.begun.wait(30)
    many = batcher.submit(gated, _documents(*(f"نص {number}" for number in range(40))), Options())
    comment = batcher.submit(gated, _documents("تعليق"), Options())
    encoder.gate.set()
    many.result()
    comment.result()
    batcher.close()
    assert encoder.read.index("تعليق") < 5


def test_two_threads_share_a_request_and_answer_it_whole_and_in_order(gated: Tagger, encoder: GatedEncoder) -> None:
    names = [f"نص {number}" for number in range(20)]
    running: list[int] = []
    batcher = Batcher(most_waiting=100, deadline_seconds=30, threads=2, observe=lambda texts, _: running.append(texts))
    first = batcher.submit(gated, _documents("أول"), Options())
    assert encoder.begun.wait(30)
    encoder.begun.clear()
    many = batcher.submit(gated, _documents(*names), Options())
    assert encoder.begun.wait(30)  # another batch has begun, and the first is not done
    assert not first.done()
    encoder.gate.set()
    assert [result.id for result in many.result()] == names
    assert first.result()[0].id == "أول"
    batcher.close()
    assert sum(running) == 21


def test_a_batch_has_all_processors_only_while_nothing_else_runs_or_waits(
    stub: Tagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int | None] = []
    gate, begun = threading.Event(), threading.Semaphore(0)
    plain = Tagger.classify

    def classify(self, documents, options=None, *, streams=None):  # type: ignore[no-untyped-def]
        given.append(streams)
        begun.release()
        assert gate.wait(30)
        return plain(self, documents, options, streams=streams)

    monkeypatch.setattr(Tagger, "classify", classify)
    batcher = Batcher(most_waiting=100, deadline_seconds=30, threads=2)
    alone = batcher.submit(stub, _documents("أول"), Options())
    assert begun.acquire(timeout=30)
    beside = batcher.submit(stub, _documents("ثان"), Options())
    assert begun.acquire(timeout=30)
    gate.set()
    assert alone.result()
    assert beside.result()
    batcher.close()
    assert given == [None, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is of the whole process elsewhere")
def test_the_model_gives_way_to_the_threads_that_answer(stub: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    plain = Tagger.classify

    def classify(self, documents, options=None, *, streams=None):  # type: ignore[no-untyped-def]
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return plain(self, documents, options, streams=streams)

    monkeypatch.setattr(Tagger, "classify", classify)
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    batcher = Batcher(most_waiting=100, deadline_seconds=30)
    assert batcher.submit(stub, _documents("أول"), Options()).result()
    batcher.close()
    assert found[0] > before
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_a_full_queue_refuses_and_says_when_to_come_again(gated: Tagger, encoder: GatedEncoder) -> None:
    batcher = Batcher(most_waiting=2, deadline_seconds=30)
    batcher.submit(gated, _documents("أول"), Options())
    assert encoder.begun.wait(30)
    kept = batcher.submit(gated, _documents("ا", "ب", "ت"), Options())  # more than may wait, but nothing waits
    with pytest.raises(QueueFullError, match="most_waiting") as caught:
        batcher.submit(gated, _documents("ث"), Options())
    assert 1 <= caught.value.retry_after <= 60
    background = batcher.submit(gated, _documents("خلفية"), Options(), patient=True)
    encoder.gate.set()
    assert len(kept.result()) == 3
    assert background.result()
    assert batcher.submit(gated, _documents("ث"), Options()).result()
    batcher.close()


def test_what_its_sender_gave_up_is_not_tagged(gated: Tagger, encoder: GatedEncoder) -> None:
    batcher = Batcher(most_waiting=100, deadline_seconds=30)
    batcher.submit(gated, _documents("أول"), Options())
    assert encoder.begun.wait(30)
    given_up = batcher.submit(gated, _documents("متروك"), Options())
    kept = batcher.submit(gated, _documents("باق"), Options())
    assert given_up.cancel()
    encoder.gate.set()
    assert kept.result()
    batcher.close()
    assert "متروك" not in encoder.read


def test_a_deadline_ends_what_waits_and_not_background_work(gated: Tagger, encoder: GatedEncoder) -> None:
    seconds = Seconds()
    batcher = Batcher(most_waiting=100, deadline_seconds=5, now=seconds)
    begun = batcher.submit(gated, _documents("أول"), Options())
    assert encoder.begun.wait(30)
    late = batcher.submit(gated, _documents("متأخر"), Options())
    background = batcher.submit(gated, _documents("خلفية"), Options(), patient=True)
    seconds.now = 6
    encoder.gate.set()
    with pytest.raises(DeadlineError, match="5 seconds"):
        late.result()
    assert background.result()
    assert begun.result()
    batcher.close()
    assert "متأخر" not in encoder.read


def test_a_text_on_which_the_model_fails_fails_alone(gated: Tagger, encoder: GatedEncoder) -> None:
    encoder.gate.set()
    batcher = Batcher(most_waiting=100, deadline_seconds=30)
    results = batcher.submit(gated, _documents("ا", "سم", "ب"), Options()).result()
    batcher.close()
    assert [isinstance(result, Failure) for result in results] == [False, True, False]
    assert isinstance(results[1], Failure)
    assert isinstance(results[1].error, TaggingError)


def test_closing_finishes_what_was_accepted(gated: Tagger, encoder: GatedEncoder) -> None:
    batcher = Batcher(most_waiting=100, deadline_seconds=30)
    futures = [batcher.submit(gated, _documents(f"نص {number}"), Options()) for number in range(40)]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    encoder.gate.set()
    closing.join()
    assert all(future.done() for future in futures)
    assert not batcher.alive


def test_when_the_model_stops_all_who_wait_are_told_and_nobody_else_is_taken(
    gated: Tagger, encoder: GatedEncoder
) -> None:
    batcher = Batcher(most_waiting=100, deadline_seconds=30)
    batch = batcher.submit(gated, _documents("قاطع"), Options())
    assert encoder.begun.wait(30)
    queued = batcher.submit(gated, _documents("ا", "ب"), Options(), patient=True)
    encoder.gate.set()
    for future in (batch, queued):
        with pytest.raises(ModelStoppedError, match="start the service again"):
            future.result(30)
    with pytest.raises(ModelStoppedError):
        batcher.submit(gated, _documents("ت"), Options())
    batcher.close()
    assert not batcher.alive


def test_a_service_whose_model_stopped_says_so(gated: Tagger, encoder: GatedEncoder) -> None:
    encoder.gate.set()
    with TestClient(create_app(Settings(threads=1), gated)) as client:
        assert [client.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
        for _ in range(2):
            answer = client.post("/v1/classify", json={"text": "قاطع"})
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:musannif:model-stopped")
        ready = client.get("/readyz")
        assert (ready.status_code, "model" in ready.json()["detail"]) == (503, True)
        # Nothing but a new start mends it: who watches over the process is to start it again.
        lives = client.get("/healthz")
        assert (lives.status_code, lives.headers["content-type"]) == (503, "application/problem+json")
        assert lives.json()["type"] == "urn:musannif:model-stopped"
        # A job is accepted all the same, and waits for a process whose model reads.
        job = client.post("/v1/jobs", json={"items": [{"text": "نص"}]}).json()
        client.app.state.runtime.background._work()  # type: ignore[attr-defined]
        assert client.get(f"/v1/jobs/{job['id']}").json()["state"] == "queued"


def test_a_process_whose_model_stopped_leaves_jobs_to_others(gated: Tagger, encoder: GatedEncoder) -> None:
    encoder.gate.set()
    with TestClient(create_app(Settings(threads=1, job_threads=1), gated)) as client:
        background = client.app.state.runtime.background  # type: ignore[attr-defined]
        jobs, post, _ = background._threads
        background.sweep()
        assert not jobs.stop_flag.is_set()
        client.post("/v1/classify", json={"text": "قاطع"})
        background.sweep()
        assert (jobs.stop_flag.is_set(), post.stop_flag.is_set()) == (True, False)


def test_a_job_is_not_failed_by_a_model_that_stops(gated: Tagger, encoder: GatedEncoder) -> None:
    encoder.gate.set()
    with TestClient(create_app(Settings(threads=1), gated)) as client:
        job = client.post("/v1/jobs", json={"items": [{"text": "قاطع"}]}).json()
        client.app.state.runtime.background._work()  # type: ignore[attr-defined]
        assert client.get(f"/v1/jobs/{job['id']}").json()["state"] == "running"
        assert not client.app.state.runtime.batcher.alive  # type: ignore[attr-defined]


def test_figures_that_cannot_be_kept_and_wrong_counts_do_not_stop_the_model(
    gated: Tagger, encoder: GatedEncoder
) -> None:
    def observe(texts: int, seconds: float) -> None:
        raise OSError("no space left")

    class Forgetful:
        def classify(self, documents: Sequence[Document], options: Options) -> list[Classification]:
            return []

    encoder.gate.set()
    batcher = Batcher(most_waiting=100, deadline_seconds=30, observe=observe)
    results = batcher.submit(Forgetful(), _documents("ا", "ب"), Options()).result(30)  # type: ignore[arg-type]
    assert [isinstance(result, Failure) for result in results] == [True, True]
    assert isinstance(batcher.submit(gated, _documents("ا"), Options()).result(30)[0], Classification)
    batcher.close()


def test_a_full_service_answers_429_and_a_model_fault_is_one_item(gated: Tagger, encoder: GatedEncoder) -> None:
    with TestClient(create_app(Settings(threads=1, most_waiting=1), gated)) as client:
        threads = [
            threading.Thread(target=client.post, args=("/v1/classify",), kwargs={"json": {"text": text}})
            for text in ("أول", "ثان")
        ]
        threads[0].start()
        assert encoder.begun.wait(30)
        threads[1].start()
        batcher = client.app.state.runtime.batcher  # type: ignore[attr-defined]
        while not batcher.waiting:
            pass
        refused = client.post("/v1/classify", json={"text": "ثالث"})
        encoder.gate.set()
        for thread in threads:
            thread.join()
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["type"] == "urn:musannif:queue-full"
        items = client.post("/v1/classify", json={"items": [{"text": "سم"}, {"text": "عسل"}]}).json()["items"]
        assert [item["status"] for item in items] == [500, 200]
        assert items[0]["problem"]["type"] == "urn:musannif:tagging"


def _wait_until(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if true():
            return
        pause.wait(0.02)
    raise AssertionError("it did not come")


def test_submissions_wait_in_the_queue_and_take_no_thread(gated: Tagger, encoder: GatedEncoder) -> None:
    with TestClient(create_app(Settings(threads=1), gated)) as client:
        batcher = client.app.state.runtime.batcher  # type: ignore[attr-defined]
        answers: list[int] = []

        def put(number: int) -> None:
            answers.append(client.put(f"/v1/submissions/{number}", json={"text": f"نص {number}"}).status_code)

        threads = [threading.Thread(target=put, args=(number,)) for number in range(60)]
        threads[0].start()
        assert encoder.begun.wait(30)
        for thread in threads[1:]:
            thread.start()
        _wait_until(lambda: batcher.waiting == 59)
        assert client.get("/v1/submissions").json()["items"] == []
        encoder.gate.set()
        for thread in threads:
            thread.join()
    assert answers == [201] * 60


@pytest.mark.parametrize("many", [False, True])
def test_submissions_meet_the_bound_of_the_queue(gated: Tagger, encoder: GatedEncoder, many: bool) -> None:
    bodies = [{"external_id": str(number), "text": f"نص {number}"} for number in range(20)]
    body: dict[str, object] = {"items": bodies} if many else bodies[0]  # type: ignore[dict-item]
    with TestClient(create_app(Settings(threads=1, most_waiting=20), gated)) as client:
        batcher = client.app.state.runtime.batcher  # type: ignore[attr-defined]
        first = batcher.submit(gated, _documents("أول"), Options(), patient=True)
        assert encoder.begun.wait(30)
        batcher.submit(gated, _documents(*map(str, range(20))), Options(), patient=True)
        full = client.post("/v1/submissions", json=body)
        assert (full.status_code, full.json()["type"]) == (429, "urn:musannif:queue-full")
        assert int(full.headers["retry-after"]) >= 1
        assert client.get("/v1/submissions").json()["items"] == []
        encoder.gate.set()
        first.result()
        _wait_until(lambda: not batcher.waiting)
        again = client.post("/v1/submissions", json=body)
        assert again.status_code == (200 if many else 201)
        assert len(client.get("/v1/submissions").json()["items"]) == (20 if many else 1)


def test_submissions_meet_the_deadline_of_the_queue(gated: Tagger, encoder: GatedEncoder) -> None:
    with TestClient(create_app(Settings(threads=1, deadline_seconds=0.05), gated)) as client:
        batcher = client.app.state.runtime.batcher  # type: ignore[attr-defined]
        batcher.submit(gated, _documents("أول"), Options(), patient=True)
        assert encoder.begun.wait(30)
        answers: list[Response] = []
        late = threading.Thread(target=lambda: answers.append(client.put("/v1/submissions/a", json={"text": "ثان"})))
        late.start()
        _wait_until(lambda: batcher.waiting == 1)
        threading.Event().wait(0.1)
        encoder.gate.set()
        late.join()
        assert (answers[0].status_code, answers[0].json()["type"]) == (503, "urn:musannif:deadline")
        assert client.get("/v1/submissions/a").status_code == 404


def test_many_submissions_share_calls_of_the_model(stub: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    plain = Batcher.submit

    def submit(self, tagger, documents, *given, **named):  # type: ignore[no-untyped-def]
        calls.append(len(documents))
        return plain(self, tagger, documents, *given, **named)

    items = [{"external_id": str(number % 19), "text": f"نص {number}"} for number in range(20)]
    with TestClient(create_app(Settings(threads=1), stub)) as client:
        monkeypatch.setattr(Batcher, "submit", submit)
        answers = client.post("/v1/submissions", json={"items": items}).json()["items"]
        assert [answer["status"] for answer in answers] == [201] * 19 + [200]
        assert client.get("/v1/submissions/0").json()["text"] == "نص 19"
    assert [call for call in calls if call] == [16, 4]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_the_work_of_a_client_that_is_gone_is_dropped(gated: Tagger, encoder: GatedEncoder, method: str) -> None:
    app = create_app(Settings(threads=1), gated)
    item = b'{"text": "\xd9\x85\xd8\xaa\xd8\xb1\xd9\x88\xd9\x83"}'
    body = b'{"items": [%s]}' % item if method == "POST" else item
    path = "/v1/classify" if method == "POST" else "/v1/submissions/a"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "scheme": "http",
        "server": ("test", 80),
        "client": ("test", 1),
        "root_path": "",
    }

    async def run() -> list[int]:
        statuses: list[int] = []
        async with app.router.lifespan_context(app):
            runtime = app.state.runtime
            first = runtime.batcher.submit(gated, _documents("أول"), Options())
            await asyncio.to_thread(encoder.begun.wait, 30)
            messages = [{"type": "http.request", "body": body, "more_body": False}]

            async def receive() -> dict[str, object]:
                if messages:
                    return messages.pop()
                while not runtime.batcher.waiting:
                    await asyncio.sleep(0)
                return {"type": "http.disconnect"}

            async def send(message: dict[str, object]) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(int(str(message["status"])))

            await app({**scope, "app": app}, receive, send)
            encoder.gate.set()
            await asyncio.wrap_future(first)
        return statuses

    assert asyncio.run(run()) == [499]
    assert encoder.read == ["أول"]


def test_neighbours_in_a_batch_change_nothing(taxonomy: Taxonomy) -> None:
    tagger = word_tagger(taxonomy, {"ماء": {"goals": ["6"]}})
    batcher = Batcher(most_waiting=100, deadline_seconds=30)
    alone = batcher.submit(tagger, _documents(WATER), Options()).result()
    beside = batcher.submit(tagger, _documents("كلام", WATER, "ماء ماء"), Options()).result()
    batcher.close()
    assert beside[1] == alone[0]
