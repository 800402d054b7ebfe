"""The faces on the clustering itself, with the stub of the tagger."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import Portal

from models.clustering.records import Clustering
from models.tagger import Tagger
from models.tokenizer import Window
from nlp.errors import ClusteringError
from nlp.records import Document
from nlp.taxonomy import Taxonomy
from service import cluster_command
from service.cli import cli
from service.consultation import hear

_SUBJECTS = {
    "water": ("ماء الشرب مقطوع في الحي", "شبكة المياه قديمة والتسرب كثير", "فاتورة المياه مرتفعة جداً"),
    "school": ("المدرسة مزدحمة والفصول ضيقة", "المعلمون قليلون في مدرسة القرية", "حافلة المدرسة تتأخر كل صباح"),
    "bus": ("الحافلات لا تصل في موعدها", "محطة القطار بعيدة عن السوق", "تذاكر النقل العام غالية"),
}
_ENDS = ("منذ شهر", "هذا الأسبوع", "كل يوم", "مع الأسف", "في حينا", "يا جماعة", "بصراحة")
COMMENTS = [
    {
        "id": f"{name}-{number}-{end}",
        "text": f"{text} {_ENDS[end]}",
        "attributes": {"region": ["شمال", "جنوب"][end % 2]},
    }
    for name, texts in _SUBJECTS.items()
    for number, text in enumerate(texts)
    for end in range(len(_ENDS))
]


def test_a_consultation_from_comments_to_report_with_edits_and_joining(taxonomy: Taxonomy, tmp_path: Path) -> None:
    portal = Portal(taxonomy, str(tmp_path / "a.sqlite"))
    with portal.client as client:
        preset = {"id": "p1", "title": "المياه", "words": ["مياه"]}
        body = {"comments": COMMENTS, "topics": 3, "bootstrap": 2, "presets": [preset], "title": "الخدمات"}
        made = client.post("/v1/cluster", json=body)
        assert made.status_code == 201, made.text
        path, tree = made.headers["location"], made.json()["tree"]
        assert sum(topic["size"]["voices"] for topic in [*tree["topics"], tree["other"]]) == len(COMMENTS)
        assert tree["presets"][0]["size"]["voices"] == 14
        first = tree["topics"][0]["id"]
        topics = [topic["id"] for topic in tree["topics"]]
        listed = client.get(f"{path}/comments", params={"topic": first, "limit": 200}).json()["items"]
        assert len(listed) == tree["topics"][0]["size"]["voices"]
        some = [one["id"] for one in listed[:2]]

        def change(what: str, **more: object) -> dict:  # type: ignore[type-arg]
            answer = client.post(f"{path}/{what}", json={"reviewer": "ليلى", **more}, headers={"If-Match": "*"})
            assert answer.status_code == 200, answer.text
            return answer.json()  # type: ignore[no-any-return]

        renamed = change("edits", edits=[{"edit": "rename", "topic": first, "title": "عنوان جديد"}])
        assert renamed["tree"]["topics"][0]["title"] == "عنوان جديد"
        pinned = change(
            "edits",
            edits=[{"edit": "pin", "comments": some}, {"edit": "split", "topic": topics[1], "parts": 2}],
        )
        assert len(pinned["tree"]["topics"]) == len(topics) + 1
        moved = change("edits", edits=[{"edit": "move", "comments": some, "topic": "other"}])
        assert moved["tree"]["other"]["size"]["voices"] == tree["other"]["size"]["voices"] + 2
        new = [{"id": "n1", "text": "ماء الشرب مقطوع في حينا أيضاً"}, {"id": "n2", "text": "قصيدة عن القمر"}]
        joined = client.post(f"{path}/comments", json={"comments": new})
        assert joined.status_code == 200, joined.text
        found = joined.json()["tree"]
        assert found["size"]["voices"] == len(COMMENTS) + 2
        assert found["drift"]["size"]["voices"] == 2
        assert "عنوان جديد" in [topic["title"] for topic in found["topics"]]
        assert len(found["topics"]) == len(topics) + 1
        if len(topics) > 1:
            change("edits", edits=[{"edit": "merge", "topics": topics[:2], "title": "كلاهما"}])
            change("undo")
        for _ in range(4):
            last = change("undo")
        assert [topic["id"] for topic in last["tree"]["topics"]] == topics
        assert last["tree"]["topics"][0]["title"] == tree["topics"][0]["title"]
        compared = client.get(f"{path}/comparison?attribute=region").json()
        assert {group["group"] for group in compared["groups"]} == {"شمال", "جنوب", ""}
        assert "الخدمات" in client.get(f"{path}/report").text
        kept = Clustering.from_dict(client.get(f"{path}/export").json()["clustering"])
        assert [one.id for one in kept.comments][-2:] == ["n1", "n2"]


def test_the_same_comments_and_seed_give_the_same_tree(taxonomy: Taxonomy, tmp_path: Path) -> None:
    portal = Portal(taxonomy, str(tmp_path / "a.sqlite"))
    with portal.client as client:
        body = {"comments": COMMENTS[:30], "bootstrap": 2, "seed": 5}
        first, second = (client.post("/v1/cluster", json=body).json()["tree"] for _ in range(2))
    assert first == second


@pytest.fixture
def run(stub: Tagger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[list[str]], Result]:
    monkeypatch.setattr(cluster_command, "load_tagger", lambda bundle: stub)

    def call(texts: list[str]) -> Result:
        source = tmp_path / "in.jsonl"
        source.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
        return CliRunner().invoke(cli, ["cluster", str(source), "--report", str(tmp_path / "r.html")])

    return call


@pytest.mark.parametrize(
    "texts",
    [["ماء"], ["ماء الحي مقطوع"] * 300, ["ماء الحي مقطوع"] * 300 + ["مدرسة"], ["ماء", "😀", "", "English only", "!!"]],
)
def test_odd_sets_give_a_tree_and_a_report(
    run: Callable[[list[str]], Result], tmp_path: Path, texts: list[str]
) -> None:
    done = run(texts)
    assert done.exit_code == 0, (done.output, done.exception)
    assert f"{len(texts)} voices" in done.stdout
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_signs_alone_are_refused_with_a_reason(run: Callable[[list[str]], Result]) -> None:
    done = run(["😀", "👍👍", "!!!"])
    assert isinstance(done.exception, ClusteringError)
    assert "words" in str(done.exception)


def test_names_stay_where_many_share_them_and_go_where_they_are_a_persons() -> None:
    town = [Document(str(n), "ماء", {"region": "حي عبدالله"}) for n in range(10)]
    few = [Document(f"f{n}", "ماء", {"region": name}) for n, name in enumerate(("نورة", "محمد العتيبي", " ", "الرياض"))]
    heard = hear([*town, *few])
    assert [dict(one.attributes) for one in heard.comments[9:]] == [
        {"region": "حي عبدالله"},
        {"region": "[اسم]"},
        {"region": "[اسم]"},
        {},
        {"region": "الرياض"},
    ]
    # Who joins a group that is there is told apart from a person, and a masked id is the place in the whole list.
    late = hear([Document("a@b.org", "ماء", {"region": "حي عبدالله"})], among=heard.comments)
    assert (late.comments[0].id, dict(late.comments[0].attributes)) == ("comment 15", {"region": "حي عبدالله"})


def test_columns_that_tell_persons_apart_are_not_compared(
    stub: Tagger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cluster_command, "load_tagger", lambda bundle: stub)
    rows = [
        {"text": f"{one['text']}", "region": one["attributes"]["region"], "who": f"شخص {n}"}
        for n, one in enumerate(COMMENTS[:40])
    ]
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    report = tmp_path / "r.html"
    done = CliRunner().invoke(cli, ["cluster", str(source), "--attributes", "region,who", "--report", str(report)])
    assert done.exit_code == 0, done.output
    assert "not compared: 'who' tells persons apart" in " ".join(done.stdout.split())
    assert "شخص 7" not in report.read_text(encoding="utf-8")


def test_comments_on_which_the_model_failed_are_told_in_the_tree(taxonomy: Taxonomy, tmp_path: Path) -> None:
    portal = Portal(taxonomy, str(tmp_path / "a.sqlite"))
    whole = portal.encoder.windows

    def windows(text: str) -> list[Window]:
        if "معطل" in text:
            raise RuntimeError("this text breaks the model")
        return whole(text)

    portal.encoder.windows = windows  # type: ignore[method-assign]
    with portal.client as client:
        comments = [*COMMENTS, {"id": "broken", "text": "هذا نص معطل"}]
        made = client.post("/v1/cluster", json={"comments": comments, "bootstrap": 0}).json()
        notes = {note["code"]: note["en"] for note in made["tree"]["notes"]}
        assert notes["not_read"].startswith("Comments that the model failed to read: 1.")
        path = f"/v1/clusterings/{made['id']}/comments"
        refused = client.post(path, json={"comments": [{"text": "معطل أيضاً"}]})
        assert (refused.status_code, "failed on all" in refused.json()["detail"]) == (422, True)
        joined = client.post(path, json={"comments": [{"text": "معطل أيضاً"}, {"text": "ماء الشرب مقطوع"}]})
        assert joined.status_code == 200, joined.text
        assert [note["code"] for note in joined.json()["tree"]["notes"]].count("not_read") == 2
        assert "تعليقات لم يستطع النموذج قراءتها: 1" in client.get(f"/v1/clusterings/{made['id']}/report").text
