"""Which of the small groups of a set are listed."""

from __future__ import annotations

import numpy as np
import pytest

from models.clustering.minorities import SmallGroup, choose_listed


def groups(strengths: list[float]) -> list[SmallGroup]:
    return [SmallGroup(np.arange(4) + 4 * place, 0.5, strength) for place, strength in enumerate(strengths)]


def spread(strong: int) -> list[float]:
    """So many strong groups, and two hundred that differ by little."""
    weak = [0.01 * 1.1 ** (place % 7) for place in range(200)]
    return weak + [0.2 + 0.001 * place for place in range(strong)]


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
def test_where_all_groups_are_weak_the_same_ones_are_listed(scale: float) -> None:
    listed = choose_listed(groups([scale * strength for strength in spread(15)]), 3000)
    assert [int(one.members[0]) // 4 for one in listed] == list(range(214, 199, -1))


def test_the_strongest_few_are_listed_even_where_none_stands_out() -> None:
    assert len(choose_listed(groups(spread(0)), 3000)) == 10
    assert len(choose_listed(groups([0.1, 0.2, 0.3]), 3000)) == 3
    assert len(choose_listed(groups(spread(0)[:25]), 100)) == 4
    assert choose_listed([], 3000) == []


def test_the_list_grows_slowly_with_the_set() -> None:
    many = groups(spread(90))
    assert [len(choose_listed(many, count)) for count in (1160, 3000, 100_000)] == [21, 28, 54]


def test_of_groups_that_share_members_the_stronger_is_listed() -> None:
    inner, outer = SmallGroup(np.arange(5), 0.5, 0.3), SmallGroup(np.arange(8), 0.5, 0.1)
    assert choose_listed([outer, inner], 3000) == [inner]


def test_a_group_without_strength_is_not_listed() -> None:
    assert choose_listed(groups([0.0, 0.2]), 3000)[0].strength == 0.2
    assert len(choose_listed(groups([0.0, 0.2]), 3000)) == 1
