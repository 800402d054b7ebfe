from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import grouping_stub
import pytest
from conftest import Clock, Portal
from fastapi.testclient import TestClient
from openpyxl import Workbook, load_workbook

from models.clustering import clusterer, edits, placing
from models.clustering.options import ClusterOptions
from models.clustering.plain import to_plain
from models.clustering.records import Clustering
from models.tagger import Tagger
from nlp.taxonomy import Taxonomy
from service import consultation
from service.app import create_app
from service.clustering_work import ClusterWork
from service.settings import Settings
from service.store import open_store
from service.store.jobs import MOST_LOSSES
from service.store.records import JobKind, StoredComment

ROOT = Path(__file__).parents[1]
COMMENTS = [
    {"id": "1", "text": "ماء الحي مقطوع منذ يومين", "attributes": {"region": "شمال", "age": "30"}},
    {"id": "2", "text": "ماء الشرب مالح، هاتفي 0551234567", "attributes": {"region": "شمال"}},
    {"id": "3", "text": "مدرسة القرية بعيدة", "attributes": {"region": "جنوب"}},
    {"id": "4", "text": "مدرسة البنات مزدحمة", "attributes": {"region": "جنوب"}},
    {"id": "5", "text": "كلام آخر"},
]


@pytest.fixture(autouse=True)
def _stub(monkeypatch: pytest.MonkeyPatch) -> None:
    grouping_stub.install(monkeypatch)


def _until(true: Callable[[], bool], what: str) -> None:
    pause = threading.Event()
    for _ in range(1200):
        if true():
            return
        pause.wait(0.05)
    raise AssertionError(f"{what} did not come")


def _made(portal: Portal, **more: object) -> dict:  # type: ignore[type-arg]
    answer = portal.client.post("/v1/cluster", json={"comments": COMMENTS, "title": "استشارة", **more})
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


def _edit(portal: Portal, path: str, match: str | None, *edits: dict[str, object], who: str = "ليلى"):  # type: ignore[no-untyped-def]
    headers = {} if match is None else {"If-Match": match}
    return portal.client.post(
        path, json={"reviewer": who, **({"edits": list(edits)} if edits else {})}, headers=headers
    )


def _titles(answer: dict) -> dict[str, tuple[str, int]]:  # type: ignore[type-arg]
    tree = answer["tree"]
    return {topic["id"]: (topic["title"], topic["size"]["voices"]) for topic in [*tree["topics"], tree["other"]]}


def test_a_small_set_is_grouped_at_once_and_kept_masked(portal: Portal) -> None:
    answer = portal.client.post("/v1/cluster", json={"comments": COMMENTS, "title": "استشارة", "seed": 3})
    assert answer.status_code == 201
    found = answer.json()
    assert answer.headers["location"] == f"/v1/clusterings/{found['id']}"
    assert (found["state"], found["comments"], found["model"], found["title"]) == ("finished", 5, "stub", "استشارة")
    assert found["personal_data"] == {"telephone": 1}
    assert _titles(found) == {"t1": ("ماء", 2), "t2": ("مدرسة", 2), "other": ("أخرى", 1)}
    assert found["tree"]["method"]["seed"] == 3
    read = portal.client.get(answer.headers["location"])
    assert read.json() == found
    assert read.headers["etag"] == answer.headers["etag"]
    with portal.app.state.runtime.store.engine.connect() as connection:
        texts = connection.exec_driver_sql("SELECT text FROM clustering_comments ORDER BY position").scalars().all()
    assert texts[1] == "ماء الشرب مالح، هاتفي [هاتف]"
    page = portal.client.get("/v1/clusterings").json()
    assert ([one["id"] for one in page["items"]], page["next"]) == ([found["id"]], None)
    with portal.app.state.runtime.store.read() as reader:
        assert reader.verify_audit().entries == 1


