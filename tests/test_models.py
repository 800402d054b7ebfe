from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import word_tagger
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import Calibration, Kinship, Logits, Thresholds, Weights
from models.encoder import EncodedWindow
from models.evidence import choose_evidence, leave_out
from models.heads import AttentionHead, join_heads, probabilities
from models.lexicon import Lexicon, character_grams
from models.relatives import relatives
from models.stub import empty_lexicon
from models.tagger import Options, Tagger
from nlp.errors import BundleError, EmptyTextError, InvalidTextError, TaxonomyError, TextTooLongError
from nlp.normalise import find_recipe
from nlp.records import Classification, Document, Failure, Span
from nlp.sentences import split_sentences
from nlp.taxonomy import Taxonomy, parse_taxonomy


def _random_logits(taxonomy: Taxonomy, seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {level.name: generator.normal(0, 6, (5, len(level.labels))).astype(np.float32) for level in taxonomy.levels}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), weight=st.floats(0.2, 5))
def test_a_target_never_outscores_its_goal_whatever_the_calibration(
    taxonomy: Taxonomy, seed: int, weight: float
) -> None:
    weights = {level.name: Weights(weight, 1 / weight, weight - 2) for level in taxonomy.levels}
    kinship = {level.name: Kinship(1, 0.5, 0.25, -0.25, weight - 2, 1) for level in taxonomy.levels}
    calibration = Calibration(weights | {"goals": Weights(1, 0, 0)}, kinship=kinship)
    logits = Logits(_random_logits(taxonomy, seed), _random_logits(taxonomy, seed + 1))
    scores = probabilities(taxonomy, calibration(taxonomy, logits))
    parents = scores["goals"][:, list(taxonomy.level("targets").parent_index)]
    assert (scores["targets"] <= parents).all()
    assert all(((values >= 0) & (values <= 1)).all() for values in scores.values())


def test_a_goal_is_raised_by_its_likeliest_target_and_lowered_by_a_stronger_goal(taxonomy: Taxonomy) -> None:
    goals, targets = taxonomy.level("goals").index, taxonomy.level("targets").index
    shapes = {level.name: (3, len(level.labels)) for level in taxonomy.levels}
    logits = {name: np.full(shape, -5, np.float32) for name, shape in shapes.items()}
    logits["goals"][:, goals["6"]] = 1
    logits["targets"][1, targets["6.1"]] = 2
    logits["goals"][2, goals["4"]] = 3
    nothing = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    kinship = {level.name: Kinship() for level in taxonomy.levels} | {"goals": Kinship(own=1, child=0.5, sibling=-0.1)}
    calibration = Calibration({level.name: Weights(1, 0, 0) for level in taxonomy.levels}, kinship=kinship)
    found = calibration(taxonomy, Logits(logits, nothing))
    np.testing.assert_allclose(found["goals"][:, goals["6"]], [1 - 2.5 + 0.5, 1 + 1 + 0.5, 1 - 2.5 - 0.3], rtol=1e-6)
    np.testing.assert_allclose(found["goals"][2, goals["4"]], 3 - 2.5 - 0.1, rtol=1e-6)
    np.testing.assert_array_equal(found["targets"], logits["targets"])


def test_relatives_stand_where_the_hierarchy_has_them(taxonomy: Taxonomy) -> None:
    goals, targets = taxonomy.level("goals").index, taxonomy.level("targets").index
    logits = _random_logits(taxonomy, 3)
    found = relatives(taxonomy, logits)
    assert set(found["goals"]) == {"sibling", "child"}
    assert set(found["targets"]) == {"sibling", "parent", "parent_sibling"}
    assert set(found) == {"goals", "targets"}
    of_six = [logits["targets"][:, place] for label, place in targets.items() if label.startswith("6.")]
    np.testing.assert_array_equal(found["goals"]["child"][:, goals["6"]], np.max(of_six, axis=0))
    others = [logits["goals"][:, place] for label, place in goals.items() if label != "6"]
    np.testing.assert_array_equal(found["goals"]["sibling"][:, goals["6"]], np.max(others, axis=0))
    beside = [
        logits["targets"][:, place] for label, place in targets.items() if label.startswith("6.") and label != "6.1"
    ]
    np.testing.assert_array_equal(found["targets"]["sibling"][:, targets["6.1"]], np.max(beside, axis=0))
    np.testing.assert_array_equal(found["targets"]["parent"][:, targets["6.1"]], logits["goals"][:, goals["6"]])
    np.testing.assert_array_equal(
        found["targets"]["parent_sibling"][:, targets["6.1"]], found["goals"]["sibling"][:, goals["6"]]
    )


