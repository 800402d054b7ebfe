from __future__ import annotations

import io
import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from service.cli import main
from service.keys import digest_of
from service.store import open_store

PASSWORD = "ثلاث كلمات طويلة"


@pytest.fixture(autouse=True)
def _quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.passwords.HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where `_own_database` puts the database of a test."""
    return tmp_path / "store" / "musannif.sqlite"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Runs the command line with some standard input; gives exit status, output and errors."""

    def call(*arguments: str, given: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["musannif", *arguments])
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, *capfd.readouterr()

    return call


def test_a_key_is_shown_once_and_listed_by_its_prefix(run, path: Path) -> None:  # type: ignore[no-untyped-def]
    status, out, err = run("keys", "create", "portal", "--scope", "classify", "--scope", "review", "--days", "30")
    key = out.strip()
    assert status == 0
    assert re.fullmatch(r"mk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", key)
    assert "classify, review" in err
    assert "only its hash is stored" in err
    (row,) = sqlite3.connect(path).execute("SELECT digest, scopes FROM api_keys").fetchall()
    assert row == (digest_of(key), '["classify", "review"]')
    _, listed, _ = run("keys", "list")
    assert all(word in listed for word in (key[:15], "portal", "classify, review", "holds"))
    assert key[16:] not in listed
    assert run("keys", "revoke", key[:15])[0] == 0
    assert "revoked" in run("keys", "list")[1]
    status, _, err = run("keys", "revoke", key[:15])
    assert status == 2
    assert "no key" in err
    assert "keys list" in err
    status, _, err = run("keys", "create", "portal")
    assert status == 2
    assert "there is or was a key named 'portal'" in err


def test_a_key_may_take_the_place_of_an_earlier_one(run, path: Path) -> None:  # type: ignore[no-untyped-def]
    run("keys", "create", "portal")
    status, _, err = run("keys", "create", "portal-2", "--replaces", "none")
    assert (status, "there is no key named 'none'" in err) == (2, True)
    assert run("keys", "create", "portal-2", "--replaces", "portal")[0] == 0
    rows = sqlite3.connect(path).execute("SELECT action, payload FROM audit_log ORDER BY sequence").fetchall()
    assert rows[-1] == ("key.replace", '{"former":"portal","name":"portal-2"}')


@pytest.mark.parametrize("name", ["api", "command line", " API "])
def test_nobody_has_the_name_of_nobody(run, name: str) -> None:  # type: ignore[no-untyped-def]
    status, _, err = run("users", "create", name, given=f"{PASSWORD}\n")
    if name.strip() == "API":
        assert status == 0
    else:
        assert (status, "cannot be a name" in err) == (2, True)


def test_an_expired_key_says_so(run, path: Path) -> None:  # type: ignore[no-untyped-def]
    run("keys", "create", "portal")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE api_keys SET expires = '2020-01-01 00:00:00.000000'")
    assert "expired" in run("keys", "list")[1]


def test_users_are_made_listed_disabled_and_let_in_again(run, path: Path) -> None:  # type: ignore[no-untyped-def]
    assert run("users", "create", "ليلى", given=f"{PASSWORD}\n")[:2] == (0, "ليلى: classify, review\n")
    (row,) = sqlite3.connect(path).execute("SELECT password_hash FROM users").fetchone()
    assert row.startswith("$argon2id$")
    assert "active" in run("users", "list")[1]
    assert run("users", "disable", "ليلى")[0] == 0
    assert "disabled" in run("users", "list")[1]
    assert run("users", "password", "ليلى", given="كلمات أخرى طويلة\n")[0] == 0
    assert "active" in run("users", "list")[1]
    with open_store(str(path)).write(datetime.now(UTC)) as writer:
        writer.credentials.count_failure("ليلى", most=1, lock=timedelta(hours=1))
    assert "locked" in run("users", "list")[1]
    actions = sqlite3.connect(path).execute("SELECT action FROM audit_log ORDER BY sequence").fetchall()
    assert [action for (action,) in actions] == ["user.create", "user.disable", "user.password", "user.lock"]


@pytest.mark.parametrize(
    ("arguments", "given", "words"),
    [
        (("users", "create", "ليلى"), "short\n", "the password has 5 characters; expected 12 to 200"),
        (("users", "create", "key:portal"), f"{PASSWORD}\n", "no colon"),
        (("users", "create", "a\nb"), f"{PASSWORD}\n", "cannot be a name"),
        (("users", "create", "a\u202eb"), f"{PASSWORD}\n", "invisible"),
        (("users", "create", "ليلى", "--scope", "all"), "", "'all' is not one of"),
        (("keys", "create", ""), "", "cannot be a name"),
        (("keys", "create", "a", "--days", "0"), "", "0 is not in the range"),
        (("keys", "list"), "", "there is no database"),
        (("users", "disable", "ليلى"), "", "there is no database"),
    ],
)
def test_what_cannot_be_done_is_said(  # type: ignore[no-untyped-def]
    run, path: Path, arguments: tuple[str, ...], given: str, words: str
) -> None:
    status, out, err = run(*arguments, given=given)
    assert (status, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert not path.exists()


def test_a_user_that_is_there_or_is_not(run) -> None:  # type: ignore[no-untyped-def]
    run("users", "create", "ليلى", given=f"{PASSWORD}\n")
    assert "there is a user named 'ليلى'" in run("users", "create", " ليلى ", given=f"{PASSWORD}\n")[2]
    assert "there is no user 'سامي'" in run("users", "password", "سامي", given=f"{PASSWORD}\n")[2]


def test_serve_for_others_needs_a_key(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    started = []
    monkeypatch.setenv("MUSANNIF_HOST", "127.0.0.1")
    monkeypatch.setattr("uvicorn.run", lambda *_, **options: started.append(options["host"]))
    monkeypatch.setattr("service.cli.verify_bundle", lambda _: None)
    status, _, err = run("serve", "--host", "0.0.0.0")
    assert status == 2
    assert err.strip() == (
        "musannif: the service would listen on 0.0.0.0 and has no key that holds; expected a key, or a loopback "
        "address such as 127.0.0.1; make one: musannif keys create NAME --scope classify"
    )
    prefix = run("keys", "create", "portal")[1][:15]
    assert run("serve", "--host", "0.0.0.0")[0] == 0
    run("keys", "revoke", prefix)
    assert run("serve", "--host", "0.0.0.0")[0] == 2
    assert run("serve", "--host", "127.0.0.1")[0] == 0
    assert started == ["0.0.0.0", "127.0.0.1"]