def test_comments_are_filtered_and_paged(portal: Portal) -> None:
    same = [{"id": f"s{n}", "text": "ماء مقطوع"} for n in range(3)]
    made = portal.client.post("/v1/cluster", json={"comments": COMMENTS + same}).json()
    path = f"/v1/clusterings/{made['id']}/comments"

    def ids(**query: object) -> list[str]:
        found, cursor = [], None
        while True:
            page = portal.client.get(
                path, params={**query, "limit": 2, **({"cursor": cursor} if cursor else {})}
            ).json()
            found += [one["id"] for one in page["items"]]
            cursor = page["next"]
            if cursor is None:
                return found

    assert ids() == ["1", "2", "3", "4", "5", "s0", "s1", "s2"]
    assert ids(topic="t2") == ["3", "4"]
    assert ids(topic="other") == ["5"]
    assert ids(campaign="c1") == ["s0", "s1", "s2"]
    assert ids(attribute="region:شمال") == ["1", "2"]
    assert ids(attribute=["region:شمال", "age:30"]) == ["1"]
    assert ids(attribute="none:x") == []
    one = portal.client.get(path, params={"topic": "t1"}).json()["items"][0]
    assert (one["attributes"], one["topic"], one["argument"]) == ({"region": "شمال", "age": "30"}, "t1", "1")
    next_page = portal.client.get(path, params={"limit": 2}).json()["next"]
    assert portal.client.get(path, params={"cursor": next_page, "topic": "t1"}).status_code == 422
    for bad in ('re"gion:x', "region", "re\\gion:x"):
        assert portal.client.get(path, params={"attribute": bad}).status_code == 422
    assert "comments" not in made["tree"]["campaigns"][0]


def test_groups_are_compared(portal: Portal) -> None:
    path = f"/v1/clusterings/{_made(portal)['id']}/comparison"
    found = portal.client.get(path, params={"attribute": "region"}).json()
    assert [(group["group"], group["too_small"]) for group in found["groups"]] == [
        ("شمال", True),
        ("جنوب", True),
        ("", True),
    ]
    assert found["topics"]["t1"][0]["share"] == 1
    refused = portal.client.get(path, params={"attribute": "colour"})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:musannif:clustering")


def test_attributes_with_the_name_of_another_column_have_columns_of_their_own(portal: Portal) -> None:
    given = {"topic": "من عندنا", "id": "77", "attribute: id": "88", "region": "شمال"}
    comments = [{**COMMENTS[0], "attributes": given}, *COMMENTS[1:]]
    made = portal.client.post("/v1/cluster", json={"comments": comments}).json()
    path = f"/v1/clusterings/{made['id']}/export?format="
    header, first, *_ = csv.reader(io.StringIO(portal.client.get(path + "csv").content.decode("utf-8-sig")))
    assert len(set(header)) == len(header)
    row = dict(zip(header, first, strict=True))
    assert (row["id"], row["topic"], row["region"]) == ("1", "t1", "شمال")
    prefixed = {name: row[name] for name in header if name.startswith("attribute: ")}
    assert prefixed == {"attribute: topic": "من عندنا", "attribute: attribute: id": "77", "attribute: id": "88"}
    book = load_workbook(io.BytesIO(portal.client.get(path + "xlsx").content))
    assert [cell.value for cell in next(iter(book["comments"].rows))] == header


def test_report_and_exports(portal: Portal) -> None:
    evil = {"id": "=1", "text": '=HYPERLINK("http://x.test")', "attributes": {"region": "+SUM(1)"}}
    made = portal.client.post("/v1/cluster", json={"comments": [*COMMENTS, evil], "title": "<i>x"}).json()
    path = f"/v1/clusterings/{made['id']}"
    page = portal.client.get(path + "/report")
    assert page.headers["content-type"].startswith("text/html")
    assert f'filename="consultation-{made["id"][:8]}.html"' in page.headers["content-disposition"]
    policy = page.headers["content-security-policy"]
    assert all(rule in policy for rule in ("default-src 'none'", "script-src 'sha256-", "style-src 'sha256-"))
    assert "sandbox allow-scripts allow-modals" in policy
    assert "same-origin" not in policy
    assert "مدرسة القرية بعيدة" in page.text
    assert "0551234567" not in page.text
    assert "<i>x" not in page.text
    everything = portal.client.get(path + "/export").json()
    assert len(Clustering.from_dict(everything["clustering"]).comments) == 6
    assert everything["texts"]["2"].endswith("[هاتف]")
    rows = list(csv.reader(io.StringIO(portal.client.get(path + "/export?format=csv").content.decode("utf-8-sig"))))
    assert rows[6][:2] == ["'=1", "'" + str(evil["text"])]
    assert rows[6][-2] == "'+SUM(1)"
    book = load_workbook(io.BytesIO(portal.client.get(path + "/export?format=xlsx").content))
    assert book.sheetnames == ["topics", "comments", "campaigns", "minorities", "notes"]
    assert {cell.data_type for sheet in book for row in sheet.iter_rows() for cell in row} <= {"s", "n"}


