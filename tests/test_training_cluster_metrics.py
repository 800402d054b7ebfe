from __future__ import annotations

import numpy as np
import pytest

from training.cluster_metrics import count_pairs, match, read_labels, surfaced, taken_in


def numbers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_the_same_groups_under_other_names_match_whole_and_one_group_matches_nothing() -> None:
    truth = ["water", "water", "roads", "roads"]
    assert match(truth, numbers(7, 7, 2, 2)).mutual_information == pytest.approx(1)
    assert match(truth, numbers(7, 7, 2, 2)).adjusted_rand == pytest.approx(1)
    assert match(truth, numbers(0, 0, 0, 0)).mutual_information == pytest.approx(0)


def test_comments_in_no_group_are_counted_apart_and_are_no_group() -> None:
    found = match(["water", "water", "roads", "roads"], numbers(0, 0, 1, -1))
    assert found.groups == 2
    assert found.outside == 0.25
    assert 0 < found.mutual_information < 1


def test_comments_in_no_group_go_to_the_group_that_lies_nearest() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [0.7, 0.2], [0.2, 0.7]], np.float32)
    labels = numbers(5, 5, 3, 3, -1, -1)
    assert taken_in(labels, vectors).tolist() == [5, 5, 3, 3, 5, 3]
    assert labels.tolist() == [5, 5, 3, 3, -1, -1]
    assert taken_in(numbers(-1, -1, -1, -1, -1, -1), vectors).tolist() == [-1] * 6


def test_pairs_are_counted_as_by_hand() -> None:
    # a b c are copies, found: {a, b, x}, {c}: three pairs found, one of them right, of three.
    pairs = count_pairs(["one", "one", "one", None, None], [1, 1, 2, 1, 3])
    assert (pairs.true, pairs.found) == (3, 3)
    assert (pairs.precision, pairs.recall) == pytest.approx((1 / 3, 1 / 3))


def test_two_comments_that_are_nobodys_copy_are_no_pair_of_copies() -> None:
    pairs = count_pairs([None, None, "one", "one"], [1, 1, 2, 2])
    assert (pairs.precision, pairs.recall) == (0.5, 1)
    nothing = count_pairs([None, None], [1, 2])
    assert (nothing.precision, nothing.recall, nothing.true) == (1, 1, 0)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ([0, 1, 2], {"bees"}),
        ([0, 1, 2, 5, 6], {"bees"}),
        ([0, 1, 2, 5, 6, 7], set()),
        ([0, 1], set()),
        ([], set()),
    ],
)
def test_a_planted_group_comes_out_where_most_of_it_is_most_of_a_listed_one(
    group: list[int], expected: set[str]
) -> None:
    planted = ["bees"] * 5 + [None] * 5 if len(group) < 5 else ["bees"] * 3 + [None] * 7
    assert surfaced(planted, [group]) == expected


def test_words_that_stand_together_cohere_and_words_that_never_do_the_contrary() -> None:
    documents = [{"ماء", "انقطاع"}, {"ماء", "انقطاع"}, {"طريق", "حفرة"}, {"طريق"}]
    together = read_labels([["ماء", "انقطاع"]], documents)
    apart = read_labels([["ماء", "طريق"]], documents)
    mixed = read_labels([["طريق", "حفرة"]], documents)
    assert together.coherence == pytest.approx(1)
    assert apart.coherence == -1
    assert 0 < mixed.coherence < 1
    assert read_labels([["ماء"]], documents).coherence == 0


def test_diversity_and_stop_words_are_shares_of_all_words() -> None:
    wording = read_labels([["ماء", "في"], ["ماء", "طريق"]], [{"ماء"}])
    assert wording.diversity == 0.75
    assert wording.stop_words == 0.25
    assert (wording.labels, wording.words) == (2, 2)
