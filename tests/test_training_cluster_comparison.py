from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from models.clustering.duplicates import common_words
from nlp.errors import CorpusError, ReadingError
from nlp.personal_data import find_personal_data
from training.cluster_benchmark import OURS, REMARKS, show
from training.cluster_comparison import (
    compare_known,
    compare_minorities,
    compare_planted_copies,
    compare_topics,
    compare_written_copies,
    margins,
    spread,
)
from training.consultation import KnownComment, corpus_comments, read_consultation, read_known, texts_of
from training.embedding import Kept
from training.planting import LEAST_WORDS, edited, plant_copies, plant_minorities, varied
from training.time_plot import plot
from training.topic_methods import (
    Grouping,
    character_vectors,
    kmeans,
    kmeans_by_silhouette,
    label_words,
    ours,
    word_vectors,
)

SUBJECTS = {
    "water": "الماء المقطوع الخزان الحنفية الصهريج العطش المواسير الضغط",
    "roads": "الطريق الحفر الشارع السيارة الأسفلت الرصيف الإشارة المطبات",
    "school": "المدرسة المعلم الفصل التلاميذ المنهج الكتب الدروس الامتحان",
}


def made(per_subject: int, seed: int = 0) -> tuple[list[KnownComment], np.ndarray]:
    """Comments of words of their subject, and embeddings about a centre of its own."""
    random, noise = Random(seed), np.random.default_rng(seed)
    comments, rows = [], []
    for number, (subject, words) in enumerate(SUBJECTS.items()):
        for place in range(per_subject):
            said = " ".join(random.sample(words.split(), 4))
            comments.append(KnownComment(f"{subject}-{place}", said, subject, subject))
            rows.append(np.eye(3, 8)[number] + noise.normal(0, 0.1, 8))
    return comments, np.array(rows, np.float32)


def test_the_shipped_consultation_is_whole_and_names_nobody() -> None:
    known = read_consultation()
    assert len(known.comments) >= 600
    assert len({comment.subtopic for comment in known.comments}) == 25
    assert len({comment.minority for comment in known.minorities}) == 5
    sizes = [
        len([one for one in known.campaigns if one.campaign == name])
        for name in {c.campaign for c in known.campaigns}
        if name
    ]
    assert sizes == [15] * 8
    # Two words that look like names, as the folder's README tells.
    found = {
        comment.id
        for comment in (*known.comments, *known.minorities, *known.campaigns)
        if find_personal_data(comment.text)
    }
    assert found <= {"k101", "k581"}


def test_nothing_of_the_consultation_stands_in_the_corpus() -> None:
    known = read_consultation()
    assert not set(corpus_comments()) & set(texts_of((*known.comments, *known.minorities, *known.campaigns)))


def test_a_faulty_consultation_is_refused_with_file_and_line(tmp_path: Path) -> None:
    titles = {"topics": [{"slug": "t", "subtopics": [{"slug": "s"}]}], "campaign_only": [], "minorities": []}
    (tmp_path / "topics.json").write_text(json.dumps(titles))
    good = json.dumps({"id": "a", "text": "ماء", "topic": "t", "subtopic": "s"})
    bad = json.dumps({"id": "b", "text": "ماء", "topic": "t", "subtopic": "other"})
    (tmp_path / "comments.jsonl").write_text(good + "\n" + good + "\n" + bad + "\n")
    with pytest.raises(ReadingError, match=re.escape("minorities.jsonl is missing")):
        read_consultation(tmp_path)
    for name in ("minorities", "campaigns"):
        (tmp_path / f"{name}.jsonl").write_text("")
    with pytest.raises(CorpusError) as caught:
        read_consultation(tmp_path)
    assert len(caught.value.faults) == 2
    assert "comments.jsonl:2" in caught.value.faults[0]
    assert "comments.jsonl:3" in caught.value.faults[1]
    (tmp_path / "broken.jsonl").write_text('{"text": "ماء"}\n{"text"\n')
    with pytest.raises(CorpusError, match=r"broken.jsonl:2"):
        read_known(tmp_path / "broken.jsonl")


@pytest.mark.parametrize("seed", range(5))
def test_a_fifth_of_the_words_is_changed_and_the_seed_says_which(seed: int) -> None:
    text = " ".join(f"كلمة{number}" for number in range(20))
    changed = edited(text, 0.2, ["أخرى"], Random(seed))
    kept = [word for word in changed.split() if word != "أخرى"]
    assert 16 <= len(kept) <= 20
    assert changed != text
    assert changed == edited(text, 0.2, ["أخرى"], Random(seed))
    assert edited("وحيدة", 0.2, ["أخرى"], Random(seed)) != "وحيدة"