def test_edits_are_kept_undone_and_guarded_by_what_was_read(portal: Portal) -> None:
    made = portal.client.post("/v1/cluster", json={"comments": COMMENTS})
    path, first = made.headers["location"], made.headers["etag"]
    rename = {"edit": "rename", "topic": "t1", "title": "المياه"}
    assert _edit(portal, path + "/edits", None, rename).status_code == 428
    renamed = _edit(portal, path + "/edits", first, rename)
    assert renamed.status_code == 200, renamed.text
    assert _titles(renamed.json())["t1"] == ("المياه", 2)
    second = renamed.headers["etag"]
    stale = _edit(portal, path + "/edits", first, {"edit": "move", "comments": ["5"], "topic": "t2"})
    assert (stale.status_code, stale.json()["type"]) == (412, "urn:musannif:precondition")
    both = _edit(
        portal,
        path + "/edits",
        second,
        {"edit": "move", "comments": ["5"], "topic": "t2"},
        {"edit": "merge", "topics": ["t1", "t2"]},
        who="سالم",
    )
    assert _titles(both.json()) == {"t1": ("المياه", 5), "other": ("أخرى", 0)}
    listed = portal.client.get(path + "/comments?topic=t1").json()["items"]
    assert [(one["id"], one["pinned"]) for one in listed][-1] == ("5", True)
    undone = _edit(portal, path + "/undo", both.headers["etag"])
    assert _titles(undone.json()) == {"t1": ("المياه", 2), "t2": ("مدرسة", 3), "other": ("أخرى", 0)}
    for _ in range(2):
        undone = _edit(portal, path + "/undo", "*")
    assert _titles(undone.json()) == _titles(made.json())
    assert _edit(portal, path + "/undo", "*").status_code == 422
    entries = portal.client.get(path + "/edits").json()["items"]
    assert [(one["number"], one["reviewer"], one["undoes"], one["live"]) for one in entries] == [
        (1, "ليلى", None, False),
        (2, "سالم", None, False),
        (3, "سالم", None, False),
        (4, "ليلى", 3, False),
        (5, "ليلى", 2, False),
        (6, "ليلى", 1, False),
    ]
    with portal.app.state.runtime.store.read() as reader:
        assert reader.verify_audit().entries == 7


def test_faulty_edits_change_nothing(portal: Portal) -> None:
    path = f"/v1/clusterings/{_made(portal)['id']}"
    good = {"edit": "rename", "topic": "t1", "title": "المياه"}
    for bad in (
        {"edit": "paint", "topic": "t1"},
        {"edit": "rename", "topic": "t1", "title": ""},
        {"edit": "rename", "topic": "t9", "title": "x"},
        {"edit": "merge", "topics": ["t1"]},
        {"edit": "move", "comments": ["99"], "topic": "t1"},
        {"edit": "pin", "comments": []},
    ):
        assert _edit(portal, path + "/edits", "*", good, bad).status_code == 422, bad
    assert portal.client.get(path + "/edits").json()["items"] == []
    assert _titles(portal.client.get(path).json())["t1"][0] == "ماء"
    nobody = portal.client.post(path + "/edits", json={"edits": [good]}, headers={"If-Match": "*"})
    assert (nobody.status_code, nobody.json()["type"]) == (422, "urn:musannif:review")