def test_a_label_without_relatives_has_itself() -> None:
    below = {"id": "a.1", "title": {"ar": "أ"}, "definition": {"ar": ""}}
    labels = [
        {"id": "a", "title": {"ar": "أ"}, "definition": {"ar": ""}, "children": [below]},
        {"id": "b", "title": {"ar": "ب"}, "definition": {"ar": ""}, "children": []},
    ]
    axis = {"id": "one", "kind": "hierarchy", "title": {"ar": ""}, "levels": ["above", "below"], "labels": labels}
    lone = parse_taxonomy({"version": 1, "axes": [axis]})
    logits = {"above": np.array([[0.5, -2.0]], np.float32), "below": np.array([[3.0]], np.float32)}
    found = relatives(lone, logits)
    np.testing.assert_array_equal(found["above"]["child"], [[3.0, -2.0]])
    np.testing.assert_array_equal(found["above"]["sibling"], [[-2.0, 0.5]])
    np.testing.assert_array_equal(found["below"]["sibling"], [[3.0]])
    np.testing.assert_array_equal(found["below"]["parent_sibling"], [[-2.0]])


def test_a_window_alone_speaks_for_its_text_and_several_that_agree_say_a_little_more() -> None:
    windows = [np.array([[2.0, -3.0]], np.float32), np.array([[2.0, -6.0]], np.float32)]
    weights = {"goals": Weights(1, 0, 0)}
    np.testing.assert_array_equal(Calibration(weights, 0.5).pool(windows[:1]), windows[0][0])
    np.testing.assert_allclose(Calibration(weights, 0.5).pool(windows), [2 + 0.5 * np.log(2), -3], atol=2e-3)
    np.testing.assert_array_equal(Calibration(weights).pool(windows), [2.0, -3.0])
    far = Calibration(weights, 0.5).pool([np.array([[-900.0, 900.0]], np.float32)] * 3)
    np.testing.assert_allclose(far, [-900, 900], atol=1)


def test_a_calibration_survives_its_data_form_and_one_of_an_older_bundle_takes_the_maximum() -> None:
    calibration = Calibration({"goals": Weights(0.5, 0.25, -1.0)}, 0.5, {"goals": Kinship(child=0.5, bias=0.25)})
    assert Calibration.from_dict(calibration.to_dict()) == calibration
    older = Calibration.from_dict({"goals": {"encoder": 0.5, "lexicon": 0.25, "bias": -1.0}})
    assert older == Calibration({"goals": Weights(0.5, 0.25, -1.0)}, 0.0)


def test_a_text_of_several_windows_is_pooled_as_its_calibration_says_and_one_without_a_token_gets_nothing(
    taxonomy: Taxonomy,
) -> None:
    tagger = word_tagger(taxonomy, {"مياه": {"goals": ["6"]}}, window=3)
    soft = replace(tagger, calibration=replace(tagger.calibration, window_temperature=0.5))
    texts = ["مياه هنا.", "مياه هنا. مياه هنا.", ""]
    hard, pooled = (one.scores(texts)["goals"][:, taxonomy.level("goals").index["6"]] for one in (tagger, soft))
    assert hard[0] == hard[1] == pooled[0] < pooled[1]
    assert hard[2] == pooled[2] == 0