def test_planted_copies_are_what_they_are_said_to_be() -> None:
    texts = [comment.text + f" في الحي {number} منذ شهر كامل" for number, comment in enumerate(made(10)[0])]
    planted = plant_copies(texts, 4, 0.2, seed=1)
    assert planted == plant_copies(texts, 4, 0.2, seed=1) != plant_copies(texts, 4, 0.2, seed=2)
    assert len(planted.texts) == len(texts) + 4 * 9
    for name in {one for one in planted.campaign if one}:
        copies = [place for place, campaign in enumerate(planted.campaign) if campaign == name]
        equal = {planted.texts[place] for place in copies if not planted.edited[place]}
        assert len(copies) == 10
        assert len(equal) == 1
        assert len(equal.pop().split()) >= LEAST_WORDS
        assert sum(planted.edited[place] for place in copies) == 5


def test_minorities_are_planted_whole_in_the_number_of_comments_asked_for() -> None:
    few = [KnownComment(f"m{place}", f"نحل {place}", "minority", "bees", minority="bees") for place in range(5)]
    planted = plant_minorities(few, ["أ", "ب"], [str(number) for number in range(100)], 50, seed=0)
    assert len(planted) == 50
    assert sum(comment.minority == "bees" for comment in planted) == 5
    assert {"أ", "ب"} <= set(texts_of(planted))
    assert texts_of(planted) != texts_of(plant_minorities(few, ["أ", "ب"], [str(n) for n in range(100)], 50, seed=1))


def test_varied_comments_are_as_many_as_asked_for_and_no_copies() -> None:
    texts = corpus_comments()[:300]
    found = varied(texts, 400, seed=0)
    assert len(found) == 400 == len(set(found))
    assert found == varied(texts, 400, seed=0)
    first = found[0].split()
    assert max(common_words(first, other.split()) for other in found[1:]) < 0.6


def test_the_comparison_gives_every_method_on_every_level_and_finds_clear_topics() -> None:
    comments, embeddings = made(30)
    methods = {
        OURS: ours(embeddings),
        "told": kmeans(word_vectors, {"topic": 3, "subtopic": 3}),
        "alone": kmeans_by_silhouette(character_vectors, 6),
        "blind": lambda texts, seed: Grouping(
            dict.fromkeys(("topic", "subtopic"), np.full(len(texts), -1, np.int64)), {}
        ),
    }
    found = compare_topics(comments, methods, dict.fromkeys(methods, embeddings), [0, 1])
    rows = {(row["method"], row["level"], row["outside"]): row for row in found["matches"]}
    assert rows[OURS, "topic", "nearest group"]["mutual_information"]["mean"] > 0.95
    assert {key[2] for key in rows if key[0] == "told"} == {"none"}
    assert rows["told", "topic", "none"]["adjusted_rand"]["mean"] > 0.8
    assert rows["blind", "topic", "one group"]["mutual_information"]["mean"] == 0
    assert rows["blind", "topic", "one group"]["share_outside"]["mean"] == 1
    assert {row["method"] for row in found["labels"]} == {OURS}
    assert all(row["stop_words"]["high"] == 0 for row in found["labels"])
    known = compare_known(comments, {OURS: methods[OURS]}, [0])
    assert known[0]["adjusted_rand"]["mean"] > 0.9


def test_a_margin_is_counted_against_oneself() -> None:
    def row(method: str, way: str, score: float) -> dict[str, object]:
        return {"method": method, "level": "subtopic", "outside": way, "mutual_information": spread([score])}

    rows = [
        row("a", "one group", 0.6),
        row("a", "nearest group", 0.65),
        row("b", "one group", 0.4),
        row("b", "nearest group", 0.5),
    ]
    assert margins(rows, "a", "mutual_information") == {"b": pytest.approx(0.1)}
    assert margins(rows, "b", "mutual_information") == {"a": pytest.approx(-0.25)}