def test_new_comments_join_and_edits_stay(portal: Portal) -> None:
    path = f"/v1/clusterings/{_made(portal)['id']}"
    _edit(portal, path + "/edits", "*", {"edit": "rename", "topic": "t1", "title": "المياه"})
    new = [{"id": "6", "text": "ماء ساخن a.b@example.com"}, {"id": "7", "text": "شيء جديد"}, {"text": "شيء غريب"}]
    joined = portal.client.post(path + "/comments", json={"comments": new})
    assert joined.status_code == 200, joined.text
    found = joined.json()
    assert (found["comments"], found["personal_data"]) == (8, {"telephone": 1, "e-mail": 1})
    assert _titles(found)["t1"] == ("المياه", 3)
    assert (found["tree"]["drift"]["drifted"], found["tree"]["drift"]["size"]["voices"]) == (True, 3)
    listed = portal.client.get(path + "/comments").json()["items"]
    assert [one["joined"] for one in listed] == [False] * 5 + [True] * 3
    assert listed[5]["text"] == "ماء ساخن [بريد]"
    undone = _edit(portal, path + "/undo", joined.headers["etag"]).json()
    assert _titles(undone)["t1"] == ("ماء", 3)
    again = portal.client.post(path + "/comments", json={"comments": new[:1]})
    assert again.status_code == 422
    stale = portal.client.post(path + "/comments", json={"comments": [{"text": "ماء"}]}, headers={"If-Match": '"0.0"'})
    assert stale.status_code == 412


