from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from conftest import WATER, Portal
from fastapi.testclient import TestClient
from pydantic import ValidationError
from test_service_batching import GatedEncoder
from test_service_jobs import _until

from models.tagger import Tagger
from nlp.errors import WebhookError
from nlp.taxonomy import Taxonomy
from service.app import create_app
from service.delivery import Sender, check_url, new_secret, signature
from service.settings import Settings, parse_networks
from service.store.records import Delivery, DeliveryState, Webhook
from service.working import backoff

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Receiver:
    """A server that keeps what it is sent, and answers what it is told."""

    url: str = ""
    messages: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.messages.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(found.statuses.pop(0) if found.statuses else 204)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/hook?a=1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def _drain(portal: Portal) -> None:
    """Do what is due, as workers do."""
    background = portal.app.state.runtime.background
    background.sweep()
    for queue in (background._queue, background._post):
        while task := queue.dequeue():
            queue.execute(task)


@pytest.fixture
def hooked(taxonomy: Taxonomy, database: str) -> Iterator[Portal]:
    portal = Portal(taxonomy, database, webhook_networks="127.0.0.0/8", webhook_tries=3, most_webhooks=2)
    with portal.client:
        yield portal


def test_ended_jobs_and_confirmed_submissions_are_told_with_a_signature(hooked: Portal, receiver: Receiver) -> None:
    made = hooked.client.post("/v1/webhooks", json={"url": receiver.url})
    assert made.status_code == 201
    job = hooked.client.post("/v1/jobs", json={"items": [{"text": WATER}]}).json()
    _drain(hooked)
    _drain(hooked)
    hooked.put("a", WATER)
    hooked.review("a", "confirm goals:6")
    _drain(hooked)
    assert len(receiver.messages) == 1  # two tags still wait for a decision
    hooked.review("a", "confirm targets:6.1", "reject rite:effectiveness")
    hooked.review("a", "confirm rite:effectiveness")
    _drain(hooked)
    told = [json.loads(body) for _, body in receiver.messages]
    assert [one["type"] for one in told] == ["job.finished", "submission.confirmed"]
    assert told[0]["data"] == hooked.client.get(f"/v1/jobs/{job['id']}").json()
    assert told[1]["data"] == {
        "external_id": "a",
        "revision": 1,
        "settled": {"goals": ["6"], "targets": ["6.1"], "rite": []},
    }
    assert WATER not in str(told)
    for headers, body in receiver.messages:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(made.json()["secret"].removeprefix("whsec_"))
        mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{mac}"
        assert headers["host"] == httpx.URL(receiver.url).netloc.decode()


def test_a_message_is_tried_again_and_its_log_is_visible(hooked: Portal, receiver: Receiver) -> None:
    receiver.statuses = [500, 302]
    hook = hooked.client.post("/v1/webhooks", json={"url": receiver.url, "events": ["job.cancelled"]}).json()
    job = hooked.client.post("/v1/jobs", json={"items": [{"text": WATER}]}).json()
    hooked.client.post(f"/v1/jobs/{job['id']}/cancel")
    seen = []
    for _ in range(3):
        _until(lambda: _again(hooked, hook["id"], len(seen)), "the next try")
        (entry,) = hooked.client.get(f"/v1/webhooks/{hook['id']}/deliveries").json()["items"]
        seen.append((entry["state"], entry["tries"], entry["status"]))
    assert seen == [("waiting", 1, 500), ("waiting", 2, 302), ("delivered", 3, 204)]
    assert len({headers["webhook-id"] for headers, _ in receiver.messages}) == 1
    assert len(receiver.messages) == 3


def _again(portal: Portal, webhook_id: str, tries: int) -> bool:
    _drain(portal)  # every call of the clock is a second later
    (entry,) = portal.client.get(f"/v1/webhooks/{webhook_id}/deliveries").json()["items"]
    return int(entry["tries"]) > tries


