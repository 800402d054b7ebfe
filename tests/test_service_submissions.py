from __future__ import annotations

import csv
import io
import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import SCHOOL, WATER, Portal
from fastapi.testclient import TestClient
from openpyxl import load_workbook

from nlp.taxonomy import Taxonomy
from service import exporting
from service.app import create_app
from service.cells import guarded
from service.settings import Settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_submission_is_tagged_with_evidence_and_kept(portal: Portal) -> None:
    answer = portal.put("case-1", f"{SCHOOL}. {WATER}.", metadata={"country": "JO", "nested": [1, {"أ": None}]})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/submissions/case-1"
    kept = answer.json()
    assert kept == portal.get("case-1").json()
    assert kept["metadata"] == {"country": "JO", "nested": [1, {"أ": None}]}
    assert (kept["language"], kept["revision"], kept["model"]) == ("ar", 1, "stub")
    assert kept["created"] == kept["updated"] == "2026-01-01T00:00:00Z"
    (goal,) = [tag for tag in kept["tags"]["goals"] if tag["id"] == "6"]
    (evidence,) = goal["evidence"]
    assert kept["text"][evidence["start"] : evidence["end"]].strip(". ") == WATER
    assert (kept["reviewed"], kept["settled"], kept["decisions"]) == (False, {}, [])