def test_a_child_is_given_only_with_its_parent(taxonomy: Taxonomy) -> None:
    low = {level.name: np.full(len(level.labels), 0.1, np.float32) for level in taxonomy.levels}
    thresholds = Thresholds({**low, "goals": np.full(17, 0.9, np.float32)}, "goals", 0.5)
    scores = probabilities(taxonomy, _random_logits(taxonomy, 1))
    given = thresholds.decide(taxonomy, scores)
    assert given["targets"].any()
    assert (given["targets"] <= given["goals"][:, list(taxonomy.level("targets").parent_index)]).all()


def test_thresholds_survive_their_data_form(taxonomy: Taxonomy) -> None:
    generator = np.random.default_rng(0)
    by_level = {
        level.name: generator.uniform(0.1, 0.9, len(level.labels)).astype(np.float32).round(4)
        for level in taxonomy.levels
    }
    thresholds = Thresholds(by_level, "goals", 0.25)
    again = Thresholds.from_dict(taxonomy, thresholds.to_dict(taxonomy))
    assert again.review_confidence == 0.25
    for name, values in by_level.items():
        np.testing.assert_allclose(again.by_level[name], values, atol=1e-4)


def test_review_is_asked_for_where_a_given_or_a_missing_goal_is_doubtful(taxonomy: Taxonomy) -> None:
    thresholds = Thresholds(
        {level.name: np.full(len(level.labels), 0.5, np.float32) for level in taxonomy.levels}, "goals", 0.8
    )
    scores = {level.name: np.full((4, len(level.labels)), 0.01, np.float32) for level in taxonomy.levels}
    scores["goals"][1, 3] = 0.55
    scores["goals"][2, 3] = 0.95
    scores["goals"][3, 3] = 0.45
    assert list(thresholds.confidence(taxonomy, scores) < thresholds.review_confidence) == [False, True, False, True]


def test_a_goal_is_surer_where_a_target_of_it_is_likely_and_two_goals_are_less_sure_than_one(
    taxonomy: Taxonomy,
) -> None:
    halves = {level.name: np.full(len(level.labels), 0.5, np.float32) for level in taxonomy.levels}
    thresholds = Thresholds(halves, "goals", 0.8, "supported")
    goals, targets = taxonomy.level("goals").index, taxonomy.level("targets").index
    scores = {level.name: np.zeros((5, len(level.labels)), np.float32) for level in taxonomy.levels}
    scores["goals"][:4, goals["6"]] = 0.9
    scores["targets"][[0, 2], targets["6.1"]] = 0.81
    scores["targets"][1, targets["6.2"]] = 0.09
    scores["targets"][3, targets["4.1"]] = 0.81
    scores["goals"][2, goals["4"]] = 0.8
    scores["targets"][2, targets["4.1"]] = 0.64
    scores["goals"][4, goals["6"]] = 0.3
    np.testing.assert_allclose(
        thresholds.confidence(taxonomy, scores), [0.9 * 0.9, 0.9 * 0.3, 0.72 * 0.8, 0.0, 0.7], rtol=1e-5
    )


def test_thresholds_of_an_older_bundle_keep_their_measure_and_an_unknown_one_is_refused(taxonomy: Taxonomy) -> None:
    halves = {level.name: np.full(len(level.labels), 0.5, np.float32) for level in taxonomy.levels}
    data = Thresholds(halves, "goals", 0.8, "supported").to_dict(taxonomy)
    assert Thresholds.from_dict(taxonomy, data).review_measure == "supported"
    del data["review"]["measure"]
    assert Thresholds.from_dict(taxonomy, data).review_measure == "lowest"
    data["review"]["measure"] = "highest"
    with pytest.raises(BundleError, match="'highest'; expected one of supported, lowest"):
        Thresholds.from_dict(taxonomy, data)


