from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import grouping_stub
import httpx
import pytest
from conftest import SCHOOL, WATER, Portal

from nlp.errors import ServiceError
from nlp.taxonomy import Taxonomy
from service.client import AsyncClient, Client

Change = Callable[[httpx.Request], httpx.Response | None]


class Wire(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Between a client and a service in this process; ``change`` may answer, or break, in the service's place."""

    def __init__(self, portal: Portal, change: Change = lambda request: None) -> None:
        self._portal = portal
        self._change = change
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if answer := self._change(request):
            return answer
        given = self._portal.client.request(
            request.method, request.url.raw_path.decode(), content=request.read(), headers=dict(request.headers)
        )
        return httpx.Response(given.status_code, content=given.content, headers=dict(given.headers))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await asyncio.to_thread(self.handle_request, request)


@pytest.fixture
def small(taxonomy: Taxonomy, tmp_path) -> Iterator[Portal]:  # type: ignore[no-untyped-def]
    portal = Portal(taxonomy, str(tmp_path / "a.sqlite"), most_items=3, most_job_items=4, job_threads=1)
    with portal.client:
        yield portal


def _client(wire: Wire, waits: list[float] | None = None, **given: object) -> Client:
    sleep = (lambda seconds: None) if waits is None else waits.append
    return Client("http://localhost", transport=wire, sleep=sleep, **given)  # type: ignore[arg-type]


TEXTS = [WATER, SCHOOL, "", WATER, SCHOOL, WATER, WATER]


def _check(items: list[object]) -> None:
    assert [(item.id, item.status) for item in items] == [  # type: ignore[attr-defined]
        (place, 422 if not text else 200) for place, text in enumerate(TEXTS)
    ]


def test_many_texts_are_sent_in_several_requests_with_progress(small: Portal) -> None:
    wire, seen = Wire(small), []
    with _client(wire) as client:
        items = client.classify(TEXTS, progress=lambda done, total: seen.append((done, total)), axes=["sdg"])
    _check(items)  # type: ignore[arg-type]
    assert seen == [(3, 7), (6, 7), (7, 7)]
    assert items[0].model_extra is not None
    assert items[0].model_extra["goals"][0]["id"] == "6"


def test_requests_are_bounded_by_bytes_too(taxonomy: Taxonomy, tmp_path) -> None:  # type: ignore[no-untyped-def]
    portal = Portal(taxonomy, str(tmp_path / "a.sqlite"), most_bytes=3000)
    wire = Wire(portal)
    with portal.client, _client(wire) as client:
        assert len(client.classify(["ا" * 200] * 5)) == 5
    assert max(len(request.content) for request in wire.asked) <= 3000


def test_a_job_is_awaited(small: Portal) -> None:
    seen: list[tuple[int, int]] = []
    with Client("http://localhost", transport=Wire(small)) as client:
        items = client.run_job(TEXTS, progress=lambda *far: seen.append(far), poll_seconds=0.05)
    assert [item.status for item in items] == [422 if not text else 200 for text in TEXTS]
    assert seen[-1] == (7, 7)


def test_the_seconds_between_two_questions_may_be_a_whole_number(small: Portal) -> None:
    waits: list[float] = []
    with _client(Wire(small), waits) as client:
        assert len(client.run_job([WATER], poll_seconds=1)) == 1
    assert set(waits) == {1.0}


def test_a_text_that_is_no_unicode_fails_alone(small: Portal) -> None:
    with _client(Wire(small)) as client:
        items = client.classify([WATER, "\ud800", SCHOOL])
    assert [item.status for item in items] == [200, 422, 200]


def test_a_full_queue_is_met_by_waiting_as_long_as_it_says(small: Portal) -> None:
    answers = [httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(503)]

    def change(request: httpx.Request) -> httpx.Response | None:
        return answers.pop(0) if answers and request.url.path == "/v1/classify" else None

    waits: list[float] = []
    with _client(Wire(small, change), waits) as client:
        assert len(client.classify([WATER])) == 1
    assert waits == [7.0, 0.5]


def test_a_write_whose_answer_was_lost_is_done_once(small: Portal) -> None:
    lost = [True]

    class Losing(Wire):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if request.method == "PUT" and lost and lost.pop():
                raise httpx.ReadError("lost")
            return answer

    wire = Losing(small)
    with _client(wire) as client:
        kept = client.submit("عام/1", WATER, {"country": "JO"})
    assert (kept.external_id, kept.metadata) == ("عام/1", {"country": "JO"})
    keys = [request.headers["idempotency-key"] for request in wire.asked]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    with small.app.state.runtime.store.read() as reader:
        assert reader.verify_audit().entries == 1


def test_a_submission_comes_back_with_the_pages_where_its_tags_were_found(small: Portal) -> None:
    with _client(Wire(small)) as client:
        kept = client.submit("a", f"تقرير البلدية السنوي.\f{WATER}.")
    assert [place.page for place in kept.tags["goals"][0].sections or ()] == [2]


def test_refusals_and_silence_are_errors_of_ours(small: Portal) -> None:
    def refuse(request: httpx.Request) -> httpx.Response | None:
        raise httpx.ConnectError("refused")

    with _client(Wire(small)) as client, pytest.raises(ServiceError, match="unknown axis 'colour'") as caught:
        client.classify([WATER], axes=["colour"])
    assert caught.value.status == 422
    wire = Wire(small, refuse)
    with _client(wire, retries=2) as client, pytest.raises(ServiceError, match="is it running"):
        client.info()
    assert len(wire.asked) == 3
    with _client(Wire(small)) as client, pytest.raises(ValueError, match="1 ids for 2 texts"):
        client.classify([WATER, WATER], ids=["a"])


def test_a_key_is_sent(small: Portal) -> None:
    wire = Wire(small)
    with _client(wire, key="k") as client:
        client.info()
    assert wire.asked[0].headers["authorization"] == "Bearer k"


def test_the_client_that_awaits_does_the_same(small: Portal) -> None:
    async def run() -> list[list[object]]:
        async with AsyncClient("http://localhost", transport=Wire(small)) as client:
            assert (await client.info()).limits["most_items"] == 3
            kept = await client.submit("a", WATER)
            assert json.loads(kept.model_dump_json())["external_id"] == "a"
            return [list(await client.classify(TEXTS)), list(await client.run_job(TEXTS, poll_seconds=0.05))]

    first, second = asyncio.run(run())
    _check(first)
    assert len(second) == len(TEXTS)


CONSULTATION = [{"text": "ماء الحي", "attributes": {"region": "شمال"}}, {"text": "ماء مالح"}, {"text": "كلام"}]


def test_a_consultation_is_grouped_edited_and_fetched(
    taxonomy: Taxonomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grouping_stub.install(monkeypatch)
    portal = Portal(taxonomy, str(tmp_path / "a.sqlite"), job_threads=1, most_page=2)
    seen: list[tuple[str, float]] = []
    with portal.client, _client(Wire(portal)) as client:
        job = client.cluster(CONSULTATION, title="x", background=True, progress=lambda *one: seen.append(one))
        assert (job.state, seen[-1]) == ("finished", ("describe", 1.0))
        made = client.cluster(CONSULTATION)
        assert made.tree is not None
        rename = {"edit": "rename", "topic": "t1", "title": "المياه"}
        changed = client.edit_clustering(made.id, [rename], match=made.etag, reviewer="ليلى")
        assert changed.tree is not None
        assert changed.tree.topics[0].title == "المياه"
        with pytest.raises(ServiceError, match="If-Match") as caught:
            client.undo_edit(made.id, match=made.etag, reviewer="ليلى")
        assert caught.value.status == 412
        client.undo_edit(made.id, match=changed.etag, reviewer="ليلى")
        assert client.join_clustering(made.id, [{"text": "ماء"}]).comments == 4
        assert len(client.clustering_comments(made.id)) == 4
        assert [one.text for one in client.clustering_comments(made.id, attribute="region:شمال")] == ["ماء الحي"]
        assert client.clustering_report(made.id).startswith(b"<!doctype html>")
        assert json.loads(client.export_clustering(made.id))["texts"]
        with pytest.raises(ServiceError, match="empty"):
            client.cluster([{"text": ""}])

        async def run() -> int:
            async with AsyncClient("http://localhost", transport=Wire(portal)) as waiting:
                found = await waiting.cluster(CONSULTATION, background=True, poll_seconds=0.05)
                assert (await waiting.clustering(found.id)).state == "finished"
                return len(await waiting.clustering_comments(found.id))

        assert asyncio.run(run()) == 3
