from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from conftest import SCHOOL, WATER

from nlp.errors import CursorError, StoreBusyError, StoreError
from nlp.records import Evidence, Place, Section, Span, Tag
from nlp.taxonomy import Taxonomy
from service.cursors import read_cursor, write_cursor
from service.settling import settled_labels
from service.store import Store, open_store
from service.store.database import database_url
from service.store.records import Action, Draft, Filters, Submission, Tagging, Verdict
from service.store.tables import Base

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAGGING = Tagging(
    "stub@1", {"goals": (Tag("6", 0.9, (Evidence(Span(0, 4), 0.5),)), Tag("4", 0.6, ()))}, needs_review=True
)


@pytest.fixture
def store(database: str):  # type: ignore[no-untyped-def]
    store = open_store(database)
    yield store
    store.close()


def _put(store: Store, external_id: str, text: str = WATER, tagging: Tagging | None = TAGGING) -> Submission:
    with store.write(NOON) as writer:
        return writer.put(Draft(external_id, text), tagging, actor="test")


def _get(store: Store, external_id: str) -> Submission:
    with store.read() as reader:
        found = reader.submission(external_id)
    assert found is not None
    return found


def test_an_empty_file_gets_the_schema_that_the_tables_describe(store: Store) -> None:
    with store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_migration_starts_from_an_empty_file_and_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "made" / "on the way%" / "a.sqlite"
    path.parent.mkdir(parents=True)
    path.touch()
    open_store(str(path)).close()
    before = path.stat().st_size
    open_store(str(path)).close()
    assert path.stat().st_size == before
    assert sqlite3.connect(path).execute("SELECT version_num FROM alembic_version").fetchall() == [("0006",)]


def test_sqlite_is_opened_with_its_guards(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "a.sqlite"), busy_seconds=3)
    with store._engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "secure_delete")
        }
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 3000, "secure_delete": 1}
    store.close()


def test_what_is_written_comes_back_the_same(store: Store) -> None:
    with store.write(NOON.astimezone(timezone(timedelta(hours=3)))) as writer:
        written = writer.put(Draft("a", WATER, {"n": [1, "أ", None]}, "ar"), TAGGING, actor="test")
    found = _get(store, "a")
    assert found == written
    assert found.tagging == TAGGING
    assert (found.created, found.metadata, found.language) == (NOON, {"n": [1, "أ", None]}, "ar")


def test_sections_come_back_the_same_and_old_tags_have_none(database: str) -> None:
    places = (Place(Section(Span(2, 4), "الماء", 2), 0.87654321), Place(Section(Span(0, 2), None, None), 0.5))
    tags = (Tag("6", 0.9, (), places), Tag("4", 0.6, (), ()), Tag("1", 0.5, ()))
    store = open_store(database)
    _put(store, "a", tagging=Tagging("stub@1", {"goals": tags}, needs_review=False))
    assert _get(store, "a").tagging.tags["goals"] == tags
    with store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE tags DROP COLUMN sections")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0005'")
    store.close()
    store = open_store(database)
    assert [tag.sections for tag in _get(store, "a").tagging.tags["goals"]] == [None, None, None]
    store.close()


def test_a_block_that_raises_leaves_nothing(store: Store) -> None:
    _put(store, "a")

    def write() -> None:
        with store.write(NOON) as writer:
            writer.put(Draft("b", WATER), TAGGING, actor="test")
            writer.delete("a", actor="test")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    with store.read() as reader:
        assert reader.submission("a") is not None
        assert reader.submission("b") is None
        assert reader.verify_audit().entries == 1


def test_a_new_text_needs_its_tagging(store: Store) -> None:
    with pytest.raises(ValueError, match="needs its tagging"):
        _put(store, "a", tagging=None)
    _put(store, "a")
    with pytest.raises(ValueError, match="needs its tagging"):
        _put(store, "a", SCHOOL, tagging=None)


