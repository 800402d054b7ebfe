from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import Calibration, Thresholds
from models.heads import probabilities
from models.tagger import Options, Tagger
from nlp.errors import EmptyTextError, InvalidTextError, TaxonomyError, TextTooLongError
from nlp.records import Classification, Document, Failure
from nlp.taxonomy import Taxonomy


def _random_logits(taxonomy: Taxonomy, seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {level.name: generator.normal(0, 6, (5, len(level.labels))).astype(np.float32) for level in taxonomy.levels}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), temperature=st.floats(0.2, 5))
def test_a_target_never_outscores_its_goal_whatever_the_calibration(
    taxonomy: Taxonomy, seed: int, temperature: float
) -> None:
    calibration = Calibration({level.name: temperature for level in taxonomy.levels} | {"goals": 1.0})
    scores = probabilities(taxonomy, calibration(_random_logits(taxonomy, seed)))
    parents = scores["goals"][:, list(taxonomy.level("targets").parent_index)]
    assert (scores["targets"] <= parents).all()
    assert all(((values >= 0) & (values <= 1)).all() for values in scores.values())


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
    assert list(thresholds.confidence(scores) < thresholds.review_confidence) == [False, True, False, True]


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