def test_copies_are_found_and_comments_of_the_same_demand_are_not_called_copies() -> None:
    text = "نطالب بإعادة الخط الذي ألغي دون استشارتنا فقد كان يربط الحي بالمستشفى والجامعة"
    campaigns = [
        KnownComment("a", text, "t", "s", "line"),
        KnownComment("b", text + "!!", "t", "s", "line"),
        KnownComment("c", text.replace("الحي", "حينا"), "t", "s", "line"),
        KnownComment("d", "رجعوا الأوتوبيس بتاع الحي للمستشفى يا جماعة حرام عليكم كده", "t", "s"),
    ]
    found = compare_written_copies(campaigns, made(5)[0])
    assert (found["precision"], found["recall"], found["true"]) == (1, 1, 3)
    planted = compare_planted_copies(plant_copies(corpus_comments()[:200], 10, 0.2, seed=0))
    assert planted["recall_exact"] == 1
    assert planted["true"] == 10 * 45
    assert 0 <= planted["recall_edited"] <= 1


def test_small_groups_that_are_listed_come_out_by_name() -> None:
    comments, embeddings = made(60)
    # Each comment needs words of its own, or it would be a copy of another.
    comments = [
        KnownComment(one.id, f"{one.text} رقم{place} عدد{place * 7}", "", "") for place, one in enumerate(comments)
    ]
    few = [
        KnownComment(f"m{place}", f"النحل المناحل المبيدات الخلايا ملكة{place} عسل{place * 3}", "", "", minority="bees")
        for place in range(6)
    ]
    apart = np.eye(1, 8, 7) + np.random.default_rng(0).normal(0, 0.02, (6, 8))
    found = compare_minorities([*comments, *few], np.vstack([embeddings, apart]).astype(np.float32), seed=0)
    assert (found["planted"], found["surfaced"], found["missed"]) == (1, 1, [])


def test_words_of_a_label_are_folded_and_counted_once() -> None:
    assert label_words(["إعادة الخط", "الخط الملغى"]) == label_words(["اعادة الخط", "الخط الملغى"])
    assert len(label_words(["إعادة الخط", "الخط الملغى"])) == 3
    assert len(label_words([f"كلمة{chr(0x628 + place)}" for place in range(20)])) == 8


def test_embeddings_are_kept_for_the_same_texts_alone(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def embed(texts: list[str]) -> np.ndarray:
        asked.append(list(texts))
        return np.array([[len(text)] for text in texts], np.float32)

    kept = Kept("model", embed, tmp_path)
    assert kept(["bb", "a", "bb"]).ravel().tolist() == [2, 1, 2]
    assert kept(["a", "bb"]).ravel().tolist() == [1, 2]
    assert asked == [["a", "bb"]]
    kept(["a", "ccc"])
    Kept("other", embed, tmp_path)(["a", "bb"])
    assert len(asked) == 3
    assert Kept("model", embed)(["bb", "a"]).ravel().tolist() == [2, 1]


def test_the_plot_holds_every_point_at_its_place() -> None:
    drawn = plot([1000, 10_000], {"embedding": [2.0, 20.0], "clustering": [1.0, 3.0]}, "Time")
    root = ElementTree.fromstring(drawn)
    circles = root.findall("{*}circle")
    assert len(circles) == 4
    places = [(float(one.get("cx", "")), float(one.get("cy", ""))) for one in circles]
    assert places[0][0] == places[2][0] < places[1][0]
    # Longer stands higher.
    assert places[1][1] < places[3][1] < places[2][1]
    assert "10,000" in drawn


def test_figures_are_printed_with_their_spread(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "method": OURS,
        "crowd": "a crowd",
        "surfaced": 4,
        "seed": 1,
        "listed": 9,
        "share_outside": 0.1,
        "missed": ["bees"],
    }
    show("minorities", [row])
    shown = capsys.readouterr().out
    assert "4 of the planted groups, 9 listed, in none 10%, missed bees" in shown
    figures = {"precision": 1.0, "recall": 0.5, "true": 4}
    planted = {name: spread([0.9, 1.0]) for name in ("precision", "recall", "recall_exact", "recall_edited", "true")}
    show("campaigns", {"written": figures, "planted": planted})
    assert "0.950 (0.900 to 1.000)" in capsys.readouterr().out


def test_without_peers_the_command_says_so_and_measures_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import cluster_benchmark

    monkeypatch.setattr(cluster_benchmark, "installed", lambda *packages: False)
    done = CliRunner().invoke(cluster_benchmark.main, ["--part", "campaigns", "--seeds", "1", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "BERTopic is left out" in done.output
    assert REMARKS[0] in done.output
    written = json.loads((tmp_path / "clusters.json").read_text())
    assert written["campaigns"]["written"]["recall"] >= 0.95
    assert set(written) == {"model", "seeds", "machine", "remarks", "campaigns"}
