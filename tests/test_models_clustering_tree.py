"""The tree of topics: what a moderator sees of it, and that it is the same every time."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from clustering_comments import DIMENSIONS, authored, embedding
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from models.clustering.clusterer import Clusterer
from models.clustering.neighbours import nearest
from models.clustering.options import STEPS, ClusterOptions
from models.clustering.reading import read_words
from models.clustering.records import OTHER, Clustering, Comment, Preset
from models.clustering.views import fit_views
from nlp.errors import ClusteringError
from nlp.records import Classification, Tag
from nlp.taxonomy import Taxonomy

_QUICK = ClusterOptions(bootstrap=2)


@pytest.fixture(scope="module")
def tree() -> Clustering:
    comments, rows, _, _ = authored()
    return Clusterer(ClusterOptions(bootstrap=3)).cluster(comments, rows)


def _noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIMENSIONS)).astype(np.float32)


def test_topics_are_the_subjects_without_a_number_given(tree: Clustering) -> None:
    _, _, subjects, parts = authored()
    assert len(tree.topics) == 3
    assert adjusted_rand_score(subjects, [one.topic for one in tree.comments]) > 0.9
    assert normalized_mutual_info_score(parts, [one.subtopic or one.topic for one in tree.comments]) > 0.7
    assert tree.other.share <= 0.15
    assert all(topic.subtopics for topic in tree.topics)


def test_every_comment_has_one_place_and_all_counts_agree(tree: Clustering) -> None:
    assert [one.id for one in tree.comments] == [comment.id for comment in authored()[0]]
    counted = Counter(one.topic for one in tree.comments)
    assert {topic.id: topic.size.voices for topic in (*tree.topics, tree.other) if topic.size.voices} == counted
    assert sum(topic.size.voices for topic in (*tree.topics, tree.other)) == tree.size.voices == 300
    for topic in tree.topics:
        assert sum(inner.size.voices for inner in topic.subtopics) == topic.size.voices
        assert sum(inner.size.arguments for inner in topic.subtopics) == topic.size.arguments


def test_labels_are_words_that_people_wrote(tree: Clustering) -> None:
    text = " ".join(comment.text for comment in authored()[0])
    for topic in tree.walk():
        assert topic.title
        assert all(phrase.text in text for phrase in topic.phrases)
    said = [" ".join(phrase.text for phrase in topic.phrases) for topic in tree.topics]
    assert sum("ماء" in words or "مياه" in words for words in said) == 1
    assert sum("الباص" in words or "الحافل" in words for words in said) == 1
    assert not any("والله" in words or "عندنا" in words for words in said)


def test_quotes_are_comments_of_their_topic_and_differ(tree: Clustering) -> None:
    for topic in tree.topics:
        assert topic.quotes[0].kind == "medoid"
        assert len({quote.text for quote in topic.quotes}) == len(topic.quotes) == 5
        for quote in topic.quotes:
            assert tree.by_id[quote.comment].topic == topic.id


def test_the_tree_is_plain_json_and_comes_back_equal(tree: Clustering) -> None:
    data = json.loads(json.dumps(tree.to_dict(), ensure_ascii=False))
    assert Clustering.from_dict(data) == tree
    assert tree.to_dict(state=False)["state"] == {}


@pytest.mark.parametrize("fault", [{"format": 99}, {"topics": 3}, {"unheard": 1}])
def test_a_tree_of_another_kind_is_refused(tree: Clustering, fault: dict[str, object]) -> None:
    with pytest.raises(ClusteringError, match="expected"):
        Clustering.from_dict({**tree.to_dict(), **fault})


def test_same_seed_same_bytes_in_any_order() -> None:
    comments, rows, _, _ = authored()
    comments, rows = comments[::3], rows[::3]
    first = Clusterer(_QUICK).cluster(comments, rows)
    assert json.dumps(first.to_dict()) == json.dumps(Clusterer(_QUICK).cluster(comments, rows).to_dict())
    order = np.random.default_rng(1).permutation(len(comments))
    shuffled = Clusterer(_QUICK).cluster([comments[place] for place in order], rows[order])
    assert shuffled.topics == first.topics
    assert shuffled.minorities == first.minorities
    assert {one.id: one for one in shuffled.comments} == {one.id: one for one in first.comments}


def test_a_number_of_topics_is_kept() -> None:
    comments, rows, _, _ = authored()
    tree = Clusterer(ClusterOptions(topics=2, subtopics=0, bootstrap=0)).cluster(comments[::2], rows[::2])
    assert len(tree.topics) == 2
    assert not any(topic.subtopics for topic in tree.topics)
    assert "unmeasured" in {note.code for note in tree.notes}


def test_a_campaign_counts_as_one_argument_and_does_not_pull_the_tree(tree: Clustering) -> None:
    comments, rows, _, _ = authored()
    text = "نحن أهالي حي النخيل نطالب بإعادة الخط الذي ألغي دون استشارتنا لأنه كان يربط الحي بالجامعة"
    copy = np.repeat(embedding(np.random.default_rng(5), 2, 7)[None], 1000, axis=0)
    flooded = Clusterer(_QUICK).cluster(
        [*comments, *(Comment(f"c{number}", text) for number in range(1000))], np.vstack([rows, copy])
    )
    assert flooded.size.voices == 1300
    assert flooded.size.arguments == tree.size.arguments + 1
    (campaign,) = flooded.campaigns
    assert (campaign.kind, campaign.size.voices, campaign.size.arguments) == ("exact", 1000, 1)
    assert len(flooded.topics) == len(tree.topics)
    held = flooded.topic(campaign.topic)
    assert held.size.voices - held.size.arguments == 999
    assert held.campaigns == (campaign.id,)


def test_small_far_groups_are_listed() -> None:
    comments, rows, _, _ = authored()
    bees = (
        "رش المبيدات قتل النحل في المناحل",
        "النحل مات بعد المبيدات وضاع العسل",
        "نحن مربي النحل خسرنا العسل بسبب المبيدات",
        "أخبروا أصحاب المناحل قبل رش المبيدات على الزهر",
        "عسل السنة راح والنحل مسموم بالمبيدات",
        "من يعوض النحال عن المناحل التي ماتت",
    )
    random = np.random.default_rng(3)
    far = []
    for _ in bees:
        row = embedding(random, 20, 21)
        far.append(row)
    tree = Clusterer(_QUICK).cluster(
        [*comments, *(Comment(f"b{number}", text) for number, text in enumerate(bees))], np.vstack([rows, far])
    )
    found = [one for one in tree.minorities if {f"b{number}" for number in range(6)} == set(one.comments)]
    assert len(found) == 1
    assert "النحل" in found[0].title or "المبيدات" in found[0].title or "المناحل" in found[0].title
    assert tree.by_id["b0"].minority == found[0].id


def test_small_groups_of_rare_words_are_listed_where_embeddings_do_not_know_them() -> None:
    comments, rows, _, _ = authored()
    said = (
        "سوسة النخيل أكلت نصف المزرعة",
        "نخلنا يموت من السوسة ولا مرشد يزورنا",
        "نريد حقن النخيل ضد السوسة بالمجان",
        "السوسة وصلت الواحة ونخلة جدي سقطت",
        "مصايد السوسة فارغة والنخيل ينخر",
    )
    random = np.random.default_rng(4)
    scattered = np.stack([embedding(random, number % 3, 3 + number) for number in range(len(said))])
    tree = Clusterer(_QUICK).cluster(
        [*comments, *(Comment(f"p{number}", text) for number, text in enumerate(said))], np.vstack([rows, scattered])
    )
    held = [{name for name in one.comments if name.startswith("p")} for one in tree.minorities]
    assert max(map(len, held), default=0) >= 4


def test_a_part_of_a_topic_does_not_repeat_its_title(tree: Clustering) -> None:
    for topic in tree.topics:
        assert topic.title not in {part.title for part in topic.subtopics}


def test_tags_give_profiles_themes_and_given_topics(taxonomy: Taxonomy) -> None:
    comments, rows, subjects, _ = authored()
    goals = {"water": "6", "school": "4", "bus": "11"}
    tagged = [
        Classification(comment.id, {"goals": (Tag(goals[subject], 0.9),)}, False)
        for comment, subject in zip(comments, subjects, strict=True)
    ]
    presets = (Preset("clean", "المياه", labels=("goals/6",)), Preset("bag", "الحقيبة", words=("حقائب الكتب", "حقيبة")))
    tree = Clusterer(ClusterOptions(bootstrap=0, presets=presets)).cluster(comments, rows, tagged, taxonomy)
    water = next(topic for topic in tree.topics if topic.theme == "goals/6")
    assert water.profile["goals"][0].share > 0.9
    assert water.profile["goals"][0].lift > 2
    assert water.title.startswith(taxonomy.level("goals").labels[5].title["ar"])
    given, bag = tree.presets
    assert given.size.voices == 100
    assert given.topics[water.id] > 90
    assert bag.size.voices == sum("حقيبة" in comment.text for comment in comments)
    assert "untagged" not in {note.code for note in tree.notes}


def test_comments_are_seen_alike_whether_they_made_the_views_or_join_later() -> None:
    comments, rows, _, _ = authored()
    words = read_words([comment.text for comment in comments])
    views, vectors = fit_views(rows, words, 0)
    assert np.abs(vectors - views(rows, words)).max() < 1e-5


@pytest.mark.parametrize(
    ("phrase", "held", "other"),
    [
        ("5G", "نريد شبكة 5g في القرية", "أبراج 4g لا تكفي أحدا"),
        ("covid19", "إغلاق بسبب Covid19 من جديد", "مرض covid أرهق المستشفى"),
        ("2030", "خطة ٢٠٣٠ بعيدة عنا", "منذ ٢٠٢٠ ننتظر الطريق"),
        ("رؤية 2030", "هذه رؤية 2030 التي وعدتم بها", "هذه رؤية ضيقة جدا"),
        ("لماذا", "لماذا لا أحد يرد", "هذا لأن لا أحد يرد"),
        ("مياه في القرية", "كانت المياه بالقرية عذبة", "المياه مقطوعة عن أهل القرية"),
    ],
)
def test_words_of_given_topics_hold_numbers_and_stop_words(phrase: str, held: str, other: str) -> None:
    presets = (Preset("p", "موضوع", words=(phrase,)),)
    comments = [Comment("held", held), Comment("other", other)]
    tree = Clusterer(ClusterOptions(bootstrap=0, presets=presets)).cluster(comments, _noise(2))
    assert [one.presets for one in tree.comments] == [("p",), ()]


@pytest.mark.parametrize(
    ("label", "expected"),
    [("goal/6", "a level of goals, targets"), ("goals/18", "one of goals/1, goals/2"), ("water", "level/id")],
)
def test_a_label_that_is_not_in_the_taxonomy_gives_no_topic(label: str, expected: str, taxonomy: Taxonomy) -> None:
    presets = (Preset("clean", "المياه", labels=("goals/6", label)),)
    with pytest.raises(ClusteringError, match=f"'clean' names the label '{label}'; expected .*{expected}"):
        Clusterer(ClusterOptions(presets=presets)).cluster([Comment("a", "ماء")], _noise(1), taxonomy=taxonomy)


def test_nearest_vectors_are_found_in_blocks() -> None:
    rows, vectors = _noise(5000, 1), _noise(1000, 2)
    tracemalloc.start()
    places, cosines = nearest(rows, vectors, 12)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # All cosines at once are 20 MB, and their order 40 more.
    assert peak < 40e6
    for row in (0, 1023, 1024, 4999):
        best = np.argsort(-(vectors @ rows[row]), kind="stable")[:12]
        assert places[row].tolist() == best.tolist()
        assert np.allclose(cosines[row], vectors[best] @ rows[row], atol=1e-4)


def test_steps_are_told_in_order_and_a_caller_may_stop() -> None:
    comments, rows, _, _ = authored()
    told: list[str] = []
    Clusterer(ClusterOptions(bootstrap=0)).cluster(
        comments[::9], rows[::9], progress=lambda step, behind: told.append(step)
    )
    assert tuple(told) == STEPS

    def stop(step: str, behind: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Clusterer().cluster(comments[::9], rows[::9], progress=stop)


def test_one_comment_is_one_topic_with_a_warning() -> None:
    tree = Clusterer().cluster([Comment("a", "نطالب بإصلاح الطريق الرئيسي")], _noise(1))
    assert [topic.size.voices for topic in tree.topics] == [1]
    assert {"small_sample", "one_topic"} <= {note.code for note in tree.notes}


def test_identical_comments_are_one_argument() -> None:
    tree = Clusterer().cluster(
        [Comment(str(number), "نطالب بإصلاح الطريق") for number in range(300)], np.repeat(_noise(1), 300, axis=0)
    )
    assert (tree.size.voices, tree.size.arguments) == (300, 1)
    assert tree.campaigns[0].size.voices == 300


def test_fifty_thousand_copies_and_one_more() -> None:
    texts = ["نطالب بإصلاح الطريق الرئيسي"] * 50_000 + ["نريد مدرسة جديدة للبنات"]
    rows = np.vstack([np.repeat(_noise(1), 50_000, axis=0), _noise(1, 2)])
    tree = Clusterer().cluster([Comment(str(number), text) for number, text in enumerate(texts)], rows)
    assert (tree.size.voices, tree.size.arguments) == (50_001, 2)
    quotes = [quote.text for topic in tree.walk() for quote in topic.quotes]
    assert "نريد مدرسة جديدة للبنات" in quotes


@pytest.mark.parametrize("texts", [["", "  ", "\n"], ["👍", "😂😂", "!!"], ["...", "؟!"]])
def test_without_any_word_nothing_can_be_grouped(texts: list[str]) -> None:
    with pytest.raises(ClusteringError, match="has words"):
        Clusterer().cluster([Comment(str(number), text) for number, text in enumerate(texts)], _noise(len(texts)))


def test_wordless_and_strange_comments_have_a_place() -> None:
    comments, rows, _, _ = authored()
    strange = ["", "👍👍", "The water is cut every day in our street", "L'eau est coupée", "ماء " * 25_000, "\u200f"]
    tree = Clusterer(_QUICK).cluster(
        [*comments[::4], *(Comment(f"s{number}", text) for number, text in enumerate(strange))],
        np.vstack([rows[::4], np.zeros((2, DIMENSIONS)), _noise(3), np.zeros((1, DIMENSIONS))]),
    )
    assert len(tree.comments) == len(comments[::4]) + 6
    for name in ("s0", "s1", "s5"):
        assert (tree.by_id[name].topic, tree.by_id[name].wordless) == (OTHER, True)
    assert tree.wordless == 3
    assert {"wordless", "truncated"} <= {note.code for note in tree.notes}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda comments, rows: (comments[:0], rows[:0]),
        lambda comments, rows: (comments, rows[:-1]),
        lambda comments, rows: (comments, rows[:, 0]),
        lambda comments, rows: ([*comments[:-1], comments[0]], rows),
        lambda comments, rows: (comments, rows * np.nan),
    ],
    ids=["none", "rows", "flat", "ids", "nan"],
)
def test_what_does_not_fit_is_refused(
    spoil: Callable[[list[Comment], np.ndarray], tuple[list[Comment], np.ndarray]],
) -> None:
    comments, rows, _, _ = authored()
    with pytest.raises(ClusteringError, match="expected"):
        Clusterer().cluster(*spoil(comments[:20], rows[:20]))


@pytest.mark.parametrize("name", ["topics", "subtopics", "least_comments", "quotes", "phrases", "bootstrap"])
def test_options_have_limits(name: str) -> None:
    with pytest.raises(ClusteringError, match=name):
        ClusterOptions(**{name: -1})
