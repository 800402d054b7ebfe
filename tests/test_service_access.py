"""What an attacker would try, and what a caller may rely on."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import re
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from anyio import to_thread
from argon2 import PasswordHasher
from conftest import WATER, word_tagger
from fastapi.testclient import TestClient
from httpx import Response

from models.tagger import Tagger
from nlp import errors
from nlp.errors import AccessError, MusannifError
from nlp.taxonomy import Taxonomy
from service import passwords
from service.access import Access
from service.app import create_app
from service.arabic import ARABIC
from service.keys import new_key
from service.languages import preferred
from service.limits import ConcurrencyLimit, Places
from service.passwords import hash_password
from service.problems import problem_of
from service.rates import Rate, address_of, open_storage
from service.scopes import NEEDS, Open, operation_of
from service.settings import Settings
from service.store import Store, open_store
from service.store.records import Scope, User

PASSWORD = "ثلاث كلمات طويلة"
REVIEW = {"decisions": [{"level": "goals", "label": "1", "action": "add"}]}


@pytest.fixture(autouse=True)
def _quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.passwords.HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def tagger(taxonomy: Taxonomy) -> Tagger:
    return word_tagger(taxonomy, {"ماء": {"goals": ["6"]}})


class Now:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, **time: float) -> None:
        self.at += timedelta(**time)


class House:
    """The service with its doors: makes keys and users, and lets clients in."""

    def __init__(self, tagger: Tagger, database: str, **settings: object) -> None:
        self.now = Now()
        self.settings = Settings(database=database, **settings)
        self.app = create_app(self.settings, tagger, self.now)

    @property
    def store(self) -> Store:
        store: Store = self.app.state.runtime.store
        return store

    def client(self, **options: object) -> TestClient:
        """A browser of its own; cookies need HTTPS."""
        return TestClient(self.app, base_url="https://localhost", **options)

    def key(self, *scopes: Scope, name: str = "portal", days: float = 30) -> str:
        key, kept = new_key(name, scopes, self.now(), timedelta(days=days))
        with self.store.write(self.now()) as writer:
            writer.credentials.add_key(kept, actor="test")
        return key

    def user(self, name: str, *scopes: Scope) -> None:
        with self.store.write(self.now()) as writer:
            user = User(name, hash_password(PASSWORD), frozenset(scopes or (Scope.CLASSIFY, Scope.REVIEW)), self.now())
            writer.credentials.add_user(user, actor="test")

    def signed_in(self, name: str) -> TestClient:
        client = self.client()
        answer = sign_in(client, name)
        assert answer.status_code == 200
        client.headers["X-CSRF-Token"] = answer.json()["csrf"]
        return client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def sign_in(client: TestClient, name: str, password: str = PASSWORD) -> Response:
    return client.post("/v1/session", json={"name": name, "password": password})


def put(client: TestClient, external_id: str = "a", **options: object) -> Response:
    return client.put(f"/v1/submissions/{external_id}", json={"text": WATER}, **options)


def review(client: TestClient, reviewer: str | None = None, **headers: str) -> Response:
    body = REVIEW | ({"reviewer": reviewer} if reviewer else {})
    return client.post("/v1/submissions/a/reviews", json=body, headers={"If-Match": "*", **headers})


@pytest.fixture
def house(tagger: Tagger, tmp_path: Path) -> Iterator[House]:
    house = House(tagger, str(tmp_path / "store.sqlite"))
    with house.client():
        yield house


# Open on loopback, closed elsewhere


def test_loopback_is_open_until_the_first_key_or_user(house: House) -> None:
    client = house.client()
    assert put(client).status_code == 201
    assert client.get("/v1/session").json() == {
        "name": None,
        "means": "open",
        "scopes": ["admin", "classify", "review"],
        "expires": None,
        "csrf": None,
    }
    key = house.key(Scope.CLASSIFY)
    refused = put(client)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="musannif"')
    assert refused.json()["type"] == "urn:musannif:unknown-caller"
    assert put(client, headers=bearer(key)).status_code == 200


def test_access_does_not_open_again_when_the_last_key_ends(house: House) -> None:
    house.key(Scope.CLASSIFY, days=1)
    house.now.pass_by(days=2)
    assert put(house.client()).status_code == 401


def test_a_client_from_outside_is_not_let_into_an_open_service(house: House) -> None:
    for address in ("203.0.113.9", "2001:db8::1"):
        assert house.client(client=(address, 5000)).get("/v1/submissions").status_code == 401
    for address in ("127.0.0.1", "::1"):
        assert house.client(client=(address, 5000)).get("/v1/submissions").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "portal.example"])
def test_a_service_for_others_does_not_start_without_a_key_that_holds(tagger: Tagger, database: str, host: str) -> None:
    house = House(tagger, database, host=host)

    def start() -> None:
        with house.client():
            pass

    with pytest.raises(AccessError, match=r"no key that holds; expected a key, or a loopback .*musannif keys create"):
        start()
    key, kept = new_key("portal", [Scope.CLASSIFY], house.now(), timedelta(days=1))
    store = open_store(database)
    with store.write(house.now()) as writer:
        writer.credentials.add_key(kept, actor="test")
    store.close()
    with house.client() as client:
        assert put(client).status_code == 401
        assert put(client, headers=bearer(key)).status_code == 201
    house.now.pass_by(days=1)
    with pytest.raises(AccessError):
        start()


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("localhost", 200),
        ("localhost:8000", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("evil.example:8000", 403),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("127.0.0.1@evil.example", 403),
        ("192.168.1.5", 403),
        ("[", 403),
        ("", 403),
    ],
)
def test_an_open_service_answers_to_the_names_of_this_machine_alone(house: House, name: str, status: int) -> None:
    """A page whose name was made to mean 127.0.0.1 is of the same site for the browser, and sends its own name."""
    client = house.client(headers={"Host": name, "Sec-Fetch-Site": "same-origin"})
    assert client.get("/v1/submissions").status_code == status
    assert put(client).status_code == (201 if status == 200 else status)
    key = bearer(house.key(Scope.REVIEW))
    assert client.get("/v1/submissions", headers=key).status_code == 200, "with keys, any name will do"


# Keys


def test_keys_that_do_not_hold(house: House) -> None:
    key = house.key(Scope.CLASSIFY, days=1)
    client = house.client()

    def refusal(authorization: str) -> str:
        answer = put(client, headers={"Authorization": authorization})
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        return str(answer.json()["detail"])

    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    for one in (wrong, key[:-1], key + "A", key.upper(), "", "x" * 5000, "mk_000000000000_" + "A" * 43, key[:15]):
        assert refusal(f"Bearer {one}").startswith("the key is not known here")
    for other in (f"Basic {key}", key, f"Token {key}", "Bearer"):
        assert "Authorization: Bearer KEY" in refusal(other)
    assert put(client, headers={"authorization": f"bearer {key}"}).status_code == 201
    house.now.pass_by(days=1)
    assert f"{key[:15]} expired on 2026-01-02" in refusal(f"Bearer {key}")
    assert "expired" not in refusal(f"Bearer {wrong}"), "only the holder of a key learns of its end"
    other = house.key(Scope.CLASSIFY, name="other")
    with house.store.write(house.now()) as writer:
        writer.credentials.revoke_key(other[:15], actor="test")
    assert "revoked on 2026-01-02" in refusal(f"Bearer {other}")


def test_secrets_are_compared_in_constant_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    key = house.key(Scope.CLASSIFY)
    house.user("ليلى")
    client = house.signed_in("ليلى")
    compared: list[tuple[object, object]] = []
    plain = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or plain(a, b))
    put(house.client(), headers=bearer(key[:-4] + "AAAA"))
    assert (
        hashlib.sha256(key.encode()).hexdigest(),
        hashlib.sha256(f"{key[:-4]}AAAA".encode()).hexdigest(),
    ) in compared
    put(client, headers={"X-CSRF-Token": "guess"})
    assert (b"guess", str(client.headers["X-CSRF-Token"]).encode()) in compared


def test_nothing_secret_is_kept(tagger: Tagger, tmp_path: Path) -> None:
    house = House(tagger, str(tmp_path / "store.sqlite"))
    with house.client():
        key = house.key(Scope.CLASSIFY)
        house.user("ليلى")
        client = house.signed_in("ليلى")
        assert put(client, headers=bearer(key)).status_code == 201
        secrets = [key, key[16:], PASSWORD, client.cookies["__Host-musannif"].partition(".")[0]]
        for path in tmp_path.glob("store.sqlite*"):
            assert all(secret.encode() not in path.read_bytes() for secret in secrets)
    assert key[16:] not in repr(new_key("x", [], house.now(), timedelta(1))[1])


# Scopes


def _requests(house: House) -> list[tuple[str, str]]:
    paths = house.app.openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def test_every_operation_needs_what_the_table_says(house: House) -> None:
    keys = {scope: house.key(scope, name=scope.value) for scope in Scope}
    client = house.client()
    listed = {(method, re.sub(r":path\}", "}", path)): need for (method, path), need in NEEDS.items()}
    operations = _requests(house)
    pages = {operation for operation in listed if operation[1].startswith(("/openapi", "/docs", "/redoc", "/static"))}
    assert listed.keys() - pages == set(operations)
    for method, path in operations:
        need = listed[method, path]
        address = path.replace("{external_id}", "none")
        plain = client.request(method, address).status_code
        assert (plain == 401) == (need is not Open.ANYONE), (method, path)
        for scope, key in keys.items():
            found = client.request(method, address, headers=bearer(key)).status_code
            allowed = isinstance(need, Open) or need is scope
            assert (found in (401, 403)) != allowed, (method, path, scope)


def test_the_description_of_the_api_shows_the_scopes(house: House) -> None:
    described = house.client().get("/openapi.json").json()
    assert set(described["components"]["securitySchemes"]) == {"key", "session"}
    delete = described["paths"]["/v1/submissions/{external_id}"]["delete"]
    assert delete["security"] == [{"key": ["review"]}, {"session": ["review"]}]
    assert {"401", "403", "429"} <= set(delete["responses"])
    assert "Scope: `admin`." in described["paths"]["/v1/audit"]["get"]["description"]
    assert described["paths"]["/v1/taxonomy"]["get"]["security"] == []


def test_what_nobody_declared_is_for_admins(house: House) -> None:
    house.app.get("/v1/forgotten")(lambda: "secret")
    keys = {scope: house.key(scope, name=scope.value) for scope in Scope}
    found = {scope: house.client().get("/v1/forgotten", headers=bearer(key)).status_code for scope, key in keys.items()}
    assert found == {Scope.CLASSIFY: 403, Scope.REVIEW: 403, Scope.ADMIN: 200}
    assert house.client().get("/v1/forgotten").status_code == 401


@pytest.mark.parametrize(
    "path",
    ["/v1/reviews/", "//v1/reviews", "/v1/./reviews", "/v1/submissions/../reviews", "/v1/reviews%2fexport",
     "/V1/reviews", "/v1/reviews;x", "/v1/reviews%00", "/v1/reviews%0a", "/healthz/../v1/reviews",
     "/v1/taxonomy/../reviews", "/static-offline-docs/../v1/reviews"],
)  # fmt: skip
def test_no_spelling_of_an_address_goes_around_the_gate(house: House, path: str) -> None:
    house.key(Scope.CLASSIFY)
    answer = house.client().get(path, follow_redirects=True)
    assert answer.status_code in (401, 404)


def test_the_methods_of_an_operation_are_its_own() -> None:
    assert operation_of("HEAD", "/v1/reviews").need is Scope.REVIEW
    assert operation_of("PATCH", "/v1/reviews").need is None
    assert operation_of("DELETE", "/v1/submissions/a/b/c").need is Scope.REVIEW
    assert operation_of("POST", "/v1/submissions/a/b/reviews").path == "/v1/submissions/{external_id}/reviews"


def test_audit_is_for_admins_and_names_a_broken_entry(house: House) -> None:
    key = house.key(Scope.ADMIN)
    client = house.client(headers=bearer(key))
    report = client.get("/v1/audit").json()
    assert report["entries"] == 1
    assert client.get("/v1/audit", params={"noted": report["head"]}).json() == report
    assert client.get("/v1/audit", params={"noted": "0" * 63 + "1"}).status_code == 409


def test_who_hands_texts_in_reads_nothing_of_the_reviewers(house: House) -> None:
    key = bearer(house.key(Scope.CLASSIFY))
    house.user("ليلى")
    client, layla = house.client(headers=key), house.signed_in("ليلى")
    put(client)
    decisions = [{"level": "goals", "label": "1", "action": "add", "note": "سرّ"}]
    layla.post("/v1/submissions/a/reviews", json={"decisions": decisions}, headers={"If-Match": "*"})
    once = {"Idempotency-Key": "k"}
    many = client.post("/v1/submissions", json={"items": [{"external_id": "a", "text": WATER}]})
    for answer in (put(client), put(client, headers=once), put(client, headers=once), many):
        assert answer.status_code == 200
        assert not any(word in answer.text for word in ("decisions", "settled", "reviewed", "ليلى", "سرّ"))
    assert put(client).json()["tags"]["goals"][0]["id"] == "6"
    assert layla.get("/v1/submissions/a").json()["decisions"][0]["reviewer"] == "ليلى"


def test_a_submission_is_revised_by_its_sender_and_by_reviewers_alone(house: House) -> None:
    put(house.client(), "of nobody")
    first, second = (house.client(headers=bearer(house.key(Scope.CLASSIFY, name=name))) for name in ("1", "2"))
    reviewer = house.client(headers=bearer(house.key(Scope.CLASSIFY, Scope.REVIEW, name="3")))
    assert put(first).status_code == 201
    refused = second.put("/v1/submissions/a", json={"text": "x", "metadata": {}})
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:musannif:forbidden")
    assert WATER not in refused.text
    many = second.post("/v1/submissions", json={"items": [{"external_id": "a", "text": "x"}, {"text": WATER}]})
    assert [item["status"] for item in many.json()["items"]] == [403, 201]
    assert second.post("/v1/submissions", json={"external_id": "a", "text": "x"}).status_code == 403
    assert [one.status_code for one in (put(first), put(reviewer), put(first))] == [200, 200, 200]
    assert put(second, "of nobody").status_code == 200
    assert reviewer.get("/v1/submissions/a").json()["revision"] == 1


def test_a_key_takes_the_place_of_another(house: House) -> None:
    client = house.client()
    old, new = bearer(house.key(Scope.CLASSIFY, name="old")), bearer(house.key(Scope.CLASSIFY, name="new"))
    put(client, headers=old)
    job = client.post("/v1/jobs", json={"items": [{"text": WATER}]}, headers=old).json()
    with house.store.write(house.now()) as writer:
        writer.credentials.replace_key("old", "new", actor="test")
    assert [put(client, headers=key).status_code for key in (new, old)] == [200, 403]
    assert [client.get(f"/v1/jobs/{job['id']}", headers=key).status_code for key in (new, old)] == [200, 404]


# Who decided


def test_the_reviewer_is_who_asks_and_not_who_the_body_says(house: House) -> None:
    key = house.key(Scope.REVIEW, Scope.CLASSIFY)
    house.user("ليلى")
    program, person = house.client(headers=bearer(key)), house.signed_in("ليلى")
    put(program)
    assert review(program).json()["decisions"][-1]["reviewer"] == "key:portal"
    assert review(person).json()["decisions"][-1]["reviewer"] == "ليلى"
    assert review(person, "ليلى").status_code == 200
    for client, name in ((program, "ليلى"), (person, "سامي"), (person, "key:portal")):
        answer = review(client, name)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:musannif:forbidden")
    person.delete("/v1/submissions/a")
    with house.store._engine.connect() as connection:
        actors = connection.exec_driver_sql("SELECT actor, action FROM audit_log ORDER BY sequence").all()
    assert ("key:portal", "submission.create") in actors
    assert ("ليلى", "submission.delete") in actors


def test_where_access_is_open_the_body_says_who_decides(house: House) -> None:
    client = house.client()
    put(client)
    assert review(client, "سامي").json()["decisions"][-1]["reviewer"] == "سامي"
    answer = review(client)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:musannif:review")


def test_the_idempotency_key_of_one_caller_gives_nothing_to_another(house: House) -> None:
    first = house.key(Scope.CLASSIFY, name="first")
    second = house.key(Scope.CLASSIFY, name="second")
    answers = [
        house.client().post("/v1/submissions", json={"text": WATER}, headers={**bearer(key), "Idempotency-Key": "k"})
        for key in (first, first, second)
    ]
    ids = [answer.json()["external_id"] for answer in answers]
    assert ids[0] == ids[1] != ids[2]


# Sessions


def test_signing_in_and_out(house: House) -> None:
    house.user("ليلى")
    client = house.client()
    answer = sign_in(client, "ليلى")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-musannif=")
    assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=43200"))
    assert "Domain" not in cookie
    session = answer.json()
    assert session == client.get("/v1/session").json()
    assert (session["name"], session["means"], session["scopes"]) == ("ليلى", "session", ["classify", "review"])
    assert session["expires"] == "2026-01-01T12:00:00Z"
    copied = client.cookies["__Host-musannif"]
    assert client.delete("/v1/session", headers={"X-CSRF-Token": session["csrf"]}).status_code == 204
    assert "__Host-musannif" not in client.cookies
    assert house.client(cookies={"__Host-musannif": copied}).get("/v1/session").status_code == 401


def test_a_session_ends_with_its_time_its_password_and_its_user(house: House) -> None:
    house.user("ليلى")
    expiring = house.signed_in("ليلى")
    house.now.pass_by(hours=12)
    assert expiring.get("/v1/session").status_code == 401
    changed = house.signed_in("ليلى")
    with house.store.write(house.now()) as writer:
        writer.credentials.set_password("ليلى", hash_password(PASSWORD), actor="test")
    assert changed.get("/v1/session").status_code == 401
    disabled = house.signed_in("ليلى")
    with house.store.write(house.now()) as writer:
        writer.credentials.disable_user("ليلى", actor="test")
    assert disabled.get("/v1/session").status_code == 401
    assert sign_in(house.client(), "ليلى").status_code == 401


def test_cookies_that_nobody_gave(house: House) -> None:
    house.user("ليلى")
    cookie = house.signed_in("ليلى").cookies["__Host-musannif"]
    token, _, signature = cookie.rpartition(".")
    forged = [
        token,
        f"{token}.",
        f".{signature}",
        f"{token}x.{signature}",
        "ليلى".encode().hex(),
        cookie[:-2],
        "x" * 4000,
    ]
    for one in forged:
        assert house.client(cookies={"__Host-musannif": one}).get("/v1/session").status_code == 401


def test_a_wrong_key_is_not_made_good_by_a_session(house: House) -> None:
    house.user("ليلى")
    assert house.signed_in("ليلى").get("/v1/session", headers=bearer("mk_guess")).status_code == 401


def test_writes_of_a_session_need_its_own_csrf_token(house: House) -> None:
    house.user("ليلى")
    house.user("سامي")
    layla, sami = house.signed_in("ليلى"), house.signed_in("سامي")
    own = str(layla.headers["X-CSRF-Token"])
    for wrong in ("", "guess", str(sami.headers["X-CSRF-Token"]), str(house.signed_in("ليلى").headers["X-CSRF-Token"])):
        layla.headers["X-CSRF-Token"] = wrong
        for answer in (put(layla), review(layla), layla.delete("/v1/submissions/a"), layla.delete("/v1/session")):
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:musannif:forbidden")
        assert layla.get("/v1/session").status_code == 200
    layla.headers["X-CSRF-Token"] = own
    assert put(layla).status_code == 201


def test_a_page_of_another_site_cannot_write_with_the_browser_of_a_reviewer(house: House) -> None:
    open_browser = house.client(headers={"Sec-Fetch-Site": "cross-site"})
    assert put(open_browser).status_code == 403
    house.user("ليلى")
    layla = house.signed_in("ليلى")
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 201), ("none", 200)):
        assert put(layla, headers={"Sec-Fetch-Site": site}).status_code == status
    assert sign_in(open_browser, "ليلى").status_code == 403
    key = bearer(house.key(Scope.CLASSIFY))
    assert put(open_browser, "b", headers=key).status_code == 201, "keys are not for browsers"


def test_a_session_that_was_there_before_is_not_taken_over(house: House) -> None:
    house.user("ليلى")
    house.user("مهاجم")
    planted = house.signed_in("مهاجم").cookies["__Host-musannif"]
    for cookie in (planted, "chosen-by-the-attacker"):
        victim = house.client(cookies={"__Host-musannif": cookie})
        given = sign_in(victim, "ليلى").headers["set-cookie"].partition("=")[2].partition(";")[0]
        assert given != cookie
        assert house.client(cookies={"__Host-musannif": given}).get("/v1/session").json()["name"] == "ليلى"
    assert house.client(cookies={"__Host-musannif": planted}).get("/v1/session").json()["name"] == "مهاجم"


def test_an_account_is_locked_after_wrong_passwords_in_a_row(house: House) -> None:
    house.user("ليلى")
    house.user("سامي")
    client = house.client()
    for _ in range(4):
        assert sign_in(client, "ليلى", "wrong").status_code == 401
    assert sign_in(client, "ليلى").status_code == 200, "a right password starts the count again"
    house.app.state.access._sign_ins.count = lambda _: None
    for _ in range(5):
        wrong = sign_in(client, "ليلى", "wrong")
    locked = sign_in(client, "ليلى")
    assert locked.status_code == 401
    assert locked.json() == wrong.json() == sign_in(client, "nobody").json(), "nobody learns which it was"
    assert sign_in(client, "سامي").status_code == 200
    house.now.pass_by(minutes=15)
    assert sign_in(client, "ليلى").status_code == 200
    with house.store._engine.connect() as connection:
        actions = connection.exec_driver_sql("SELECT action FROM audit_log WHERE actor = 'ليلى'").scalars().all()
    assert actions == ["session.start", "user.lock", "session.start"]


@pytest.mark.parametrize("change", ["password", "disabled", "locked"])
def test_a_sign_in_under_way_does_not_outlive_a_change_of_its_user(
    house: House, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    house.user("ليلى")
    fits = passwords.fits

    def fits_while_somebody_changes_the_user(password_hash: str, password: str) -> bool:
        with house.store.write(house.now()) as writer:
            if change == "password":
                writer.credentials.set_password("ليلى", hash_password("كلمة سر أخرى جديدة"), actor="test")
            elif change == "disabled":
                writer.credentials.disable_user("ليلى", actor="test")
            else:
                writer.credentials.count_failure("ليلى", most=1, lock=timedelta(minutes=1))
        return fits(password_hash, password)

    monkeypatch.setattr("service.passwords.fits", fits_while_somebody_changes_the_user)
    answer = sign_in(house.client(), "ليلى")
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    with house.store._engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sessions").scalar() == 0


def test_a_new_password_opens_a_locked_account(house: House) -> None:
    house.user("ليلى")
    for _ in range(5):
        sign_in(house.client(), "ليلى", "wrong")
    assert sign_in(house.client(), "ليلى").status_code == 401
    with house.store.write(house.now()) as writer:
        writer.credentials.set_password("ليلى", hash_password("كلمة سر أخرى جديدة"), actor="test")
    assert sign_in(house.client(), "ليلى").status_code == 401
    assert sign_in(house.client(), "ليلى", "كلمة سر أخرى جديدة").status_code == 200


def test_names_and_passwords_are_the_same_however_they_are_composed(house: House) -> None:
    house.user("أحمد")  # one code point
    assert sign_in(house.client(), "\u0627\u0654حمد").status_code == 200  # alef and hamza above
    lone = b'{"name": "a", "password": "\\ud800"}'
    answer = house.client().post("/v1/session", content=lone, headers={"Content-Type": "application/json"})
    assert answer.status_code in (401, 422)


# How often, how much, in what form


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the counts; a test sets it."""
    now = [1_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def test_each_key_has_its_own_rate(tagger: Tagger, tmp_path: Path, seconds: list[float]) -> None:
    house = House(tagger, str(tmp_path / "a.sqlite"), most_requests_per_minute=2)
    with house.client() as client:
        first, second = bearer(house.key(Scope.REVIEW, name="1")), bearer(house.key(Scope.REVIEW, name="2"))
        seconds[0] += 20
        statuses = [client.get("/v1/reviews", headers=first).status_code for _ in range(2)]
        seconds[0] += 15.5
        refused = client.get("/v1/reviews", headers=first)
        assert [*statuses, refused.status_code] == [200, 200, 429]
        assert refused.headers["retry-after"] == "45"
        assert refused.json()["type"] == "urn:musannif:rate-limit"
        assert "at most 2 a minute" in refused.json()["detail"]
        arabic = client.get("/v1/reviews", headers={**first, "Accept-Language": "ar-JO, en;q=0.5"})
        assert arabic.headers["content-language"] == "ar"
        assert arabic.json()["title"] == "طلبات كثيرة"
        assert client.get("/v1/reviews", headers=second).status_code == 200
        assert client.get("/healthz").status_code == 200
        seconds[0] += 45
        assert client.get("/v1/reviews", headers=first).status_code == 200


def test_each_address_has_its_own_rate_where_nobody_is_known(
    tagger: Tagger, tmp_path: Path, seconds: list[float]
) -> None:
    house = House(tagger, str(tmp_path / "a.sqlite"), most_requests_per_minute=2)
    with house.client():
        here, there = house.client(client=("127.0.0.1", 1)), house.client(client=("127.0.0.2", 1))
        assert [here.get("/v1/reviews").status_code for _ in range(3)] == [200, 200, 429]
        assert there.get("/v1/reviews").status_code == 200
        house.key(Scope.CLASSIFY)
        guesses = [house.client(client=("127.0.0.3", 1)).get("/v1/reviews", headers=bearer("x")) for _ in range(3)]
        assert [guess.status_code for guess in guesses] == [401, 401, 429]


def test_addresses_of_one_network_count_together() -> None:
    assert address_of(("2001:db8:1:2::5", 1)) == address_of(("2001:db8:1:2:ffff::9", 2)) == "2001:db8:1:2::/64"
    assert address_of(("10.0.0.1", 1)) != address_of(("10.0.0.2", 1))
    assert address_of(None) == "local"


def test_attempts_to_sign_in_are_counted_by_address(tagger: Tagger, tmp_path: Path, seconds: list[float]) -> None:
    house = House(tagger, str(tmp_path / "a.sqlite"), most_sign_ins_per_minute=3)
    with house.client() as client:
        house.user("ليلى")
        statuses = [sign_in(client, f"name {number}", "wrong").status_code for number in range(4)]
        assert statuses == [401, 401, 401, 429]
        assert sign_in(client, "ليلى").headers["retry-after"] == "60"


def test_where_the_counts_cannot_be_reached_requests_pass(
    tagger: Tagger, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("redis")
    monkeypatch.setattr("service.rates._PAUSE_SECONDS", 3600)
    nowhere = f"redis+unix://{tmp_path}/none.sock"
    house = House(tagger, str(tmp_path / "a.sqlite"), rate_storage=nowhere, most_requests_per_minute=1)
    with house.client() as client:
        assert [client.get("/v1/reviews").status_code for _ in range(3)] == [200, 200, 200]
        house.user("ليلى")
        assert sign_in(client, "ليلى").status_code == 200
    warnings = [one.getMessage() for one in caplog.records if one.name == "service.rates"]
    assert len(warnings) == 2, "one for each count, and not for each request"
    assert "requests are not counted for 3600 seconds (most_requests_per_minute)" in warnings[0]
    Rate(open_storage("memory://"), "x", 1).count("a")


def test_a_body_that_does_not_come_is_not_waited_for(tagger: Tagger, tmp_path: Path) -> None:
    house = House(tagger, str(tmp_path / "a.sqlite"), body_seconds=0.05)
    sent: list[dict[str, object]] = []

    async def exchange() -> None:
        parts = [{"type": "http.request", "body": b'{"te', "more_body": True}]

        async def receive():  # type: ignore[no-untyped-def]
            return parts.pop() if parts else await asyncio.Event().wait()

        async def send(message) -> None:  # type: ignore[no-untyped-def]
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/v1/classify", "query_string": b"", "client": ("127.0.0.1", 1),
            "headers": [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")],
        }  # fmt: skip
        await asyncio.wait_for(house.app(scope, receive, send), 30)

    with house.client():
        asyncio.run(exchange())
    assert sent[0]["status"] == 408
    assert b"body_seconds" in bytes(sent[1]["body"])  # type: ignore[call-overload]


def test_what_anyone_may_send_is_small(house: House) -> None:
    house.user("ليلى")
    answer = sign_in(house.client(), "ليلى", "x" * 20_000)
    assert answer.status_code == 413
    assert sign_in(house.client(), "ليلى").status_code == 200


def test_requests_at_once_are_bounded_and_the_place_is_given_back() -> None:
    async def exchange() -> list[int]:
        go, statuses = asyncio.Event(), []

        async def slow(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
            await go.wait()
            if scope["path"] == "/v1/broken":
                raise RuntimeError
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def send(message) -> None:  # type: ignore[no-untyped-def]
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        limit = ConcurrencyLimit(slow, Places(2))

        def ask(path: str) -> asyncio.Task[None]:
            return asyncio.create_task(limit({"type": "http", "path": path}, None, send))  # type: ignore[arg-type]

        first = [ask("/v1/broken"), ask("/v1/a"), ask("/v1/b"), ask("/healthz")]
        await asyncio.sleep(0)
        assert statuses == [429]
        go.set()
        await asyncio.gather(*first, return_exceptions=True)
        await asyncio.gather(ask("/v1/a"), ask("/v1/b"))
        return statuses

    assert asyncio.run(exchange()) == [429, 200, 200, 200, 200]


def test_a_service_that_is_full_looks_nobody_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client = house.client()
    assert client.get("/v1/session").status_code == 200
    monkeypatch.setattr(Places, "full", True)
    monkeypatch.setattr(Access, "admit", None)
    refused = client.get("/v1/session", headers=bearer("mk_x"))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert "most_at_once" in refused.json()["detail"]
    assert client.get("/healthz").status_code == 200


def test_who_was_let_in_is_not_looked_up_again_until_something_is_written(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = house.key(Scope.CLASSIFY)
    looked: list[bool] = []
    plain = Access._look_up

    def look_up(self, headers, cookie):  # type: ignore[no-untyped-def]
        looked.append(True)
        return plain(self, headers, cookie)

    monkeypatch.setattr(Access, "_look_up", look_up)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    client = house.client(headers=bearer(key))
    assert [client.get("/v1/session").status_code for _ in range(3)] == [200, 200, 200]
    assert len(looked) == 1
    assert house.client(headers=bearer(key[:-1] + "x")).get("/v1/session").status_code == 401
    assert len(looked) == 2
    with house.store.write(house.now()) as writer:
        writer.credentials.revoke_key(key[:15], actor="test")
    assert client.get("/v1/session").status_code == 401


@pytest.mark.parametrize(("seconds", "status"), [(0, 401), (60, 200)])
def test_a_key_that_another_process_revokes_holds_as_long_as_the_settings_say(
    tagger: Tagger, tmp_path: Path, seconds: float, status: int
) -> None:
    database = str(tmp_path / "store.sqlite")
    house = House(tagger, database, recall_seconds=seconds)
    with house.client() as client:
        key = house.key(Scope.CLASSIFY)
        client.headers.update(bearer(key))
        assert client.get("/v1/session").status_code == 200
        other = open_store(database)
        with other.write(house.now()) as writer:
            writer.credentials.revoke_key(key[:15], actor="test")
        other.close()
        assert client.get("/v1/session").status_code == status
        house.now.pass_by(days=31)  # past its own end it opens nothing
        assert client.get("/v1/session").status_code == 401


def test_no_byte_of_a_body_is_read_before_its_sender_is_known(house: House) -> None:
    house.key(Scope.CLASSIFY)
    read = []

    def body() -> Iterator[bytes]:
        read.append(True)
        yield b"x" * 10_000_000

    async def exchange() -> int:
        sent = []

        async def receive():  # type: ignore[no-untyped-def]
            return {"type": "http.request", "body": next(body()), "more_body": False}

        async def send(message) -> None:  # type: ignore[no-untyped-def]
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/v1/classify", "query_string": b"", "client": ("127.0.0.1", 1),
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"10000000")],
        }  # fmt: skip
        await house.app(scope, receive, send)
        return int(sent[0]["status"])

    assert asyncio.run(exchange()) == 401
    assert read == []


@pytest.mark.parametrize(("path", "status"), [("/v1/reviews", 401), ("/healthz", 200), ("/readyz", 200)])
def test_refusals_and_probes_do_not_wait_for_threads_that_are_at_work(house: House, path: str, status: int) -> None:
    house.key(Scope.CLASSIFY)
    sent: list[int] = []

    async def send(message) -> None:  # type: ignore[no-untyped-def]
        sent.append(message.get("status"))

    async def receive():  # type: ignore[no-untyped-def]
        return {"type": "http.request", "body": b"", "more_body": False}

    async def exchange() -> None:
        busy = to_thread.current_default_thread_limiter()
        for number in range(int(busy.total_tokens)):
            await busy.acquire_on_behalf_of(number)
        scope = {
            "type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [],
            "client": ("127.0.0.1", 1),
        }  # fmt: skip
        await asyncio.wait_for(house.app(scope, receive, send), 30)

    asyncio.run(exchange())
    assert sent[0] == status


def test_probes_do_not_wait_at_the_gate(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Access, "admit", lambda *_: pytest.fail("a probe went to the threads of the gate"))
    assert [house.client().get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]


def test_readiness_is_answered_in_time_whatever_hangs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()
    monkeypatch.setattr("service.app._PROBE_SECONDS", 0.05)
    monkeypatch.setattr(house.app.state.runtime.background, "check", lambda: hanging.wait(30))
    answer = house.client().get("/readyz")
    hanging.set()
    assert (answer.status_code, "queue" in answer.json()["detail"]) == (503, True)


def test_an_oversize_body_is_refused_with_a_key_too(tagger: Tagger, tmp_path: Path) -> None:
    house = House(tagger, str(tmp_path / "a.sqlite"), most_bytes=4096)
    with house.client() as client:
        key = house.key(Scope.CLASSIFY)
        for size in (5000, 50_000_000):
            answer = client.post("/v1/classify", json={"text": "x" * size}, headers=bearer(key))
            assert answer.status_code == 413


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ('Application/JSON;charset="UTF-8"', 200),
        ("application/json; charset=utf-16", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonx", 415),
        ("application/json, text/plain", 415),
        ("", 415),
    ],
)
def test_bodies_of_another_form_are_refused(house: House, content_type: str, status: int) -> None:
    body = b'{"text": "\xd9\x85\xd8\xa7\xd8\xa1"}'
    answer = house.client().post("/v1/classify", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status
    if status == 415:
        assert answer.headers["content-type"] == "application/problem+json"
        assert "expected application/json, in UTF-8" in answer.json()["detail"]


# What comes out


def test_every_answer_carries_the_security_headers(house: House) -> None:
    house.app.get("/v1/broken")(_broken)
    client = house.client(raise_server_exceptions=False)
    answers = [
        client.get("/v1/reviews"),
        client.get("/healthz"),
        client.get("/none"),
        client.post("/v1/classify", content=b"x" * 10, headers={"Content-Type": "text/plain"}),
        client.post("/v1/classify", content=b"x" * 4_000_001, headers={"Content-Type": "application/json"}),
        client.get("/v1/broken"),
        client.get("/docs"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 415, 413, 500, 200]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answers[0].headers["content-security-policy"]


def test_the_documentation_runs_under_its_policy(house: House) -> None:
    page = house.client().get("/docs")
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = page.headers["content-security-policy"]
    assert f"script-src 'self' 'sha256-{digest}'" in policy
    assert "http" not in policy


def _broken() -> None:
    raise RuntimeError("a secret of the inside")


def test_no_trace_of_the_inside_comes_out(house: House) -> None:
    house.app.get("/v1/broken")(_broken)
    client = house.client(raise_server_exceptions=False, headers={"Accept-Language": "ar"})
    answer = client.get("/v1/broken")
    assert answer.status_code == 500
    assert answer.headers["content-language"] == "ar"
    assert all(word not in answer.text for word in ("secret", "Traceback", "RuntimeError", ".py"))


def test_the_log_holds_neither_keys_nor_passwords_nor_texts(
    house: House, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    key = house.key(Scope.CLASSIFY, Scope.REVIEW)
    house.user("ليلى")
    text = "اسم المشتكي ورقم هاتفه"
    client = house.signed_in("ليلى")
    cookie = client.cookies["__Host-musannif"]
    sign_in(house.client(), "ليلى", "a wrong password")
    sign_in(house.client(), "ليلى", PASSWORD * 50)
    program = house.client(headers=bearer(key))
    program.post("/v1/classify", json={"text": text})
    program.post("/v1/classify", json={"text": text, "unknown": text})
    program.post("/v1/classify", content=f'{{"text": "{text}"'.encode(), headers={"Content-Type": "application/json"})
    program.put("/v1/submissions/a", json={"text": text, "metadata": {"name": text}})
    with house.store._engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON submissions BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(Exception, match="full") as caught:
        house.client(headers=bearer(key)).put("/v1/submissions/b", json={"text": text})
    program.get("/v1/reviews", headers=bearer(key[:-1]))
    out, err = capfd.readouterr()
    # What escapes is what the server logs.
    written = caplog.text + out + err + "".join(traceback.format_exception(caught.value))
    for secret in (key, key[16:], cookie, str(client.headers["X-CSRF-Token"]), PASSWORD, "a wrong password", text):
        assert secret not in written


def test_line_breaks_do_not_become_headers(house: House) -> None:
    client = house.client()
    for external_id in ("a\r\nSet-Cookie: x=1", "a\nb"):
        answer = client.post("/v1/submissions", json={"external_id": external_id, "text": WATER})
        assert answer.status_code == 422
        assert "set-cookie" not in answer.headers
    answer = client.put("/v1/submissions/a%0d%0aSet-Cookie:%20x=1", json={"text": WATER})
    assert (answer.status_code, "set-cookie" in answer.headers) == (404, False)
    odd = client.post("/v1/submissions", json={"external_id": "a\u2028Set-Cookie: x=1", "text": WATER})
    assert odd.headers["location"] == "/v1/submissions/a%E2%80%A8Set-Cookie%3A%20x%3D1"
    house.user("ليلى")
    answer = sign_in(client, "ليلى\r\nSet-Cookie: x=1")
    assert (answer.status_code, "set-cookie" in answer.headers) == (422, False)


@pytest.mark.parametrize(
    "path",
    ["/v1/submissions/..%2f..%2fetc%2fpasswd", "/v1/submissions/%2e%2e/%2e%2e/etc/passwd", "/v1/submissions/a/..%5c..",
     "/v1/submissions/....//etc/passwd", "/static-offline-docs/..%2f..%2f..%2fpyproject.toml",
     "/static-offline-docs/%2e%2e/core.py", "/static-offline-docs//etc/passwd"],
)  # fmt: skip
def test_no_path_leads_out(house: House, path: str) -> None:
    answer = house.client().get(path)
    assert answer.status_code in (404, 422)
    assert "root:" not in answer.text
    assert "import" not in answer.text


def test_a_cookie_is_read_over_plain_http_only_where_that_is_allowed(tagger: Tagger, tmp_path: Path) -> None:
    house = House(tagger, str(tmp_path / "a.sqlite"), secure_cookies=False)
    with TestClient(house.app) as client:
        house.user("ليلى")
        cookie = sign_in(client, "ليلى").headers["set-cookie"]
        assert cookie.startswith("musannif=")
        assert "Secure" not in cookie
        assert client.get("/v1/session").status_code == 200


def test_the_whole_way_on_both_databases(tagger: Tagger, database: str) -> None:
    house = House(tagger, database)
    with house.client():
        key = house.key(Scope.CLASSIFY)
        house.user("ليلى")
        layla = house.signed_in("ليلى")
        assert put(layla, headers=bearer(key)).status_code == 201
        assert review(layla).json()["decisions"][0]["reviewer"] == "ليلى"
        for _ in range(5):
            sign_in(house.client(), "ليلى", "wrong")
        assert sign_in(house.client(), "ليلى").status_code == 401
        assert sign_in(house.client(), "a\x00").status_code == 422
        assert sign_in(house.client(), "' OR 1=1 --").status_code == 401
        assert layla.delete("/v1/session").status_code == 204
        with house.store.read() as reader:
            assert [one.name for one in reader.credentials.all_keys()] == ["portal"]
            assert reader.credentials.all_users()[0].locked(house.now())
            assert reader.verify_audit().entries == 7
    again = House(tagger, database)
    with again.client():
        assert again.client().get("/v1/session", headers=bearer(key)).json()["name"] == "key:portal"


# Languages


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("ar", "ar"),
        ("ar-EG,ar;q=0.9,en;q=0.8", "ar"),
        ("en-US,en;q=0.9,ar;q=0.8", "en"),
        ("fr, ar;q=0.2", "ar"),
        ("*", "en"),
        ("ar;q=0", "en"),
        ("ar;q=x", "en"),
        ("arz", "en"),
    ],
)
def test_the_language_that_is_preferred(header: str, language: str) -> None:
    assert preferred(header) == language


def test_every_problem_has_its_arabic() -> None:
    def kinds(kind: type[MusannifError]) -> Iterator[type[MusannifError]]:
        yield kind
        for narrower in kind.__subclasses__():
            yield from kinds(narrower)

    arguments = {errors.AuditError: {"sequence": 1}, errors.RateLimitError: {"retry_after": 1}}
    for root in (errors.AccessError, errors.ReadingError, errors.StoreError, errors.TaxonomyError):
        for kind in kinds(root):
            assert problem_of(kind("x", **arguments.get(kind, {})))["type"] in ARABIC


def test_problems_of_single_items_are_in_the_language_of_the_request(house: House) -> None:
    items = {"items": [{"id": "a", "text": ""}]}
    answer = house.client(headers={"Accept-Language": "ar"}).post("/v1/classify", json=items)
    assert answer.json()["items"][0]["problem"]["title"] == "نص فارغ"
    missing = house.client(headers={"Accept-Language": "ar"}).get("/v1/submissions/none")
    assert missing.json()["detail"] == "لا شيء محفوظاً بهذا المعرّف: \u2068there is no submission 'none'\u2069"


def test_a_job_is_its_senders_and_the_administrators(house: House) -> None:
    client = house.client()
    one, two = bearer(house.key(Scope.CLASSIFY, name="1")), bearer(house.key(Scope.CLASSIFY, name="2"))
    admin = bearer(house.key(Scope.CLASSIFY, Scope.ADMIN, name="3"))
    job = client.post("/v1/jobs", json={"items": [{"text": "ماء"}]}, headers=one).json()
    address = f"/v1/jobs/{job['id']}"
    for method, path in (("GET", ""), ("GET", "/result"), ("POST", "/cancel"), ("DELETE", "")):
        assert client.request(method, address + path, headers=two).status_code == 404
    assert client.get(address, headers=one).json() == client.get(address, headers=admin).json() == job
    assert client.post(f"{address}/cancel", headers=admin).status_code == 200
    assert client.delete(address, headers=one).status_code == 204