def test_tags_keep_the_pages_and_headings_where_they_were_found(
    portal: Portal, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    from training import corpus

    text = f"تقرير البلدية السنوي.\f{WATER}."
    (answered,) = portal.client.post("/v1/classify", json={"text": text}).json()["items"]
    (expected,) = [tag["sections"] for tag in answered["goals"] if tag["id"] == "6"]
    assert [(one["page"], text[one["start"] : one["end"]]) for one in expected] == [(2, f"{WATER}.")]
    for kept in (portal.put("a", text).json(), portal.get("a").json()):
        (goal,) = kept["tags"]["goals"]
        assert [
            {name: value for name, value in one.items() if value is not None} for one in goal["sections"]
        ] == expected
    portal.put("short", WATER)
    assert portal.get("short").json()["tags"]["goals"][0]["sections"] is None
    portal.review("a", "confirm goals:6", "reject targets:6.1")
    portal.review("short", "confirm goals:6")
    data = _export(portal, "jsonl")
    record, short = map(json.loads, data.splitlines())
    assert (record["sections"], "sections" in short) == ({"goals": {"6": expected}}, False)
    (tmp_path / "reviews.jsonl").write_bytes(data)
    first, _ = corpus.read_texts(tmp_path / "reviews.jsonl", taxonomy)
    assert (first.labels["goals"], "sections" in first.meta) == (("6",), False)


def test_the_same_text_is_not_tagged_again(portal: Portal) -> None:
    first = portal.put("a", WATER, metadata={"x": 1})
    read = portal.tagged
    same = portal.put("a", WATER, metadata={"x": 1})
    assert (same.status_code, same.headers["etag"], same.json()) == (200, first.headers["etag"], first.json())
    left_out = portal.put("a", WATER)
    assert left_out.json()["metadata"] == {"x": 1}
    other = portal.put("a", WATER, metadata={"x": 2})
    assert (other.json()["revision"], other.json()["metadata"]) == (1, {"x": 2})
    assert other.headers["etag"] != first.headers["etag"]
    assert portal.tagged == read


def test_a_changed_text_is_a_new_revision_with_its_own_tags_and_stale_decisions(portal: Portal) -> None:
    portal.put("a", WATER)
    assert portal.review("a", "confirm goals:6", "reject rite:effectiveness").status_code == 200
    changed = portal.put("a", f"{WATER} و {SCHOOL}").json()
    assert changed["revision"] == 2
    assert {tag["id"] for tag in changed["tags"]["goals"]} == {"4", "6"}
    assert [(one["label"], one["revision"], one["state"]) for one in changed["decisions"]] == [
        ("6", 1, "stale"),
        ("effectiveness", 1, "stale"),
    ]
    assert (changed["reviewed"], changed["settled"]) == (False, {})
    again = portal.review("a", "confirm goals:6", "confirm goals:4").json()
    assert [one["state"] for one in again["decisions"]] == ["stale", "stale", "live", "live"]
    assert again["settled"] == {"goals": ["4", "6"]}


def test_post_takes_one_or_many_and_one_bad_item_never_loses_the_others(portal: Portal) -> None:
    one = portal.client.post("/v1/submissions", json={"external_id": "a", "text": WATER})
    assert one.status_code == 201
    assert portal.client.post("/v1/submissions", json={"external_id": "a", "text": WATER}).status_code == 200
    made = portal.client.post("/v1/submissions", json={"text": WATER}).json()["external_id"]
    assert portal.get(made).json()["text"] == WATER
    body = (
        '{"items": [{"external_id": "a", "text": "مدرسة"}, {"external_id": "b", "text": ""}, 7, '
        '{"external_id": "c", "text": "\\ud800"}, {"external_id": "d"}, {"external_id": "e", "text": "x", "n": 1}, '
        '{"external_id": "f", "text": "x", "metadata": {"n": NaN}}, {"external_id": "g", "text": "ماء"}]}'
    )
    many = portal.client.post("/v1/submissions", content=body.encode(), headers={"Content-Type": "application/json"})
    assert many.status_code == 200
    items = many.json()["items"]
    assert [item["status"] for item in items] == [200, 422, 422, 422, 422, 422, 422, 201]
    assert [item.get("external_id") for item in items] == ["a", "b", None, "c", "d", "e", "f", "g"]
    assert items[0]["submission"]["revision"] == 2
    assert items[1]["problem"]["type"] == "urn:musannif:empty-text"
    assert portal.get("g").status_code == 200
    assert portal.get("b").status_code == 404


def test_a_text_that_cannot_be_tagged_changes_nothing(taxonomy: Taxonomy, database: str) -> None:
    portal = Portal(taxonomy, database, most_characters=100)
    with portal.client:
        portal.put("a", WATER)
        for text, status in (("", 422), ("ا" * 101, 413), ("\x00", 422)):
            answer = portal.put("a", text)
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
        assert portal.get("a").json()["text"] == WATER


def test_a_fault_of_the_model_loses_no_text(portal: Portal) -> None:
    portal.encoder.broken = True
    kept = portal.put("a", WATER)
    assert kept.status_code == 201
    assert (kept.json()["needs_review"], kept.json()["tags"]["goals"]) == (True, [])
    assert kept.json()["problem"] == "the model failed; the log of the service has the details"
    portal.encoder.broken = False
    mended = portal.put("a", WATER).json()
    assert (mended["problem"], mended["revision"], mended["tags"]["goals"][0]["id"]) == (None, 1, "6")


def test_two_threads_that_write_one_id_leave_one_whole_submission(portal: Portal) -> None:
    answers: list[int] = []

    def write(text: str) -> None:
        for _ in range(5):
            answers.append(portal.put("a", text).status_code)

    threads = [threading.Thread(target=write, args=(text,)) for text in (WATER, SCHOOL)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(answers)) == [200, 201]
    assert answers.count(201) == 1
    kept = portal.get("a").json()
    expected = {WATER: ["6"], SCHOOL: ["4"]}[kept["text"]]
    assert [tag["id"] for tag in kept["tags"]["goals"]] == expected
    with portal.app.state.runtime.store.read() as reader:
        assert reader.verify_audit().entries == kept["revision"]


def test_pages_are_complete_and_stable_while_rows_are_added(portal: Portal) -> None:
    for number in range(7):
        portal.put(f"n{number}", WATER)
    seen, cursor, added = [], None, 0
    while True:
        query = {"limit": 3, **({"cursor": cursor} if cursor else {})}
        page = portal.client.get("/v1/submissions", params=query).json()
        seen += [item["external_id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
        if added < 2:
            portal.put(f"new{added}", SCHOOL)
            portal.put("n0", f"{SCHOOL} {added}")
            added += 1
    assert seen == [*(f"n{number}" for number in range(7)), "new0", "new1"]


def test_metadata_comes_back_as_it_was_or_is_refused(portal: Portal) -> None:
    odd = {"a": "\\u0000", "b": {"=1": [True, None, 1.5, "\u202e", 10**30]}}
    assert portal.put("a", WATER, metadata=odd).json()["metadata"] == odd
    portal.put("a", WATER, metadata={})
    assert portal.get("a").json()["metadata"] == {}
    for wrong in ('{"a": "\\u0000"}', '{"a\\u0000": 1}', '{"a": NaN}', '{"a": "\\udc00"}', "[]", '"x"'):
        body = f'{{"text": "{WATER}", "metadata": {wrong}}}'.encode()
        answer = portal.client.put("/v1/submissions/b", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, wrong
    assert portal.get("b").status_code == 404


def test_the_description_of_the_api_names_every_route(portal: Portal) -> None:
    paths = portal.client.get("/openapi.json").json()["paths"]
    assert set(paths["/v1/submissions"]) == {"get", "post"}
    assert set(paths["/v1/submissions/{external_id}"]) == {"get", "put", "delete"}
    assert set(paths["/v1/submissions/{external_id}/reviews"]) == {"post"}
    assert {"/v1/reviews", "/v1/reviews/export"} <= set(paths)


def test_filters(portal: Portal) -> None:
    portal.put("water", WATER)
    portal.put("school", SCHOOL)
    portal.put("none", "مباراة اليوم")
    portal.put("late", f"{WATER} {SCHOOL}")

    def ids(**query: object) -> list[str]:
        page = portal.client.get("/v1/submissions", params=query).json()
        return [item["external_id"] for item in page["items"]]

    assert ids() == ["water", "school", "none", "late"]
    assert ids(label="goals:6") == ["water", "late"]
    assert ids(label=["goals:6", "goals:4"]) == ["late"]
    assert ids(label="targets:6.1") == ["water", "late"]
    unsure = [one for one in ids() if portal.get(one).json()["needs_review"]]
    assert ids(needs_review=True) == unsure
    assert sorted(ids(needs_review=False) + unsure) == sorted(ids())
    portal.review("water", "reject goals:6", "reject targets:6.1", "reject rite:effectiveness")
    portal.review("none", "add technologies:connectivity")
    portal.review("late", "confirm goals:6")
    assert ids(label="goals:6") == ["late"]
    assert ids(label="technologies:connectivity") == ["none"]
    assert ids(reviewed=True) == ["water", "none"]
    assert ids(reviewed=False) == ["school", "late"]
    assert ids(updated_since=portal.get("water").json()["updated"]) == ["water", "none", "late"]
    assert ids(updated_since="2027-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"label": "goals:99"}, "goals has no label '99'"),
        ({"label": "colour:red"}, "unknown level 'colour'"),
        ({"cursor": "!!"}, "cannot be read"),
        ({"cursor": "WzEsIjAiXQ"}, "other filters"),
        ({"cursor": "W1tdLCIwIl0"}, "cannot be read"),
        ({"updated_since": "2026-01-01"}, "updated_since"),
        ({"updated_since": "0001-01-01T00:00:00+14:00"}, "updated_since"),
        ({"limit": 0}, "limit"),
    ],
)
def test_wrong_queries_are_problems(stub, query: dict[str, object], words: str) -> None:  # type: ignore[no-untyped-def]
    with TestClient(create_app(Settings(), stub)) as client:
        answer = client.get("/v1/submissions", params=query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


def test_a_cursor_is_bound_to_its_filters(portal: Portal) -> None:
    for number in range(3):
        portal.put(f"n{number}", WATER)
    cursor = portal.client.get("/v1/submissions", params={"limit": 1}).json()["next"]
    assert portal.client.get("/v1/submissions", params={"cursor": cursor, "reviewed": True}).status_code == 422
    assert portal.client.get("/v1/reviews", params={"cursor": cursor}).status_code == 422


def test_a_review_needs_the_etag_of_what_was_read(portal: Portal) -> None:
    tag = portal.put("a", WATER).headers["etag"]
    assert portal.review("a", "confirm goals:6", match=tag).status_code == 200
    conflict = portal.review("a", "reject goals:6", match=tag, reviewer="سامي")
    assert conflict.status_code == 412
    assert conflict.json()["type"] == "urn:musannif:precondition"
    assert [one["reviewer"] for one in portal.get("a").json()["decisions"]] == ["ليلى"]
    fresh = portal.get("a").headers["etag"]
    assert portal.review("a", "reject goals:6", match=f'"0.0", {fresh}', reviewer="سامي").status_code == 200
    body = {"reviewer": "x", "decisions": [{"level": "goals", "label": "6", "action": "confirm"}]}
    assert portal.client.post("/v1/submissions/a/reviews", json=body).status_code == 428
    assert portal.review("none", "confirm goals:6").status_code == 404


def test_conditions_of_put_and_delete(portal: Portal) -> None:
    tag = portal.put("a", WATER, {"If-None-Match": "*"}).headers["etag"]
    assert portal.put("a", SCHOOL, {"If-None-Match": "*"}).status_code == 412
    assert portal.put("a", SCHOOL, {"If-Match": tag}).status_code == 200
    assert portal.put("a", WATER, {"If-Match": tag}).status_code == 412
    assert portal.put("b", WATER, {"If-Match": "*"}).status_code == 412
    assert portal.client.delete("/v1/submissions/a", headers={"If-Match": tag}).status_code == 412
    assert portal.client.delete("/v1/submissions/a").status_code == 204
    assert portal.client.delete("/v1/submissions/a").status_code == 404
    again = portal.put("a", WATER)
    assert again.status_code == 201
    assert again.headers["etag"] != tag


def test_a_later_decision_takes_the_place_of_an_earlier_one(portal: Portal) -> None:
    portal.put("a", SCHOOL)
    portal.review("a", "confirm goals:4")
    changed = portal.review("a", "reject goals:4", reviewer="سامي", note="ليس عن التعليم").json()
    assert [(one["action"], one["state"]) for one in changed["decisions"]] == [
        ("confirm", "superseded"),
        ("reject", "live"),
    ]
    assert changed["settled"] == {"goals": []}
    assert changed["decisions"][1]["note"] == "ليس عن التعليم"


def test_levels_are_settled_by_decisions_on_all_their_tags(portal: Portal) -> None:
    portal.put("a", f"{WATER} {SCHOOL}")
    assert portal.review("a", "confirm goals:6").json()["settled"] == {}
    assert portal.review("a", "confirm targets:6.1").json()["settled"] == {}, "targets wait for their goals"
    assert portal.review("a", "reject goals:4").json()["settled"] == {"goals": ["6"], "targets": ["6.1"]}
    settled = portal.review("a", "settle technologies", "add rite:trust").json()
    assert settled["settled"] == {"goals": ["6"], "targets": ["6.1"], "technologies": []}
    assert settled["reviewed"] is False
    done = portal.review("a", "reject rite:effectiveness", "confirm rite:inclusiveness").json()
    assert done["settled"]["rite"] == ["inclusiveness", "trust"]
    assert done["reviewed"] is True


@pytest.mark.parametrize(
    ("decisions", "words"),
    [
        (["confirm goals:1"], "neither a tag of the model nor an added one"),
        (["add goals:6"], "the model gave goals:6 already"),
        (["add goals:99"], "not in the taxonomy"),
        (["confirm colour:red"], "unknown level 'colour'"),
        (["confirm goals:6", "reject goals:6"], "decided twice"),
        (["settle goals"], "nobody decided goals:6"),
        (["settle goals:6"], "none for settle"),
        (["confirm goals"], "a label for confirm"),
        (["add targets:16.6"], "accepted without goals:16"),
        (["confirm targets:6.1", "reject goals:6"], "accepted without goals:6"),
        (["maybe goals:6"], "action"),
        ([], "decisions"),
    ],
)
def test_decisions_that_do_not_fit_are_refused_whole(
    taxonomy: Taxonomy, tmp_path: Path, decisions: list[str], words: str
) -> None:
    portal = Portal(taxonomy, str(tmp_path / "a.sqlite"))
    with portal.client:
        portal.put("a", WATER)
        answer = portal.review("a", "add technologies:connectivity", *decisions) if decisions else portal.review("a")
        assert answer.status_code == 422
        assert words in answer.json()["detail"]
        assert portal.get("a").json()["decisions"] == []


def test_a_busy_database_is_a_problem_that_passes(taxonomy: Taxonomy, database: str) -> None:
    portal = Portal(taxonomy, database, busy_seconds=0.1)
    with portal.client:
        portal.put("a", WATER)
        with portal.app.state.runtime.store.write(NOON):
            for answer in (portal.put("b", WATER), portal.review("a", "confirm goals:6")):
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert answer.json()["type"] == "urn:musannif:store-busy"
            assert portal.get("a").status_code == portal.client.get("/readyz").status_code == 200
        assert portal.put("b", WATER).status_code == 201


def test_reviews_are_listed_page_by_page(portal: Portal) -> None:
    portal.put("a", WATER)
    portal.put("b", SCHOOL)
    portal.review("a", "confirm goals:6", "confirm targets:6.1")
    portal.review("b", "reject goals:4", reviewer="سامي")
    first = portal.client.get("/v1/reviews", params={"limit": 2}).json()
    second = portal.client.get("/v1/reviews", params={"limit": 2, "cursor": first["next"]}).json()
    found = [*first["items"], *second["items"]]
    assert second["next"] is None
    assert [(one["external_id"], one["label"], one["action"]) for one in found] == [
        ("a", "6", "confirm"),
        ("a", "6.1", "confirm"),
        ("b", "4", "reject"),
    ]
    (own,) = portal.client.get("/v1/reviews", params={"reviewer": "سامي"}).json()["items"]
    assert (own["external_id"], own["at"]) == ("b", found[2]["at"])


def test_a_repeated_request_is_answered_the_same_and_done_once(portal: Portal) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = portal.put("a", WATER, key)
    portal.put("a", SCHOOL)
    again = portal.put("a", WATER, key)
    assert (again.status_code, again.content, again.headers["etag"]) == (201, first.content, first.headers["etag"])
    assert again.headers["idempotency-replayed"] == "true"
    assert portal.get("a").json()["text"] == SCHOOL
    for other in (portal.put("a", SCHOOL, key), portal.put("b", WATER, key)):
        assert other.status_code == 422
        assert other.json()["type"] == "urn:musannif:repeat"
    review = [portal.review("a", "confirm goals:4", match=portal.get("a").headers["etag"], key="k-2")]
    review.append(portal.review("a", "confirm goals:4", match=review[0].headers["etag"], key="k-2"))
    assert review[0].content == review[1].content
    assert len(portal.get("a").json()["decisions"]) == 1
    items = {"items": [{"text": WATER}, {"text": ""}, {"text": SCHOOL}]}
    many = [portal.client.post("/v1/submissions", json=items, headers={"Idempotency-Key": "k-3"}) for _ in range(2)]
    assert many[0].json() == many[1].json()
    items["items"][0]["text"] = "آخر"
    changed = portal.client.post("/v1/submissions", json=items, headers={"Idempotency-Key": "k-3"})
    assert changed.status_code == 422


def test_kept_answers_are_forgotten_in_time_and_with_the_submission(taxonomy: Taxonomy, database: str) -> None:
    portal = Portal(taxonomy, database, repeat_hours=10 / 3600)
    with portal.client:
        portal.put("a", WATER, {"Idempotency-Key": "k"})
        for number in range(12):
            portal.put(f"n{number}", WATER)
        assert portal.put("a", SCHOOL, {"Idempotency-Key": "k"}).status_code == 200
        portal.client.delete("/v1/submissions/a")
        assert portal.put("a", SCHOOL, {"Idempotency-Key": "k"}).status_code == 201


def test_deleting_leaves_no_word_of_the_text(taxonomy: Taxonomy, tmp_path: Path) -> None:
    portal = Portal(taxonomy, str(tmp_path / "store.sqlite"))
    secret = "الاسم الثلاثي ورقم الهاتف"
    with portal.client:
        portal.put("a", f"{WATER} {secret}", {"Idempotency-Key": "k"}, metadata={"name": secret})
        portal.review("a", "confirm goals:6", note=secret, key="k2")
        assert portal.client.delete("/v1/submissions/a").status_code == 204
        assert portal.client.get("/v1/reviews").json()["items"] == []
        with portal.app.state.runtime.store.read() as reader:
            assert reader.verify_audit().entries == 3
        files = {path.name: path.read_bytes() for path in tmp_path.glob("store.sqlite*")}
    assert {"store.sqlite", "store.sqlite-wal"} <= set(files)
    for data in files.values():
        assert secret.encode() not in data
        assert json.dumps(secret)[1:-1].encode() not in data


def test_the_store_survives_a_restart(taxonomy: Taxonomy, database: str) -> None:
    first = Portal(taxonomy, database)
    with first.client:
        first.put("a", WATER)
        kept = first.review("a", "confirm goals:6")
    second = Portal(taxonomy, database)
    with second.client:
        again = second.get("a")
        assert (again.json(), again.headers["etag"]) == (kept.json(), kept.headers["etag"])
        second.put("a", WATER)
        assert second.tagged == 0


@pytest.mark.parametrize(
    "external_id", ["مبادرة 12", "https://x.org/a?b=1", "a/reviews", "'; DROP TABLE tags; --", "100%"]
)
def test_ids_of_any_sender_are_addressable(portal: Portal, external_id: str) -> None:
    made = portal.client.post("/v1/submissions", json={"external_id": external_id, "text": WATER})
    assert made.status_code == 201
    place = made.headers["location"]
    assert portal.client.get(place).json()["external_id"] == external_id
    body = {"reviewer": "x", "decisions": [{"level": "goals", "label": "6", "action": "confirm"}]}
    assert portal.client.post(f"{place}/reviews", json=body, headers={"If-Match": "*"}).status_code == 200
    assert portal.client.delete(place).status_code == 204


@pytest.mark.parametrize("external_id", ["", "a/../b", ".", "a\nb", "x" * 201])
def test_ids_that_no_client_can_address_are_refused(stub, external_id: str) -> None:  # type: ignore[no-untyped-def]
    with TestClient(create_app(Settings(), stub)) as client:
        assert client.post("/v1/submissions", json={"external_id": external_id, "text": WATER}).status_code == 422


def test_characters_that_no_database_takes_are_refused(portal: Portal) -> None:
    portal.put("a", WATER)
    assert portal.client.get("/v1/reviews", params={"reviewer": "a\x00"}).status_code == 422
    assert portal.client.get("/v1/submissions/a%00b").status_code == 422
    assert portal.review("a", "confirm goals:6", note="\x00").status_code == 422
    assert portal.review("a", "confirm goals:6", reviewer="a\nb").status_code == 422
    assert portal.put("a", WATER, {"Idempotency-Key": "a b"}).status_code == 422


_HOSTILE = '=HYPERLINK("http://x","y")'


@pytest.fixture
def reviewed(portal: Portal) -> Portal:
    """One text settled in part, one settled whole and hostile, one not settled."""
    portal.put(
        "a", WATER, metadata={"kind": "case_study", "country": "JO", "dialect": "msa", "group": "g", "source": "p"}
    )
    portal.review("a", "confirm goals:6", "confirm targets:6.1")
    portal.put(_HOSTILE, f"+1 {SCHOOL}\nسطر \u2028 آخر", metadata={"kind": "poem", "country": 5, "dialect": ["x"]})
    path = "%3DHYPERLINK(%22http%3A%2F%2Fx%22%2C%22y%22)"
    portal.review(
        path, "reject goals:4", "settle targets", "settle technologies", "confirm rite:inclusiveness",
        reviewer="@سامي", note="-cmd|' /C calc'!A0",
    )  # fmt: skip
    portal.put("c", f"{WATER} {SCHOOL}")
    portal.review("c", "confirm goals:6")
    return portal


def _export(portal: Portal, form: str) -> bytes:
    answer = portal.client.get("/v1/reviews/export", params={"format": form})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="reviews.{form}"'
    return answer.content


def test_jsonl_is_read_by_training(reviewed: Portal, taxonomy: Taxonomy, tmp_path: Path) -> None:
    from training import corpus

    assert (exporting.KINDS, exporting.DIALECTS, exporting.LANGUAGES) == (
        corpus.KINDS,
        corpus.DIALECTS,
        corpus.LANGUAGES,
    )
    data = _export(reviewed, "jsonl")
    (tmp_path / "reviews.jsonl").write_bytes(data)
    first, second = corpus.read_texts(tmp_path / "reviews.jsonl", taxonomy)
    assert first.labels == {"goals": ("6",), "targets": ("6.1",)}
    assert (first.text, first.group) == (WATER, "g")
    assert first.meta == {"kind": "case_study", "lang": "ar", "dialect": "msa", "country": "JO", "source": "p"}
    assert second.labels == {"goals": (), "targets": (), "technologies": (), "rite": ("inclusiveness",)}
    assert (second.id, second.text) == (_HOSTILE, f"+1 {SCHOOL}\nسطر \u2028 آخر")
    assert second.meta == {"lang": "ar", "country": None, "source": "reviews"}
    record = json.loads(data.splitlines()[0])
    assert list(record) == [
        "id", "text", "kind", "goals", "targets", "lang", "dialect", "country", "source", "group",
    ]  # fmt: skip


def test_csv_is_safe_to_open(reviewed: Portal) -> None:
    first, second = csv.DictReader(io.StringIO(_export(reviewed, "csv").decode("utf-8-sig"), newline=""))
    assert (first["id"], first["goals"], first["targets"], first["settled"]) == ("a", "6", "6.1", "goals targets")
    assert first["reviewed"] == "2026-01-01T00:00:01+00:00"
    assert second["settled"] == "goals targets technologies rite"
    assert (second["id"], second["reviewers"]) == (f"'{_HOSTILE}", "'@سامي")
    assert second["text"].startswith("'+1")
    assert second["notes"].startswith("'-cmd|")


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\t=1", " =1", "\r=1", "\n=1", "＝1", "\u00a0=1", "\u2003@x"])
def test_formulas_are_guarded(cell: str) -> None:
    assert guarded(cell) == f"'{cell}"
    assert guarded(f"نص {cell}") == f"نص {cell}"


def test_xlsx_holds_text_and_no_formula(reviewed: Portal) -> None:
    reviewed.put("long", f"{WATER} \x0b " + "😀" * 40_000)
    reviewed.review("long", "reject goals:6")
    sheet = load_workbook(io.BytesIO(_export(reviewed, "xlsx")))["reviews"]
    header, *rows = list(sheet.iter_rows())
    names = [cell.value for cell in header]
    assert names == [
        "id", "text", "language", "revision", "goals", "targets", "technologies", "rite",
        "settled", "reviewers", "reviewed", "notes", "model",
    ]  # fmt: skip
    assert all(cell.data_type in ("s", "n") for row in rows for cell in row)
    assert [row[0].value for row in rows] == ["a", _HOSTILE, "long"]
    assert len(rows[2][1].value.encode("utf-16-le")) // 2 < 32_767
    assert rows[2][1].value.endswith("the whole text]")


def test_jsonld_names_goals_and_targets_by_their_un_uris(reviewed: Portal) -> None:
    reviewed.put("d", "تطبيق البلدية")
    reviewed.review("d", "confirm technologies:mobile_apps")
    first, second, third = json.loads(_export(reviewed, "jsonld"))["@graph"]
    assert [label["@id"] for label in first["about"]] == [
        "http://metadata.un.org/sdg/6",
        "http://metadata.un.org/sdg/6.1",
    ]
    assert {name["@language"] for name in first["about"][0]["name"]} == {"ar", "en"}
    assert second["@id"].startswith("urn:musannif:submission:%3DHYPERLINK")
    assert third["about"][0]["@id"] == "urn:musannif:label:technologies:mobile_apps"


@pytest.mark.parametrize("form", ["jsonl", "csv", "xlsx", "jsonld"])
def test_an_empty_export_is_whole(portal: Portal, form: str) -> None:
    data = _export(portal, form)
    if form == "jsonld":
        assert json.loads(data)["@graph"] == []
    elif form == "xlsx":
        assert load_workbook(io.BytesIO(data))["reviews"].max_row == 1
    else:
        assert len(data.splitlines()) == (form == "csv")


def test_an_export_of_many_batches_is_complete(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.reviews._BATCH", 3)
    ids = [f"n{number}" for number in range(7)]
    for one in ids:
        portal.put(one, SCHOOL)
        portal.put(f"{one}-waits", SCHOOL)
        portal.review(one, "confirm goals:4")
    assert [json.loads(line)["id"] for line in _export(portal, "jsonl").splitlines()] == ids
