from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from conftest import SCHOOL, WATER, Portal
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError

from nlp.errors import AuditError
from nlp.taxonomy import Taxonomy
from service.cli import main
from service.store import open_store
from service.store.audit import GENESIS
from service.store.database import database_url
from service.store.records import ChainReport


@pytest.fixture
def audited(taxonomy: Taxonomy, database: str) -> str:
    """A database with six entries in its log."""
    portal = Portal(taxonomy, database)
    with portal.client:
        portal.put("a", WATER, metadata={"n": 1})
        portal.put("a", WATER, metadata={"n": 2})
        portal.put("a", SCHOOL)
        portal.review("a", "confirm goals:4", "reject rite:inclusiveness", note="سبب")
        portal.client.delete("/v1/submissions/a")
    return database


def _run(database: str, *statements: str) -> list[tuple[object, ...]]:
    engine = create_engine(database_url(database))
    with engine.begin() as connection:
        rows = [connection.execute(text(statement)) for statement in statements]
        found = [tuple(row) for row in rows[-1].all()] if rows[-1].returns_rows else []
    engine.dispose()
    return found


def _verify(database: str, noted: str | None = None) -> ChainReport:
    store = open_store(database, create=False)
    try:
        with store.read() as reader:
            return reader.verify_audit(noted)
    finally:
        store.close()


def _unlock(database: str) -> list[str]:
    """What somebody who owns the file can do: take the guards off."""
    if "://" in database:
        return ["DROP TRIGGER audit_log_only_grows ON audit_log"]
    return ["DROP TRIGGER audit_log_no_update", "DROP TRIGGER audit_log_no_delete"]


def test_every_write_and_decision_has_its_entry(audited: str) -> None:
    rows = _run(audited, "SELECT sequence, actor, action, payload, previous, hash, at FROM audit_log ORDER BY sequence")
    assert [(row[1], row[2]) for row in rows] == [
        ("api", "submission.create"),
        ("api", "submission.update"),
        ("api", "submission.revise"),
        ("ليلى", "review.confirm"),
        ("ليلى", "review.reject"),
        ("api", "submission.delete"),
    ]
    assert [row[4] for row in rows] == [GENESIS, *(row[5] for row in rows[:-1])]
    assert str(rows[0][6]).startswith("2026-01-01T00:00:0")
    confirm = json.loads(str(rows[3][3]))
    assert (confirm["external_id"], confirm["level"], confirm["label"], confirm["revision"]) == ("a", "goals", "4", 2)
    assert confirm["text_sha256"] == json.loads(str(rows[5][3]))["text_sha256"]
    words = json.dumps(rows, ensure_ascii=False)
    assert all(word not in words for word in (WATER, SCHOOL, "سبب"))
    assert _verify(audited) == ChainReport(6, str(rows[-1][5]))


def test_what_changes_nothing_is_not_logged(portal: Portal) -> None:
    portal.put("a", WATER)
    portal.put("a", WATER)
    portal.put("a", "")
    portal.review("a", "confirm goals:1")
    portal.client.delete("/v1/submissions/none")
    with portal.app.state.runtime.store.read() as reader:
        assert reader.verify_audit().entries == 1


@pytest.mark.parametrize("change", ["UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log"])
def test_the_database_refuses_to_change_the_log(audited: str, change: str) -> None:
    with pytest.raises(DatabaseError, match="the audit log only grows"):
        _run(audited, change)
    assert _verify(audited).entries == 6


@pytest.mark.parametrize(
    ("change", "sequence", "words"),
    [
        ("UPDATE audit_log SET payload = replace(payload, 'goals', 'targets') WHERE sequence = 4", 4, "altered"),
        ("UPDATE audit_log SET actor = 'سامي' WHERE sequence = 5", 5, "altered"),
        ("UPDATE audit_log SET at = '2025-01-01T00:00:00+00:00' WHERE sequence = 1", 1, "altered"),
        ("UPDATE audit_log SET hash = previous WHERE sequence = 2", 2, "altered"),
        ("DELETE FROM audit_log WHERE sequence = 3", 3, "missing"),
        ("DELETE FROM audit_log WHERE sequence = 1", 1, "missing"),
        ("UPDATE audit_log SET previous = hash WHERE sequence = 6", 6, "follows on"),
    ],
)  # fmt: skip
def test_the_first_broken_entry_is_named(audited: str, change: str, sequence: int, words: str) -> None:
    _run(audited, *_unlock(audited), change)
    with pytest.raises(AuditError, match=words) as caught:
        _verify(audited)
    assert caught.value.sequence == sequence
    assert f"entry {sequence} " in str(caught.value)


