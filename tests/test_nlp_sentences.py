from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp.sentences import split_sentences

CASES = [
    ("ما الخطة؟ لا أحد يعرف؛ انتظرنا… ثم عدنا!", ["ما الخطة؟", "لا أحد يعرف؛", "انتظرنا…", "ثم عدنا!"]),
    ("ارتفعت النسبة 3.5% في عام 2023. ثم هبطت.", ["ارتفعت النسبة 3.5% في عام 2023.", "ثم هبطت."]),
    ("قال د. سالم إن ص.ب. 120 مغلق. انتهى", ["قال د. سالم إن ص.ب. 120 مغلق.", "انتهى"]),
    ("الأهداف:\n1. التدريب\n2. المتابعة", ["الأهداف:", "1. التدريب", "2. المتابعة"]),
    ("قالت: «سنعود!» ومضت.", ["قالت: «سنعود!»", "ومضت."]),
    ("زوروا www.gov.jo للتسجيل. شكراً", ["زوروا www.gov.jo للتسجيل.", "شكراً"]),
    ("انتهى الاجتماع.وبدأ العمل", ["انتهى الاجتماع.", "وبدأ العمل"]),
    ("سطر بلا نقطة\n\nسطر آخر", ["سطر بلا نقطة", "سطر آخر"]),
    ("   \n ", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_splits_as_a_reader_would(text: str, expected: list[str]) -> None:
    assert [text[span.start : span.end] for span in split_sentences(text)] == expected


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet="اب .!؟؛…\n1د«»", max_size=60))
def test_covers_every_visible_character_once_and_in_order(text: str) -> None:
    spans = split_sentences(text)
    assert all(before.end <= after.start for before, after in itertools.pairwise(spans))
    assert "".join(text[span.start : span.end] for span in spans).replace(" ", "").replace("\n", "") == "".join(
        text.split()
    )