def test_many_threads_upsert_one_id_and_the_chain_does_not_fork(store: Store) -> None:
    errors: list[BaseException] = []
    start = threading.Barrier(4)

    def write(name: int) -> None:
        start.wait()
        try:
            for turn in range(5):
                _put(store, "a", f"{WATER} {name} {turn}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = _get(store, "a")
    assert (found.revision, found.version, len(found.tagging.tags["goals"])) == (20, 20, 2)
    with store.read() as reader:
        assert reader.verify_audit().entries == 20


def test_two_processes_may_start_at_once(database: str) -> None:
    stores: list[Store] = []
    threads = [threading.Thread(target=lambda: stores.append(open_store(database))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 3
    for number, store in enumerate(stores):
        _put(store, f"n{number}")
    assert len(list(_ids(stores[0]))) == 3
    for store in stores:
        store.close()


def _ids(store: Store) -> list[str]:
    with store.read() as reader:
        return [found.external_id for found in reader.submissions(Filters(), limit=100).items]


def test_a_busy_database_is_said_and_readers_do_not_wait(database: str) -> None:
    store, other = open_store(database, busy_seconds=0.1), open_store(database, busy_seconds=0.1)
    _put(store, "a")
    with store.write(NOON) as writer:
        writer.put(Draft("b", WATER), TAGGING, actor="test")
        with pytest.raises(StoreBusyError, match="does not answer"):
            _put(other, "c")
        assert _ids(other) == ["a"]
    assert _ids(other) == ["a", "b"]
    store.close()
    other.close()


def test_a_page_ends_where_the_list_ends(store: Store) -> None:
    for number in range(4):
        _put(store, f"n{number}")
    with store.read() as reader:
        first = reader.submissions(Filters(), limit=2)
        assert first.after is not None
        last = reader.submissions(Filters(), after=first.after, limit=2)
    assert [len(first.items), len(last.items), last.after] == [2, 2, None]


def test_labels_that_left_the_taxonomy_settle_nothing(store: Store, taxonomy: Taxonomy) -> None:
    tagging = Tagging("old", {"goals": (Tag("6", 0.9),), "technologies": (Tag("telegraph", 0.9),)}, needs_review=False)
    _put(store, "a", tagging=tagging)
    verdicts = [Verdict("goals", "6", Action.CONFIRM), Verdict("technologies", "telegraph", Action.CONFIRM)]
    with store.write(NOON) as writer:
        kept = writer.decide("a", verdicts, reviewer="x")
    assert settled_labels(taxonomy, kept) == {"goals": ("6",)}
    with store.write(NOON) as writer:
        kept = writer.decide("a", [Verdict("technologies", "telegraph", Action.REJECT)], reviewer="x")
    assert settled_labels(taxonomy, kept) == {"goals": ("6",), "technologies": ()}


def test_deleting_takes_tags_and_decisions_along(store: Store) -> None:
    _put(store, "a")
    with store.write(NOON) as writer:
        writer.decide("a", [Verdict("goals", "6", Action.CONFIRM)], reviewer="x")
        writer.delete("a", actor="test")
    with store._engine.connect() as connection:
        for table in ("submissions", "tags", "decisions"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("mysql://host/name", "the location of the database is mysql"),
        ("sqlite://", "the location of the database is sqlite"),
        (":memory:", "expected the path of an SQLite file"),
        ("://", "is not a URL"),
    ],
)
def test_locations_that_are_not_understood(location: str, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        open_store(location)


def test_a_location_keeps_its_password_out_of_messages(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(f"postgresql://user:secret-word@/name?host={tmp_path}")
    assert "secret-word" not in str(caught.value)
    assert "MUSANNIF_DATABASE" in str(caught.value)
    assert database_url("postgres://h/n").drivername == "postgresql+psycopg"


def test_a_store_that_must_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        open_store(str(tmp_path / "none.sqlite"), create=False)
    assert not (tmp_path / "none.sqlite").exists()
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(StoreError, match="the schema of the database is empty"):
        open_store(str(tmp_path / "empty.sqlite"), create=False)


def test_other_files_and_later_versions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_text("no database at all " * 100)
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(str(tmp_path / "text.sqlite"))
    later = tmp_path / "later.sqlite"
    open_store(str(later)).close()
    with sqlite3.connect(later) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for create in (True, False):
        with pytest.raises(StoreError, match="a later Musannif"):
            open_store(str(later), create=create)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be made"):
        open_store(str(tmp_path / "file" / "a.sqlite"))


def test_cursors_are_opaque_and_checked() -> None:
    filters = {"reviewed": True}
    cursor = write_cursor(7, filters)
    assert cursor is not None
    assert read_cursor(cursor, filters) == 7
    assert read_cursor(None, filters) == 0
    assert write_cursor(None, filters) is None
    for wrong in ("", "é", "AAAA", cursor[:-4], "[" * 5000):
        with pytest.raises(CursorError):
            read_cursor(wrong, filters)


def test_readers_find_a_connection_while_many_writers_wait(database: str) -> None:
    store = open_store(database, busy_seconds=60)
    written: list[Submission] = []
    writers = [
        threading.Thread(target=lambda number=number: written.append(_put(store, f"n{number}"))) for number in range(20)
    ]
    with store.write(NOON):
        for writer in writers:
            writer.start()
        pause = threading.Event()
        for _ in range(50):
            assert _ids(store) == []
            pause.wait(0.01)
    for writer in writers:
        writer.join()
    assert len(written) == len(_ids(store)) == 20
    store.close()


def test_all_questions_of_a_transaction_are_answered_from_one_moment(database: str) -> None:
    store = open_store(database)
    _put(store, "a")
    with store.read() as reader:
        before = reader.submission("a")
        with store.write(NOON) as writer:
            writer.decide("a", [Verdict("goals", "6", Action.CONFIRM)], reviewer="x")
            writer.put(Draft("b", WATER), TAGGING, actor="test")
        assert [one.external_id for one in reader.submissions(Filters(), limit=10).items] == ["a"]
        assert before is not None
        assert reader.decisions(limit=10).items == before.decisions == ()
    assert _ids(store) == ["a", "b"]
    store.close()


def test_who_sent_a_submission_before_there_were_owners_stands_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    store = open_store(str(path))
    for sender in ("first", "second"):
        with store.write(NOON) as writer:
            writer.put(Draft("a", f"{WATER} {sender}"), TAGGING, actor=sender)
            writer.put(Draft(sender, WATER), TAGGING, actor=sender)
            writer.decide("a", [Verdict("goals", "6", Action.CONFIRM)], reviewer="x")
    before = _get(store, "a")
    store.close()
    with sqlite3.connect(path) as connection:
        for name in ("clustering_edits", "clustering_comments", "clusterings"):
            connection.execute(f"DROP TABLE {name}")
        for name in ("kind", "steps", "share"):
            connection.execute(f"ALTER TABLE jobs DROP COLUMN {name}")
        connection.execute("ALTER TABLE submissions DROP COLUMN owner")
        connection.execute("ALTER TABLE tags DROP COLUMN sections")
        connection.execute("UPDATE alembic_version SET version_num = '0003'")
    store = open_store(str(path))
    assert _get(store, "a") == before
    assert [_get(store, one).owner for one in ("a", "first", "second")] == ["first", "first", "second"]
    store.close()