def test_a_noted_hash_shows_that_the_end_was_cut_off(audited: str) -> None:
    noted = _verify(audited).head
    assert _verify(audited, noted).entries == 6
    _run(audited, *_unlock(audited), "DELETE FROM audit_log WHERE sequence > 4")
    assert _verify(audited).entries == 4
    with pytest.raises(AuditError, match="entries after number 4 may be gone"):
        _verify(audited, noted)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]):  # type: ignore[no-untyped-def]
    """Runs the command line; gives exit status, output and errors."""

    def call(*arguments: str) -> tuple[int, bytes, str]:
        monkeypatch.setattr("sys.argv", ["musannif", *arguments])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capfdbinary.readouterr()
        return status, out, err.decode()

    return call


def test_audit_verify(command, audited: str) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = command("audit", "verify", "--database", audited)
    assert status == 0
    assert out.decode().startswith("6 entries, all as written; the last has the hash ")
    noted = out.decode().split()[-1]
    assert command("audit", "verify", "--database", audited, "--noted", noted)[0] == 0
    _run(audited, *_unlock(audited), "UPDATE audit_log SET actor = 'x' WHERE sequence = 2")
    status, out, err = command("audit", "verify", "--database", audited)
    assert (status, out) == (2, b"")
    assert err.startswith("musannif: entry 2 of the audit log (submission.update by x")


def test_audit_verify_makes_no_database(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    status, _, err = command("audit", "verify", "--database", str(tmp_path / "none.sqlite"))
    assert status == 2
    assert "there is no database" in err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def bundle(taxonomy: Taxonomy, tmp_path: Path) -> Path:
    """As much of a bundle as an export needs."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "taxonomy.json").write_text(json.dumps(taxonomy.source), encoding="utf-8")
    return folder


@pytest.mark.parametrize("form", ["jsonl", "csv", "xlsx", "jsonld"])
def test_reviews_export(command, portal: Portal, database: str, bundle: Path, tmp_path: Path, form: str) -> None:  # type: ignore[no-untyped-def]
    portal.put("a", WATER)
    portal.review("a", "confirm goals:6")
    target = tmp_path / "out" / f"reviews.{form}"
    target.parent.mkdir()
    arguments = ("--database", database, "--bundle", str(bundle))
    assert command("reviews", "export", "--output", str(target), *arguments)[0] == 0
    assert list(target.parent.iterdir()) == [target]
    status, out, _ = command("reviews", "export", "--format", form, *arguments)
    assert status == 0
    over_http = portal.client.get("/v1/reviews/export", params={"format": form}).content
    if form != "xlsx":  # a workbook carries the time at which it was written
        assert target.read_bytes() == out == over_http
    assert len(out) > 0


def test_reviews_export_says_what_is_wrong(command, bundle: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    target = tmp_path / "out.docx"
    status, _, err = command("reviews", "export", "--output", str(target), "--bundle", str(bundle))
    assert status == 2
    assert "suffix .docx" in err
    status, _, err = command("reviews", "export", "--format", "csv", "--output", str(target), "--bundle", str(bundle))
    assert status == 2
    assert "there is no database" in err
    assert not target.exists()


def test_a_log_of_sqlite_is_plain_to_other_tools(taxonomy: Taxonomy, tmp_path: Path) -> None:
    """The chain can be checked with nothing but SHA-256 and JSON."""
    import hashlib

    portal = Portal(taxonomy, str(tmp_path / "a.sqlite"))
    with portal.client:
        portal.put("a", WATER)
    (row,) = sqlite3.connect(tmp_path / "a.sqlite").execute("SELECT * FROM audit_log").fetchall()
    sequence, at, actor, action, payload, previous, digest = row
    fields = json.dumps([previous, sequence, at, actor, action, payload], ensure_ascii=False, separators=(",", ":"))
    assert hashlib.sha256(fields.encode()).hexdigest() == digest
    assert json.loads(payload)["text_sha256"] == hashlib.sha256(WATER.encode()).hexdigest()
