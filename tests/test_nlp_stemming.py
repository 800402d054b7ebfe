"""Stems put forms of one word together and keep different words apart."""

from __future__ import annotations

import pytest

from nlp.normalise import find_recipe
from nlp.stemming import stem
from nlp.stopwords import stop_words


@pytest.mark.parametrize(
    "forms",
    [
        ["مدرسة", "المدرسة", "والمدرسة", "بالمدرسة", "مدرستنا", "مدرستها", "للمدرسة"],
        ["معلم", "المعلمين", "معلمون", "والمعلم"],
        ["سيارة", "السيارة", "سيارات", "السيارات"],
        ["بيشتغل", "هيشتغل", "يشتغل", "كيشتغل"],
        ["Water", "water"],
    ],
)
def test_forms_of_one_word_share_a_stem(forms: list[str]) -> None:
    fold = find_recipe("folded")
    assert len({stem(fold(form)) for form in forms}) == 1


@pytest.mark.parametrize(("one", "other"), [("ماء", "مال"), ("طبيب", "طالب"), ("بيت", "بنت"), ("دينار", "نار")])
def test_different_words_stay_apart(one: str, other: str) -> None:
    fold = find_recipe("folded")
    assert stem(fold(one)) != stem(fold(other))


@pytest.mark.parametrize("word", ["في", "اللي", "عشان", "ديال", "هسه", "وين", "شنو", "مفيش", "إلى", "the"])
def test_stop_words_of_all_dialects(word: str) -> None:
    assert find_recipe("folded")(word) in stop_words()


@pytest.mark.parametrize("word", ["ماء", "مدرسة", "رشوة", "حافلة", "دواء", "إنارة"])
def test_words_with_a_subject_are_no_stop_words(word: str) -> None:
    assert find_recipe("folded")(word) not in stop_words()