def test_tags_pass_their_thresholds_and_obey_the_options(stub: Tagger) -> None:
    documents = [Document(str(i), f"منصة إلكترونية لخدمات البلدية رقم {i} وتطبيق للمواطنين") for i in range(20)]
    everything = stub.classify(documents, Options(all_scores=True))
    assert any(tags for result in everything if isinstance(result, Classification) for tags in result.tags.values())
    for result in everything:
        assert isinstance(result, Classification)
        assert result.scores is not None
        for level, tags in result.tags.items():
            scores = [tag.score for tag in tags]
            assert scores == sorted(scores, reverse=True)
            assert {tag.id for tag in tags} <= {label for label, score in result.scores[level].items() if score >= 0.5}
    for result in stub.classify(documents, Options(axes=("rite", "technology"), top_k=1, min_score=0.6)):
        assert isinstance(result, Classification)
        assert list(result.tags) == ["rite", "technologies"]
        assert all(len(tags) <= 1 and all(tag.score >= 0.6 for tag in tags) for tags in result.tags.values())
    with pytest.raises(TaxonomyError, match="unknown axis 'places'"):
        stub.classify(documents, Options(axes=("places",)))


def test_the_most_probable_targets_are_chosen_among_those_of_the_goals_that_are_left(stub: Tagger) -> None:
    documents = [Document(str(i), f"منصة إلكترونية لخدمات البلدية رقم {i} وتطبيق للمواطنين") for i in range(20)]
    others = 0
    for top_k in (1, 2):
        cut = stub.classify(documents, Options(top_k=top_k))
        for all_of_it, some in zip(stub.classify(documents), cut, strict=True):
            assert isinstance(all_of_it, Classification)
            assert isinstance(some, Classification)
            goals = all_of_it.tags["goals"][:top_k]
            left = [tag for tag in all_of_it.tags["targets"] if tag.id.split(".")[0] in {goal.id for goal in goals}]
            assert some.tags["goals"] == goals
            assert list(some.tags["targets"]) == left[:top_k]
            others += left[:top_k] != list(all_of_it.tags["targets"][:top_k])
    assert others


def test_bad_items_fail_alone(stub: Tagger) -> None:
    texts = ["خدمة", "", " \n", "\ud800", "ab\x00", "ا" * 101, "ًٌٍ", "🙂🙂", "only English", "خدمة"]
    documents = [Document(str(place), text) for place, text in enumerate(texts)]
    results = stub.classify(documents, Options(most_characters=100))
    assert [result.id for result in results] == [document.id for document in documents]
    errors = {result.id: type(result.error) for result in results if isinstance(result, Failure)}
    assert errors == {
        "1": EmptyTextError,
        "2": EmptyTextError,
        "3": InvalidTextError,
        "4": InvalidTextError,
        "5": TextTooLongError,
    }
    assert results[0].tags == results[9].tags  # type: ignore[union-attr]


def test_a_head_without_queries_reads_the_mean_and_with_one_the_token_it_looks_for() -> None:
    generator = np.random.default_rng(3)
    states = generator.normal(size=(6, 8)).astype(np.float32)
    weight, bias = generator.normal(size=(2, 8)).astype(np.float32), np.array([0.5, -1], np.float32)
    even = AttentionHead(weight, bias, np.zeros((2, 8), np.float32))
    np.testing.assert_allclose(even(states), states.mean(axis=0) @ weight.T + bias, rtol=1e-4)
    focused = AttentionHead(weight, bias, np.stack([states[4] * 200, states[1] * 200]))
    np.testing.assert_allclose(focused(states), [states[4] @ weight[0] + 0.5, states[1] @ weight[1] - 1], rtol=1e-3)