def test_a_message_fails_in_the_end_and_says_why(hooked: Portal, receiver: Receiver) -> None:
    receiver.statuses = [500] * 3
    hook = hooked.client.post("/v1/webhooks", json={"url": receiver.url}).json()
    job = hooked.client.post("/v1/jobs", json={"items": [{"text": WATER}]}).json()
    hooked.client.post(f"/v1/jobs/{job['id']}/cancel")
    _until(lambda: _again(hooked, hook["id"], 2), "the last try")
    (entry,) = hooked.client.get(f"/v1/webhooks/{hook['id']}/deliveries").json()["items"]
    assert (entry["state"], entry["status"], entry["due"]) == ("failed", 500, None)
    assert entry["problem"] == "the webhook answered 500, expected 200 to 299"
    hooked.app.state.runtime.background.sweep()
    assert len(receiver.messages) == 3


def test_webhooks_are_listed_without_their_secrets_bounded_and_removed(hooked: Portal) -> None:
    url = "http://127.0.0.1:9/hook"
    made = [hooked.client.post("/v1/webhooks", json={"url": url}).json() for _ in range(2)]
    assert hooked.client.post("/v1/webhooks", json={"url": url}).status_code == 409
    listed = hooked.client.get("/v1/webhooks")
    assert [one["id"] for one in listed.json()["items"]] == [one["id"] for one in made]
    assert all(one["secret"] not in listed.text for one in made)
    address = f"/v1/webhooks/{made[0]['id']}"
    assert hooked.client.get(address).json()["url"] == url
    assert hooked.client.delete(address).status_code == 204
    assert hooked.client.get(address).status_code == 404
    assert hooked.client.get(f"{address}/deliveries").status_code == 404


