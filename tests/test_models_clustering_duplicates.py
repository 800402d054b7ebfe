"""Copies are found, light edits included, and what only sounds alike stays apart."""

from __future__ import annotations

import numpy as np
import pytest
from clustering_comments import authored

from models.clustering.duplicates import Arguments, find_arguments
from models.clustering.reading import read_words

_CAMPAIGN = (
    "نحن سكان الحي نطالب البلدية بإعادة فتح الحديقة العامة التي أغلقت منذ سنتين دون سبب لأن أطفالنا يلعبون في الشارع"
    " بين السيارات ولا مكان لكبار السن يجلسون فيه"
)
_WORDS = "جدار مفتاح سفينة برتقال قلم نافذة جبل رمل كرسي ساعة ورقة باب نهر شجرة طاولة كتاب"


def _found(texts: list[str]) -> Arguments:
    return find_arguments(read_words(texts), texts)


def _edited(random: np.random.Generator, kind: str) -> str:
    words = _CAMPAIGN.split()
    for place in sorted(random.choice(len(words), len(words) // 5, replace=False), reverse=True):
        if kind == "replaced":
            words[place] = str(random.choice(_WORDS.split()))
        elif kind == "deleted":
            del words[place]
        else:
            words.insert(place, str(random.choice(_WORDS.split())))
    return " ".join(words)


@pytest.mark.parametrize("kind", ["replaced", "deleted", "inserted"])
@pytest.mark.parametrize("with_original", [True, False])
def test_a_campaign_with_a_fifth_of_its_words_changed_is_one_argument(kind: str, with_original: bool) -> None:
    random = np.random.default_rng(4)
    campaign = [_edited(random, kind) for _ in range(20)] + [_CAMPAIGN] * with_original
    others = [comment.text for comment in authored()[0][::5]]
    owner = _found([*others, *campaign]).owner
    own, rest = owner[len(others) :], owner[: len(others)]
    main = np.bincount(own).argmax()
    assert (own == main).mean() >= 0.95
    assert main not in rest


def test_spelling_signs_and_emoji_make_no_difference() -> None:
    found = _found(
        ["إعادة فتح المدرسة في القرية", "اعاده فتح المدرسه فى القرية!!", "إِعادة فتح المدرســة 🙏 في القرية", "آخر"]
    )
    assert found.owner.tolist() == [0, 0, 0, 1]
    assert found.exact.all()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("الماء مقطوع", "الكهرباء مقطوعة"),
        ("شكرا لكم", "شكرا جزيلا لكم"),
        ("الماء مقطوع عن الحي", "الماء ملوث في الحي"),
        ("المدرسة بعيدة عن القرية والطريق خطر", "المستشفى بعيد عن القرية والطريق خطر"),
        ("نعم", "لا"),
    ],
)
def test_short_comments_do_not_collapse(one: str, other: str) -> None:
    assert len(_found([one, other]).speaker) == 2


def test_a_chain_of_small_edits_does_not_join_two_texts() -> None:
    first = _CAMPAIGN.split()
    last = [_WORDS.split()[place % 16] + str(place) for place in range(len(first))]
    chain = [" ".join(last[:cut] + first[cut:]) for cut in range(0, len(first) + 1, 2)]
    owner = _found(chain).owner
    assert owner[0] != owner[-1]


def test_ten_thousand_copies_cost_little() -> None:
    random = np.random.default_rng(0)
    found = _found([_edited(random, "replaced") for _ in range(300)] + [_CAMPAIGN] * 10_000)
    assert np.bincount(found.owner).max() >= 10_280