def test_a_lexicon_says_what_the_regressions_say_and_survives_its_data_form(taxonomy: Taxonomy) -> None:
    recipe = find_recipe("folded")
    columns = sum(len(level.labels) for level in taxonomy.levels)
    grams = sorted(set(character_grams(recipe("مياه الشرب في القرية"))))
    dense = np.random.default_rng(5).integers(-127, 128, (len(grams), columns)).astype(np.int8)
    lexicon = Lexicon(
        recipe,
        {gram: row for row, gram in enumerate(grams)},
        np.linspace(1, 3, len(grams), dtype=np.float32),
        np.arange(0, dense.size + 1, columns, dtype=np.int64),
        np.tile(np.arange(columns, dtype=np.uint8), len(grams)),
        dense.ravel(),
        np.full(columns, 0.01, np.float32),
        np.arange(columns, dtype=np.float32),
    )
    text = "مياهُ الشرب، مياه قرية أخرى"
    found = [gram for gram in character_grams(recipe(text)) if gram in lexicon.grams]
    values = np.zeros(len(grams))
    for gram in set(found):
        values[lexicon.grams[gram]] = (1 + np.log(found.count(gram))) * lexicon.idf[lexicon.grams[gram]]
    expected = values / np.linalg.norm(values) @ (dense * 0.01) + np.arange(columns)
    np.testing.assert_allclose(lexicon(text), expected, rtol=1e-4, atol=1e-4)
    again = Lexicon.from_tensors(recipe, lexicon.to_tensors())
    np.testing.assert_array_equal(again(text), lexicon(text))
    np.testing.assert_array_equal(lexicon("xyz"), lexicon.bias)
    assert list(lexicon.by_level(taxonomy, text)) == [level.name for level in taxonomy.levels]


def test_spelling_variants_share_their_grams() -> None:
    recipe = find_recipe("folded")
    assert character_grams(recipe("إلى مدرسةٍ أُخرى")) == character_grams(recipe("الي مدرسه اخري"))
    assert character_grams("لا، و") == [" لا", "لا ", " لا ", " و "]


def test_leaving_out_a_sentence_is_reading_the_others(taxonomy: Taxonomy) -> None:
    text = "أولى هنا. ثانية هناك."
    normalised = find_recipe("light").align(text)
    sentences = split_sentences(text)
    spans = np.array([[0, 0], [0, 4], [5, 9], [10, 15], [16, 21], [21, 21]])
    states = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)
    window = EncodedWindow(states, spans, Span(0, len(text)))
    generator = np.random.default_rng(4)
    heads = {
        level.name: AttentionHead(*(generator.normal(size=shape).astype(np.float32) for shape in shapes))
        for level in taxonomy.levels
        for shapes in [((len(level.labels), 4), len(level.labels), (len(level.labels), 4))]
    }
    left = leave_out(taxonomy, join_heads(taxonomy, heads), empty_lexicon(taxonomy), window, normalised, sentences)
    assert [text[span.start : span.end] for span in left.sentences] == ["أولى هنا.", "ثانية هناك."]
    for name, head in heads.items():
        np.testing.assert_allclose(left.logits.encoder[name][0], head(states[[0, 3, 4, 5]]), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(left.logits.encoder[name][1], head(states[[0, 1, 2, 5]]), rtol=1e-3, atol=1e-4)


def test_evidence_is_what_carries_most_and_never_what_speaks_against() -> None:
    spans = [Span(n, n + 1) for n in range(6)]
    chosen = choose_evidence(spans, np.array([0.02, 0.5, -0.3, 0.2, 0.4, 0.15], np.float32))
    assert [one.span.start for one in chosen] == [1, 4, 3]
    assert choose_evidence(spans[:2], np.array([-0.1, 0.0], np.float32)) == ()


def test_a_document_gets_evidence_inside_its_own_text_only_where_asked(stub: Tagger) -> None:
    text = "  مياه الشرب في القرية.\nثم كلام آخر عن المدارس والمعلمين؟ وختام."
    with_evidence = stub.classify([Document("a", text)], Options(evidence=True))[0]
    without = stub.classify([Document("a", text)], Options())[0]
    assert isinstance(with_evidence, Classification)
    assert isinstance(without, Classification)
    strip = {level: [(tag.id, tag.score) for tag in tags] for level, tags in with_evidence.tags.items()}
    assert strip == {level: [(tag.id, tag.score) for tag in tags] for level, tags in without.tags.items()}
    assert all(tag.evidence is None for tags in without.tags.values() for tag in tags)
    for tags in with_evidence.tags.values():
        for tag in tags:
            for one in tag.evidence or ():
                assert text[one.span.start : one.span.end].strip() == text[one.span.start : one.span.end] != ""
