"""Personal data and masking, measured on ``data/evaluation``.

Lines 1, 3, 5 ... of each file were used while the rules were made, lines 2, 4, 6 ... were kept for the figures. Recall
counts spans that are covered whole. On the lines that were kept, recall and precision:

===============  =====  ======  =========
kind             spans  recall  precision
===============  =====  ======  =========
telephone           32   1.000      1.000
identity number     18   0.944      1.000
IBAN                 7   1.000      1.000
payment card         4   1.000      1.000
e-mail               6   1.000      1.000
handle               6   1.000      1.000
profile              5   1.000      1.000
plate               10   1.000      1.000
passport             4   1.000      1.000
name                62   0.968      0.968
===============  =====  ======  =========

The lines and the rules have the same author, so these figures are an upper bound.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp.masking import PLACEHOLDERS, mask
from nlp.personal_data import KINDS, NUMBERS_AND_ADDRESSES, find_personal_data

_EVALUATION = Path(__file__).parent.parent / "data" / "evaluation"
_MARKED = re.compile(r"\[\[([^|\]]+)\|([^\]]*)\]\]")


def _read(name: str) -> list[tuple[str, list[tuple[str, int, int]]]]:
    lines = []
    for line in (_EVALUATION / name).read_text(encoding="utf-8").splitlines():
        text, gold, position = "", [], 0
        for match in _MARKED.finditer(line):
            text += line[position : match.start()]
            gold.append((match[1], len(text), len(text) + len(match[2])))
            text += match[2]
            position = match.end()
        lines.append((text + line[position:], gold))
    return lines


def _figures(lines: list[tuple[str, list[tuple[str, int, int]]]]) -> dict[str, tuple[float, float]]:
    covered: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for text, gold in lines:
        found = find_personal_data(text)
        for kind, start, end in gold:
            wanted[kind] += 1
            covered[kind] += any(one.kind == kind and one.span.start <= start and end <= one.span.end for one in found)
        for one in found:
            wrong[one.kind] += not any(
                kind == one.kind and start < one.span.end and one.span.start < end for kind, start, end in gold
            )
    return {
        kind: (covered[kind] / wanted[kind], covered[kind] / max(1, covered[kind] + wrong[kind])) for kind in wanted
    }


@pytest.mark.parametrize("first", [0, 1], ids=["used", "kept"])
def test_recall_and_precision_of_every_kind(first: int) -> None:
    lines = _read("personal-data.txt")[first::2] + _read("personal-data-none.txt")[first::2]
    figures = _figures(lines)
    assert set(figures) == set(KINDS)
    for kind, (recall, precision) in figures.items():
        assert recall >= 0.94, kind
        assert precision >= 0.95, kind


@pytest.mark.parametrize(
    ("raw", "masked"),
    [
        ("رقمي ٠٥٥١٨٣٧٢٦٤ وهويتي 1094711718", "رقمي [هاتف] وهويتي [رقم هوية]"),
        ("اسمي هدى المنصوري وأخوي فهد", "اسمي [اسم] وأخوي [اسم]"),
        ("بلغت لأحمد الزهراني وأم عمر", "بلغت ل[اسم] و[اسم]"),
        ("مُحَمَّد بن سالِم يشتكي", "[اسم] يشتكي"),
        ("دفعت 1500 ريال في شارع الأمير سلطان", "دفعت 1500 ريال في شارع الأمير سلطان"),
        ("", ""),
    ],
)
def test_the_masked_text_stays_readable(raw: str, masked: str) -> None:
    assert mask(raw).text == masked


@pytest.mark.parametrize(
    ("raw", "masked"),
    [
        ("رقمي +966\u00a050\u00a0123\u00a04567 للتواصل", "رقمي [هاتف] للتواصل"),
        ("رقمي 055\u2009183\u202f7264", "رقمي [هاتف]"),
        ("آيبان SA03\u00a08000\u00a00000\u00a06080\u00a01016\u00a07519", "آيبان [آيبان]"),
        ("آيبان SA03\u20138000\u20130000\u20136080\u20131016\u20137519", "آيبان [آيبان]"),
        ("رقمي 055\u2011183\u20117264", "رقمي [هاتف]"),
        ("رقمي 055\u2013183\u20137264", "رقمي [هاتف]"),
        ("جوالي0551837264 والماء مقطوع", "جوالي[هاتف] والماء مقطوع"),
        ("جوالي+966551837264 وهويتي1094711718", "جوالي[هاتف] وهويتي[رقم هوية]"),
        ("هويتي 1094711718وجواز رقم A1234568ضاع", "هويتي [رقم هوية]وجواز رقم [جواز سفر]ضاع"),
        ("حسابيSA0380000000608010167519", "حسابي[آيبان]"),
        ("اتصلوا 050/1837264 أو 050/183 7264 أو 0790/183726", "اتصلوا [هاتف] أو [هاتف] أو [هاتف]"),
        ("رقمي ０５５１８３７２６４", "رقمي [هاتف]"),
        ("بريدي ali.h＠example.com", "بريدي [بريد]"),
        ("بريدي ａｌｉ＠ｅｘａｍｐｌｅ．ｃｏｍ", "بريدي [بريد]"),
        ("رقمي 0551\u00ad837264", "رقمي [هاتف]"),
        ("رقمي \u200e055\ufeff183\u20607264\u200e", "رقمي \u200e[هاتف]\u200e"),
        ("هويتي 10947\u200b11718", "هويتي [رقم هوية]"),
    ],
)
def test_numbers_are_found_in_the_characters_of_phones_and_office_programs(raw: str, masked: str) -> None:
    found = mask(raw)
    assert found.text == masked
    for finding, place in zip(found.findings, found.spans, strict=True):
        assert found.raw_span(place.start, place.end) == finding.span


_COMPOSED = [
    *(unicodedata.normalize("NFC", text) for text, _ in _read("personal-data.txt")),
    *("بلغت لأحمد آل فهيد وأم أنس", "أبو إيهاب", "لوحة أ ب ر 4827", "إقامتي 2094711718", "Mme Zoé Lefèvre"),
]


def test_a_text_whose_letters_are_taken_apart_is_masked_alike() -> None:
    apart = [unicodedata.normalize("NFD", text) for text in _COMPOSED]
    assert apart != _COMPOSED
    for composed, text in zip(_COMPOSED, apart, strict=True):
        assert unicodedata.normalize("NFC", mask(text).text) == mask(composed).text


@pytest.mark.parametrize("mark", ["\u0653", "\u0656", "\u06d6", "\u06e2", "\u00ad", "\u2060", "\ufeff"])
def test_a_name_with_rare_marks_or_invisible_characters_is_masked(mark: str) -> None:
    assert mask(f"اسمي م{mark}حم{mark}د القح{mark}طاني وعندي شكوى").text == "اسمي [اسم] وعندي شكوى"


def test_every_kind_has_a_placeholder_and_counts_are_by_kind() -> None:
    assert set(PLACEHOLDERS) == set(KINDS)
    masked = mask("السيد عبدالله القحطاني 0551837264 والسيدة نورة الدوسري")
    assert masked.counts == {"name": 2, "telephone": 1}


def test_only_the_kinds_that_were_asked_for_are_masked() -> None:
    assert mask("السيد عبدالله القحطاني 0551837264", NUMBERS_AND_ADDRESSES).text == "السيد عبدالله القحطاني [هاتف]"


def test_offsets_lead_back_to_the_raw_text() -> None:
    raw = "اسمي هدى المنصوري ورقمي 0551837264 والماء مقطوع"
    masked = mask(raw)
    start = masked.text.index("والماء")
    span = masked.raw_span(start, len(masked.text))
    assert raw[span.start : span.end] == "والماء مقطوع"
    inside = masked.text.index("هاتف")
    number = masked.raw_span(inside, inside + 1)
    assert raw[number.start : number.end] == "0551837264"
    for finding, place in zip(masked.findings, masked.spans, strict=True):
        assert masked.text[place.start : place.end] == PLACEHOLDERS[finding.kind]
        assert masked.raw_span(place.start, place.end) == finding.span


def test_masking_again_changes_nothing() -> None:
    for text, _ in _read("personal-data.txt"):
        once = mask(text)
        twice = mask(once.text)
        assert twice.text == once.text
        assert twice.findings == ()


_PIECES = st.sampled_from(
    [
        *("السيد", "أم", "أبو", "بن", "عبد", "الله", "محمد", "سعيد", "القحطاني", "وأحمد", "اسمي", "آل", "من", "الملك"),
        *("مستشفى", "رقمي", "هاتف", "هويتي", "لوحة", "سيارة", "0551837264", "1094711718", "22837461", "+966", "4827"),
        *("@ali_99", "[اسم]", "[هاتف]", "،", ".", "/", "\n"),
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_PIECES, max_size=14))
def test_any_mixture_is_masked_in_one_go_and_maps_back(pieces: list[str]) -> None:
    raw = " ".join(pieces)
    once = mask(raw)
    assert mask(once.text).text == once.text
    position = 0
    for finding in once.findings:
        assert position <= finding.span.start < finding.span.end <= len(raw)
        position = finding.span.end
    for at in range(len(once.text)):
        span = once.raw_span(at, at + 1)
        if span.end - span.start == 1 and not any(place.start <= at < place.end for place in once.spans):
            assert raw[span.start] == once.text[at]


@pytest.mark.parametrize(
    "text",
    [
        "مستشفى الملك فهد",
        "طريق الشيخ محمد بن زايد",
        "وزير الصحة فهد الجلاجل",
        "اللهم صل على محمد",
        "أمل كبير ونور الكهرباء",
        "القانون رقم 12 لسنة 2018",
        "الكلفة 3500000000 دينار",
        "24.713552, 46.675296",
        "من 2010-2020",
        "اتصلوا على 920012345",
        "نمرتي ٣١٢ والشباك فتح نص ساعة",
        "من 2020–2025 ومن 1990—2000",
        "اتصلت بهم خلال 2020–2025 وخلال 1445–1446 ولم يردوا",
        "بتاريخ 15–03–2024 وتاريخ 2024‑09‑01",
        "رقم 1,234/5,678 من الصفحة",
        "ميزانية 1\u00a0250\u00a0000\u00a0000 ريال",
        "الكلفة 2\u202f500\u202f000 دولار",
        "بمبلغ 250\u2009000\u2009000 درهم",
        "الدفعة 2019/2020 والقرار 2023/4471",
        "المادة45 من القانون165 لسنة2018",
        "خسرنا ب5000000000 دولار",
        "المساحة 1200 م² والباب ２０２４",
        "الدوام 08:00–14:00 والعمر 18–65",
        "سعر السيارة – 2500 ريال",
    ],
)
def test_places_offices_prayers_and_figures_are_left_alone(text: str) -> None:
    assert find_personal_data(text) == ()


def test_a_bad_check_digit_needs_the_word_that_says_what_it_is() -> None:
    assert find_personal_data("بطاقتي 4111 1111 1111 1112") == ()
    assert [one.kind for one in find_personal_data("رقم هويتي 1094711719")] == ["identity number"]


def test_endless_input_is_searched_in_linear_time() -> None:
    for piece in ("ا", "a.", "1 ", "السيد ", "محمد بن ", "a@", "SA12 ", "+"):
        assert len(mask(piece * (20_000 // len(piece))).text) > 0