def test_the_same_key_makes_one_webhook(hooked: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    body, headers = {"url": "http://127.0.0.1:9/hook"}, {"Idempotency-Key": "k"}
    first = hooked.client.post("/v1/webhooks", json=body, headers=headers)

    def lost(*_: object) -> None:
        raise WebhookError("the name is not found any more")

    monkeypatch.setattr("service.webhooks.check_url", lost)
    again = hooked.client.post("/v1/webhooks", json=body, headers=headers)
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (201, first.json(), "true")
    assert len(hooked.client.get("/v1/webhooks").json()["items"]) == 1


def test_an_event_that_does_not_exist_is_refused(hooked: Portal) -> None:
    answer = hooked.client.post("/v1/webhooks", json={"url": "http://127.0.0.1/", "events": ["jobs"]})
    assert answer.status_code == 422


def test_private_addresses_are_refused_unless_they_are_allowed(portal: Portal) -> None:
    answer = portal.client.post("/v1/webhooks", json={"url": "http://127.0.0.1:8000/v1/submissions"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:musannif:webhook")
    assert "MUSANNIF_WEBHOOK_NETWORKS" in answer.json()["detail"]
    with pytest.raises(ValidationError):
        Settings(webhook_networks="10.0.0.1/8")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "::7f00:1",
        "::ffff:0:7f00:1",
        "fec0::1",
    ],
)
def test_no_name_leads_to_a_private_address(address: str) -> None:
    with pytest.raises(WebhookError, match="not public"):
        check_url("https://portal.example/", (), lambda host, port: ["93.184.216.34", address])


def test_an_allowed_network_opens_no_other() -> None:
    networks = parse_networks("10.2.0.0/16, fd00::/64")
    for address in ("10.2.3.4", "fd00::1", "::ffff:10.2.3.4"):
        check_url("https://portal.example/", networks, lambda host, port, a=address: [a])  # type: ignore[misc]
    with pytest.raises(WebhookError):
        check_url("https://portal.example/", networks, lambda host, port: ["10.3.0.1"])


@pytest.mark.parametrize(
    "url", ["ftp://a.example/", "https://", "https://u:p@a.example/", "//a.example", "https://a.example:x/", "a"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(WebhookError, match="expected https"):
        check_url(url, (), lambda host, port: ["93.184.216.34"])


def _delivery(url: str) -> Delivery:
    webhook = Webhook("w", "test", url, new_secret(), ("job.finished",), NOON)
    return Delivery(1, webhook, "msg_1", "job.finished", "{}", DeliveryState.WAITING, 0, NOON, NOON, NOON, None, None)


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    asked: list[httpx.Request] = []
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])  # the name is rebound after the first look

    def take(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200)

    sender = Sender((), seconds=1, transport=httpx.MockTransport(take), look_up=lambda host, port: next(answers))
    first = sender.post(_delivery("https://portal.example:8443/hook"), NOON)
    second = sender.post(_delivery("https://portal.example:8443/hook"), NOON)
    assert (first.status, first.problem) == (200, None)
    assert second.status is None
    assert "127.0.0.1" in (second.problem or "")
    (request,) = asked
    assert str(request.url) == "https://93.184.216.34:8443/hook"
    assert request.headers["host"] == "portal.example:8443"
    assert request.extensions["sni_hostname"] == "portal.example"


def test_a_connection_that_fails_is_a_problem_and_no_error() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("too late")

    sender = Sender((), seconds=1, transport=httpx.MockTransport(refuse), look_up=lambda host, port: ["93.184.216.34"])
    outcome = sender.post(_delivery("https://portal.example/"), NOON)
    assert (outcome.status, outcome.problem) == (None, "ConnectTimeout: too late")


@pytest.fixture
def dripping() -> Iterator[str]:
    """The address of a server that sends a header every 50 ms, and ends after five seconds."""
    ended = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(30)

    def drip() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            for _ in range(100):
                if ended.wait(0.05):
                    return
                connection.sendall(b"X-More: 1\r\n")
            connection.sendall(b"Content-Length: 0\r\n\r\n")

    thread = threading.Thread(target=drip)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    ended.set()
    thread.join()
    server.close()


def test_a_receiver_that_drips_has_no_more_time_than_others(dripping: str) -> None:
    sender = Sender(parse_networks("127.0.0.0/8"), seconds=0.3)
    outcome = sender.post(_delivery(dripping), NOON)
    assert outcome.status is None
    assert "webhook_seconds" in (outcome.problem or "")


def test_messages_do_not_wait_for_the_model(
    stub: Tagger, database: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.working._SWEEP_SECONDS", 0.05)
    encoder = GatedEncoder()
    settings = Settings(database=database, job_threads=1, webhook_networks="127.0.0.0/8")
    with TestClient(create_app(settings, replace(stub, encoder=encoder))) as client:
        client.post("/v1/webhooks", json={"url": receiver.url})
        client.post("/v1/jobs", json={"items": [{"text": WATER}]})
        assert encoder.begun.wait(30)
        other = client.post("/v1/jobs", json={"items": [{"text": WATER}]}).json()
        client.post(f"/v1/jobs/{other['id']}/cancel")
        try:
            _until(lambda: bool(receiver.messages), "the message")
        finally:
            encoder.gate.set()
    assert json.loads(receiver.messages[0][1])["type"] == "job.cancelled"


def test_a_signature_binds_id_time_and_body() -> None:
    secret = new_secret()
    signatures = {
        signature(secret, "a", 1, b"{}"),
        signature(secret, "b", 1, b"{}"),
        signature(secret, "a", 2, b"{}"),
        signature(secret, "a", 1, b"[]"),
        signature(new_secret(), "a", 1, b"{}"),
    }
    assert len(signatures) == 5


def test_the_waits_grow_up_to_six_hours() -> None:
    waits = [backoff(tries) for tries in range(9)]
    assert waits[:3] == [timedelta(seconds=5), timedelta(seconds=20), timedelta(seconds=80)]
    assert waits == sorted(waits)
    assert waits[-1] == timedelta(hours=6)