def test_two_who_edit_at_once_do_not_overwrite_each_other(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/v1/clusterings/{_made(portal)['id']}"
    other = []

    def meanwhile(*arguments: object) -> Clustering:
        if not other:
            other.append(None)
            other[0] = _edit(portal, path + "/edits", "*", {"edit": "rename", "topic": "t2", "title": "التعليم"})
        return grouping_stub.edited(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(edits, "edited", meanwhile)
    late = _edit(portal, path + "/edits", "*", {"edit": "rename", "topic": "t1", "title": "المياه"})
    assert (other[0].status_code, late.status_code) == (200, 412)  # type: ignore[attr-defined]
    other.clear()
    joined = portal.client.post(path + "/comments", json={"comments": [{"text": "ماء نقي"}]})
    assert joined.status_code == 200
    assert _titles(joined.json()) == {"t1": ("ماء", 3), "t2": ("التعليم", 2), "other": ("أخرى", 1)}


def test_two_who_send_the_same_new_comments_at_once_add_them_once(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/clusterings/{_made(portal)['id']}"
    new = {"comments": [{"id": "n1", "text": "ماء نقي"}]}
    other = []

    def meanwhile(*arguments: object) -> Clustering:
        if not other:
            other.append(None)
            other[0] = portal.client.post(path + "/comments", json=new)
        return grouping_stub.place(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(placing, "place", meanwhile)
    late = portal.client.post(path + "/comments", json=new)
    assert (other[0].status_code, late.status_code) == (200, 422)  # type: ignore[attr-defined]
    assert "'n1'" in late.json()["detail"]
    assert portal.client.get(path).json()["comments"] == 6


def test_an_edit_gives_way_to_comments_that_join_meanwhile(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/v1/clusterings/{_made(portal)['id']}"
    joined = []

    def meanwhile(*arguments: object) -> Clustering:
        if not joined:
            joined.append(None)
            joined[0] = portal.client.post(path + "/comments", json={"comments": [{"text": "ماء نقي"}]})
        return grouping_stub.edited(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(edits, "edited", meanwhile)
    rename = {"edit": "rename", "topic": "t1", "title": "المياه"}
    late = _edit(portal, path + "/edits", "*", rename)
    assert (joined[0].status_code, late.status_code) == (200, 412)  # type: ignore[attr-defined]
    assert _titles(_edit(portal, path + "/edits", "*", rename).json())["t1"] == ("المياه", 3)


def test_bad_sets_are_refused_with_a_reason(taxonomy: Taxonomy, database: str) -> None:
    portal = Portal(taxonomy, database, most_job_comments=3, most_characters=100, most_cluster_bytes=4_100_000)
    with portal.client as client:
        for comments, status, word in (
            ([], 422, "comments"),
            ([{"id": "1", "text": ""}, {"id": "2", "text": " \n"}], 422, "empty"),
            ([{"id": "1", "text": "ماء"}, {"id": 1, "text": "هواء"}], 422, "'1'"),
            ([{"text": "ماء"}] * 4, 413, "most_job_comments"),
            ([{"text": "ا" * 101}], 422, "101"),
            ([{"text": "\ud800"}], 422, "surrogate"),
            ([{"text": 5}], 422, "comments.0.text"),
            ([{"text": "ماء", "attributes": {'a"b': "x"}}], 422, "attributes"),
            ([{"text": "ماء", "attributes": {"a": "\x00"}}], 422, "attributes"),
        ):
            body = json.dumps({"comments": comments}).encode()
            answer = client.post("/v1/cluster", content=body, headers={"Content-Type": "application/json"})
            found = answer.status_code if answer.status_code != 413 or status == 413 else 422
            assert (found, word in answer.json()["detail"]) == (status, True), answer.text
        mistyped = {"id": "a", "title": "ماء", "labels": ["goals/66"]}
        unknown = {"comments": [{"text": "ماء"}], "presets": [mistyped], "background": True}
        answer = client.post("/v1/cluster", json=unknown)
        assert (answer.status_code, "'goals/66'" in answer.json()["detail"]) == (422, True), answer.text
        assert client.get("/v1/clusterings").json()["items"] == []
        large = client.post("/v1/cluster", json={"comments": [{"text": "ا" * 4_200_000}]})
        assert (large.status_code, "most_cluster_bytes" in large.json()["detail"]) == (413, True)
        assert client.post("/v1/cluster", json={"comments": [{"text": "ماء"}], "topics": 0}).status_code == 422
        for method, path in (("GET", ""), ("GET", "/comments"), ("GET", "/report"), ("DELETE", "")):
            answer = client.request(method, f"/v1/clusterings/none{path}")
            assert (answer.status_code, answer.json()["type"]) == (404, "urn:musannif:not-stored")


def test_a_file_is_grouped_with_its_attributes(portal: Portal) -> None:
    book = Workbook()
    rows = [("رقم", "رأي", "منطقة"), (1, "ماء مقطوع", "شمال"), (2, "ماء مالح", "جنوب"), (3, "=A1", None), (4, None, "")]
    for row in rows:
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    query = {"text_column": "رأي", "id_column": "رقم", "attributes": ["منطقة"]}
    sent = {"file": ("آراء.xlsx", file.getvalue())}
    answer = portal.client.post("/v1/cluster/file", params=query, files=sent)
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert (found["title"], found["comments"], found["tree"]["wordless"]) == ("آراء", 3, 1)
    assert found["left_out"][0].startswith("3: ")
    assert "B4 is a formula" in found["left_out"][0]
    one = portal.client.get(f"/v1/clusterings/{found['id']}/comments").json()["items"][1]
    assert (one["id"], one["attributes"]) == ("2", {"منطقة": "جنوب"})
    for params, word in (({"text_column": "نص"}, "رأي"), ({"attributes": ["عمر"]}, "عمر")):
        refused = portal.client.post("/v1/cluster/file", params={**query, **params}, files=sent)
        assert (refused.status_code, word in refused.json()["detail"]) == (422, True)
    broken = portal.client.post("/v1/cluster/file", files={"file": ("a.csv", b'text\n"one\ntwo\n')})
    assert (broken.status_code, "line 2" in broken.json()["detail"]) == (422, True)


def test_a_file_leaks_no_person_by_its_name_its_ids_or_its_faults(portal: Portal) -> None:
    rows = ["a@b.org,ماء مقطوع,سارة أحمد علي", "1012345674,ماء مالح,محمد بن سالم العتيبي", "ok,مدرسة بعيدة,"]
    rows += [f"x{n}@b.org,one,too,many" for n in range(120)]
    data = ("id,text,who\n" + "\n".join(rows)).encode()
    answer = portal.client.post(
        "/v1/cluster/file", params={"attributes": "who"}, files={"file": ("آراء 0551234567.csv", data)}
    )
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert found["title"] == "آراء [هاتف]"
    assert (len(found["left_out"]), found["left_out"][-1]) == (101, "and 20 more rows")
    listed = portal.client.get(f"/v1/clusterings/{found['id']}/comments").json()["items"]
    assert [(one["id"], one["attributes"].get("who")) for one in listed] == [
        ("comment 1", "[اسم]"),
        ("comment 2", "[اسم]"),
        ("ok", None),
    ]
    report = portal.client.get(f"/v1/clusterings/{found['id']}/report").text
    everything = portal.client.get(f"/v1/clusterings/{found['id']}/export").text
    for text in (answer.text, report, everything):
        assert not [word for word in ("b.org", "العتيبي", "سارة", "1012345674", "0551234567") if word in text]


def test_the_same_key_makes_one_clustering_and_deleting_takes_all_words(portal: Portal) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = portal.client.post("/v1/cluster", json={"comments": COMMENTS}, headers=headers)
    again = portal.client.post("/v1/cluster", json={"comments": COMMENTS}, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    path = first.headers["location"]
    assert portal.client.delete(path, headers={"If-Match": '"9.9"'}).status_code == 412
    assert portal.client.delete(path, headers={"If-Match": first.headers["etag"]}).status_code == 204
    assert portal.client.get(path).status_code == 404
    with portal.app.state.runtime.store.engine.connect() as connection:
        for table in ("clusterings", "clustering_comments", "clustering_edits", "answers"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0


# --- jobs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def working(taxonomy: Taxonomy, database: str) -> Iterator[Portal]:
    portal = Portal(taxonomy, database, job_threads=1, most_cluster_comments=4)
    with portal.client:
        yield portal


def _ended(client: TestClient, path: str) -> dict:  # type: ignore[type-arg]
    found: dict = {}  # type: ignore[type-arg]

    def ended() -> bool:
        found.update(client.get(path).json())
        return found["state"] in ("finished", "failed", "cancelled")

    _until(ended, "the end of the clustering")
    return found


def test_a_large_set_becomes_a_job_with_named_steps(working: Portal) -> None:
    taken = working.client.post("/v1/cluster", json={"comments": COMMENTS, "title": "كبيرة"})
    assert taken.status_code == 202
    job = taken.json()["progress"]["job"]
    assert (taken.json()["state"], taken.json()["tree"]) == ("queued", None)
    found = _ended(working.client, taken.headers["location"])
    assert (found["state"], found["personal_data"], found["progress"]["share"]) == ("finished", {"telephone": 1}, 1)
    assert [step["name"] for step in found["progress"]["steps"]] == list(consultation.STEPS)
    assert _titles(found)["t1"] == ("ماء", 2)
    seen = working.client.get(f"/v1/jobs/{job}").json()
    assert (seen["kind"], seen["state"], seen["result"]) == ("cluster", "finished", taken.headers["location"])
    assert working.client.get(f"/v1/jobs/{job}/result").status_code == 409
    assert working.client.post(taken.headers["location"] + "/cancel").status_code == 409
    with working.app.state.runtime.store.engine.connect() as connection:
        texts = connection.exec_driver_sql("SELECT text FROM clustering_comments").scalars().all()
    assert not [text for text in texts if "0551234567" in text]


def test_two_clusterings_and_a_tagging_job_at_once(working: Portal) -> None:
    paths = [
        working.client.post("/v1/cluster", json={"comments": COMMENTS, "title": str(n)}).headers["location"]
        for n in range(2)
    ]
    job = working.client.post("/v1/jobs", json={"items": [{"text": "ماء"}]}).json()["id"]
    assert [_ended(working.client, path)["state"] for path in paths] == ["finished"] * 2
    assert _ended(working.client, f"/v1/jobs/{job}")["state"] == "finished"


def test_a_job_that_cannot_be_done_fails_with_its_reason_and_its_step(working: Portal) -> None:
    working.encoder.broken = True
    path = working.client.post("/v1/cluster", json={"comments": COMMENTS}).headers["location"]
    found = _ended(working.client, path)
    assert (found["state"], found["tree"]) == ("failed", None)
    assert "the model failed on all comments" in found["problem"]
    assert "(step tag)" in found["problem"]
    refused = working.client.get(path + "/report")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:musannif:job")


class _Gated(grouping_stub.Clusterer):
    begun = threading.Event()
    gate = threading.Event()

    def cluster(self, *arguments: object) -> Clustering:
        arguments[-1]("reduce", 0.3)  # type: ignore[operator]
        self.begun.set()
        assert self.gate.wait(60)
        return super().cluster(*arguments)  # type: ignore[arg-type]


def test_a_running_job_is_cancelled_and_its_words_go(working: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    _Gated.begun.clear()
    _Gated.gate.clear()
    monkeypatch.setattr(clusterer, "Clusterer", _Gated)
    path = working.client.post("/v1/cluster", json={"comments": COMMENTS}).headers["location"]
    assert _Gated.begun.wait(60)
    _until(lambda: len(working.client.get(path).json()["progress"]["steps"]) == 3, "the named step")
    seen = working.client.get(path).json()
    assert (seen["state"], seen["progress"]["steps"][-1]["name"]) == ("running", "reduce")
    assert 0.5 < seen["progress"]["share"] < 1
    cancelled = working.client.post(path + "/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert working.client.post(path + "/cancel").status_code == 200
    _Gated.gate.set()
    with working.app.state.runtime.store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM clustering_comments").scalar() == 0
    # The worker is free again, and nothing of the cancelled work is kept.
    monkeypatch.setattr(clusterer, "Clusterer", grouping_stub.Clusterer)
    other = working.client.post("/v1/cluster", json={"comments": COMMENTS}).headers["location"]
    assert _ended(working.client, other)["state"] == "finished"
    assert working.client.get(path).json()["state"] == "cancelled"
    assert working.client.delete(path).status_code == 204


class _Watched(grouping_stub.Clusterer):
    """Counts those that work at the same time; the first of them ends only at its next step."""

    lock = threading.Lock()
    running = most = begun = 0
    gate = threading.Event()

    def cluster(self, *arguments: object) -> Clustering:
        kind = type(self)
        with kind.lock:
            kind.running += 1
            kind.begun += 1
            kind.most = max(kind.most, kind.running)
        try:
            assert kind.gate.wait(60)
            return super().cluster(*arguments)  # type: ignore[arg-type]
        finally:
            with kind.lock:
                kind.running -= 1


def test_clusterings_are_made_one_at_a_time_also_after_one_is_cancelled(
    working: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    _Watched.running = _Watched.most = _Watched.begun = 0
    _Watched.gate.clear()
    monkeypatch.setattr(clusterer, "Clusterer", _Watched)
    first, second, third = (
        working.client.post("/v1/cluster", json={"comments": COMMENTS, "title": str(n)}).headers["location"]
        for n in range(3)
    )
    _until(lambda: _Watched.begun == 1, "the first clustering")
    # One that still waits is cancelled by its job, and never begins.
    job = working.client.get(second).json()["progress"]["job"]
    assert working.client.post(f"/v1/jobs/{job}/cancel").json()["state"] == "cancelled"
    assert working.client.get(second).json()["state"] == "cancelled"
    assert working.client.post(first + "/cancel").json()["state"] == "cancelled"
    _Watched.gate.set()
    assert _ended(working.client, third)["state"] == "finished"
    assert (_Watched.begun, _Watched.most) == (2, 1)
    assert [working.client.get(path).json()["tree"] for path in (first, second)] == [None, None]


@pytest.mark.parametrize("end", ["cancel", "fail", "lose"])
def test_words_of_a_job_that_ends_early_leave_the_disk(taxonomy: Taxonomy, tmp_path: Path, end: str) -> None:
    portal = Portal(taxonomy, str(tmp_path / "store.sqlite"), job_threads=0, most_cluster_comments=4)
    marked = [*COMMENTS, {"id": "who", "text": "ماء وهذا سر 0559876543"}]

    def kept() -> list[str]:
        secret = b"0559876543"
        return [file.name for file in tmp_path.glob("store.sqlite*") if secret in file.read_bytes()]

    with portal.client as client:
        taken = client.post("/v1/cluster", json={"comments": marked}).json()
        assert kept()
        runtime = portal.app.state.runtime
        if end == "cancel":
            assert client.post(f"/v1/jobs/{taken['progress']['job']}/cancel").status_code == 200
        elif end == "fail":
            portal.encoder.broken = True
            work = ClusterWork(
                runtime.store, lambda: runtime.model, Clock(), timedelta(minutes=1), threading.Event(), lambda *_: None
            )
            work.work()
        else:
            for _ in range(MOST_LOSSES):
                with runtime.store.write(Clock()() - timedelta(days=1)) as writer:
                    assert writer.jobs.take_whole(lease=timedelta(seconds=1))
                runtime.background.sweep()
        assert client.get(f"/v1/clusterings/{taken['id']}").json()["state"] in ("cancelled", "failed")
        assert kept() == []


def test_a_clustering_that_kills_its_workers_fails_and_is_forgotten(database: str) -> None:
    store, clock = open_store(database), Clock()
    lease = timedelta(seconds=60)
    with store.write(clock()) as writer:
        job = writer.jobs.create("j1", [], {"clustering": "c1"}, owner="t", kind=JobKind.CLUSTER, total=1)
        comments = [StoredComment(0, "1", "ماء", {})]
        writer.clusterings.create(
            "c1", comments, owner="t", title="", options=to_plain(ClusterOptions()), left_out=[], job_id="j1"
        )
    at = clock()
    for _ in range(MOST_LOSSES):
        with store.write(at) as writer:
            taken = writer.jobs.take_whole(lease=lease)
            assert taken is not None
            assert writer.jobs.take(lease=lease, most_items=1, most_characters=1) is None
            assert writer.jobs.report(job.id, taken.turn, ["mask", "tag"], 0.2, lease=lease)
        at += 2 * lease
        with store.write(at) as writer:
            assert [one.id for one in writer.jobs.reclaim()] == ["j1"]
            # The worker that was thought dead comes back.
            assert not writer.jobs.report(job.id, taken.turn, ["mask"], 0.1, lease=lease)
            assert writer.jobs.finish(job.id, taken.turn, model="m") is None
    with store.read() as reader:
        kept = reader.clusterings.get("c1")
        assert kept.state == "failed"
        assert "lost at the step tag" in (kept.problem or "")
        assert reader.clusterings.comments(kept.key).items == ()
    with store.write(at + timedelta(days=8)) as writer:
        assert writer.clusterings.forget(timedelta(days=7)) == 1
    store.close()


_WORKER = """
import signal, sys, threading
from pathlib import Path
sys.path.insert(0, "tests")
import grouping_stub, pytest
from models.clustering import clusterer
from models.stub import stub_tagger
from nlp.taxonomy import load_taxonomy
from service.clock import utc_now
from service.metrics import Metrics
from service.runtime import open_runtime
from service.settings import Settings

grouping_stub.install(pytest.MonkeyPatch())
stopped = threading.Event()

class Hanging(grouping_stub.Clusterer):
    def cluster(self, *arguments):
        Path(sys.argv[1]).touch()
        threading.Event().wait()

if len(sys.argv) > 1:
    clusterer.Clusterer = Hanging
signal.signal(signal.SIGTERM, lambda *_: stopped.set())
with open_runtime(Settings(job_threads=1), stub_tagger(load_taxonomy(Path("data/taxonomy.yaml"))), utc_now, Metrics()):
    stopped.wait()
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_killed_or_stopped_in_the_middle_is_followed_by_another(
    stub: Tagger, database: str, tmp_path: Path, end: signal.Signals
) -> None:
    settings = Settings(database=database, queue=str(tmp_path / "queue.sqlite"), job_lease_seconds=1)
    variables = {
        "MUSANNIF_DATABASE": settings.database,
        "MUSANNIF_QUEUE": settings.queue,
        "MUSANNIF_JOB_LEASE_SECONDS": "1",
        "PYTHONPATH": str(ROOT),
    }
    note = tmp_path / "hangs"

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _WORKER, *arguments]
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables})

    with TestClient(create_app(settings, stub)) as client:
        taken = client.post("/v1/cluster", json={"comments": COMMENTS, "background": True})
        path = taken.headers["location"]
        first = start(str(note))
        try:
            _until(note.exists, "the worker that hangs")
            assert client.get(path).json()["state"] == "running"
            first.send_signal(end)
            assert first.wait(timeout=60) == (-end if end is signal.SIGKILL else 0)
        finally:
            first.kill()
        assert client.get(path).json()["state"] == "running"
        second = start()
        try:
            found = _ended(client, path)
        finally:
            second.kill()
            second.wait()
    assert (found["state"], found["comments"]) == ("finished", 5)
    assert _titles(found)["t1"] == ("ماء", 2)
