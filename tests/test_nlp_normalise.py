from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp import charmaps
from nlp.errors import RecipeError
from nlp.normalise import RECIPES, Recipe, find_recipe

GOLDEN = [
    # raw, light, folded
    ("الحُكُومَةُ الرَّقْمِيَّةُ", "الحكومة الرقمية", "الحكومه الرقميه"),
    ("الخدمـــــات", "الخدمات", "الخدمات"),
    ("إلى أين آل الأمر؟", "إلى أين آل الأمر؟", "الي اين ال الامر؟"),
    ("عام ٢٠٢٤ و۱۴۰۳", "عام 2024 و1403", "عام 2024 و1403"),
    ("ﺍﻟﺴﻼﻡ ﻋﻠﻴﻜﻢ", "السلام عليكم", "السلام عليكم"),
    ("رااااائع جدااا", "رائع جدا", "رائع جدا"),
    ("لا!!!!!!!!", "لا!!!", "لا!!!"),
    ("\u202bنص\u202c\u200f \ufeffعربي\u200b", "نص عربي", "نص عربي"),
    ("شكراً 👨‍👩‍👧 😂", "شكرا 👨‍👩‍👧 😂", "شكرا 👨‍👩‍👧 😂"),
    ("  سطر \t أول \n\n  سطر ثان  ", "سطر أول\nسطر ثان", "سطر اول\nسطر ثان"),
    ("پارک گاز", "پارک گاز", "پارک گاز"),
    ("ﷺ", "صلى الله عليه وسلم", "صلي الله عليه وسلم"),
    ("ًٌٍ", "", ""),
]

texts = st.text(
    alphabet=st.one_of(
        st.sampled_from("اأإآٱىيةه ـًٌٍَُِّْٰٓٔ٣۴\u200d\u200f\u202e\ufeff\u00a0\n\tﷺﻻ😂👩é\u0301e!؟.x"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=40,
)


@pytest.mark.parametrize(("raw", "light", "folded"), GOLDEN)
def test_golden_pairs(raw: str, light: str, folded: str) -> None:
    assert find_recipe("light")(raw) == light
    assert find_recipe("folded")(raw) == folded


@pytest.mark.parametrize("name", RECIPES)
@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=texts)
def test_idempotent_with_offsets_that_cover_the_raw_text(name: str, text: str) -> None:
    recipe = find_recipe(name)
    aligned = recipe.align(text)
    assert aligned.text == recipe(text)
    assert recipe(aligned.text) == aligned.text
    assert len(aligned.starts) == len(aligned.ends) == len(aligned.text)
    previous = 0
    for position in range(len(aligned.text)):
        span = aligned.raw_span(position, position + 1)
        assert previous <= span.start < span.end <= len(text)
        previous = span.start
        kept = aligned.text[position]
        raw = text[span.start : span.end]
        if kept.isalnum() and len(raw) == 1 and unicodedata.is_normalized("NFKC", raw):
            assert kept == raw or any(kept == mapping.get(raw) for mapping in charmaps.load().values())


def test_a_phrase_is_found_again_in_the_raw_text() -> None:
    raw = "قالتْ الـــوِزارةُ: «خِدمة ﻻ تنتهي»"
    aligned = find_recipe("light").align(raw)
    start = aligned.text.index("الوزارة")
    span = aligned.raw_span(start, start + len("الوزارة"))
    assert raw[span.start : span.end] == "الـــوِزارة"


def test_character_maps_are_those_of_camel_tools() -> None:
    assert charmaps.from_camel_tools() == charmaps.load()


def test_a_recipe_survives_its_data_form_and_an_unknown_one_raises() -> None:
    recipe = find_recipe("folded")
    again = Recipe.from_dict(recipe.to_dict())
    assert again.fingerprint == recipe.fingerprint
    assert again("أهلاً") == "اهلا"
    assert len({recipe.fingerprint for recipe in RECIPES.values()}) == len(RECIPES)
    with pytest.raises(RecipeError, match="unknown normalisation recipe 'none'"):
        find_recipe("none")
    with pytest.raises(RecipeError, match="unknown steps"):
        Recipe.from_dict({"name": "x", "steps": [{"rule": "stemming"}]})
    with pytest.raises(RecipeError, match="not a recipe"):
        Recipe.from_dict({"name": "x"})
