from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp.sections import split_sections

BODY = "تضخ المحطة الجديدة ماءً نظيفاً إلى ثلاثين قرية في الشمال منذ مطلع العام، وتراقبه البلدية."


def _found(text: str) -> list[tuple[str | None, int | None, str]]:
    return [(one.heading, one.page, text[one.span.start : one.span.end]) for one in split_sections(text)]


def test_pages_are_counted_by_form_feeds_and_a_heading_holds_until_the_next() -> None:
    text = f"المياه\n\n{BODY}\f{BODY}\n\nالمدارس:\n{BODY}\n\f\f  {BODY} "
    assert _found(text) == [
        ("المياه", 1, f"المياه\n\n{BODY}"),
        ("المياه", 2, BODY),
        ("المدارس", 2, f"المدارس:\n{BODY}"),
        ("المدارس", 4, BODY),
    ]


def test_headings_part_a_text_without_pages_and_what_stands_before_them_has_none() -> None:
    text = f"{BODY}\r\n\r\nأولاً: المياه\r\n{BODY}\r\n## الصحة\r\n{BODY}\r\n\r\nChapter 2\r\n\r\nSchools\r\n\r\n{BODY}"
    assert [(heading, page) for heading, page, _ in _found(text)] == [
        (None, None),
        ("أولاً: المياه", None),
        ("الصحة", None),
        ("Chapter 2", None),
        ("Schools", None),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        BODY,
        f"المياه\n\n{BODY}",
        f"{BODY}\n{BODY}\n\n{BODY}",
        f"{BODY}\nسطر قصير\n{BODY}",
        f"{BODY}\n\nانتهى الكلام.\n\n{BODY}",
        f"{BODY}\n\n- بند أول\n\n- بند ثان\n\n{BODY}",
        f"{BODY}\n\nالمقدمة ...... 3\nالمياه ...... 7\n\n{BODY}",
        f"{BODY}\n\nماء\n\nكهرباء\n\nمدارس\n\nصحة\n\n{BODY}",
        f"{BODY}\n\n12\n\n{BODY}",
        f"{BODY}\n\nآخر الكلام",
    ],
)
def test_a_text_of_one_part_has_no_sections(text: str) -> None:
    assert split_sections(text) == ()


def test_a_heading_keeps_a_sign_of_its_own() -> None:
    text = f"{BODY}\n\nلغة C# للمبتدئين\n\n{BODY}\n\n## لغة C#\n{BODY}\n### الخلاصة ###\n{BODY}"
    assert [heading for heading, _, _ in _found(text)] == [None, "لغة C# للمبتدئين", "لغة C#", "الخلاصة"]


@pytest.mark.parametrize("mark", ["", "# "])
def test_a_line_that_is_too_long_is_no_heading(mark: str) -> None:
    for line in ("كلمة " * 13, "ك" * 81):
        assert split_sections(f"{BODY}\n\n{mark}{line.strip()}\n\n{BODY}") == ()
    assert len(split_sections(f"{BODY}\n\n{mark}{'كلمة ' * 12}\n\n{BODY}")) == 2


def test_a_running_head_is_no_heading() -> None:
    pages = [f"التقرير السنوي\n{BODY}\n\nباب {name}\n{BODY}" for name in ("المياه", "الصحة", "السكن")]
    assert [one[:2] for one in _found("\f".join(pages))] == [
        (None, 1),
        ("باب المياه", 1),
        ("باب المياه", 2),
        ("باب الصحة", 2),
        ("باب الصحة", 3),
        ("باب السكن", 3),
    ]


@settings(deadline=None)
@given(st.text(alphabet="ab .#\n\r\f-12اب؟", max_size=200))
def test_sections_are_in_order_trimmed_and_cover_the_text(text: str) -> None:
    sections = split_sections(text)
    assert len(sections) != 1
    covered = "".join(text[one.span.start : one.span.end] for one in sections)
    if sections:
        assert "".join(covered.split()) == "".join(text.split())
    for one in sections:
        part = text[one.span.start : one.span.end]
        assert part == part.strip() != ""
