"""Arabic sentence splitting on the raw text, as spans.

A sentence ends at ``. ! ? ؟ ؛ …`` (with the closing quotes and brackets that follow), or at a line break. A full stop
does not end a sentence inside a number (``3.5``), after an abbreviation (``د.``, ``ص.ب.``), after a list number, or
inside an address (``www.gov.jo``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nlp.records import Span

_END = re.compile(r"[.!?؟؛…۔]+[\"'»”’)\]}]*|\n+")
_OPENING = "«“‘\"'([{ـ-–—•*▪◦✦"
# Titles and short forms that are written with a full stop in Arabic prose, and Latin ones met beside them.
_ABBREVIATIONS = frozenset(
    [
        "د",
        "أ",
        "ا",
        "م",
        "أ.د",
        "ا.د",
        "م.م",
        "ص",
        "ص.ب",
        "ج",
        "ط",
        "ت",
        "هـ",
        "ه",
        "ق.م",
        "ب.م",
        "ش.م.ل",
        "ش.م.م",
        "ذ.م.م",
        "ش",
        "رقم",
        "إلخ",
        "الخ",
        "dr",
        "mr",
        "mrs",
        "ms",
        "prof",
        "vs",
        "etc",
        "no",
        "fig",
        "al",
        "e.g",
        "i.e",
        "st",
        "inc",
        "ltd",
        "p",
        "pp",
        "u.n",
        "u.s",
        "u.k",
    ]
)
_TOKEN_BEFORE = re.compile(r"[^\s«“(\[]+$")


def split_sentences(text: str) -> tuple[Span, ...]:
    """Split a text into sentences.

    Args:
        text: raw text of any length.

    Returns:
        Spans in order, without overlap, trimmed of white space. They cover every character that is not
        white space; a text of white space alone has none.
    """
    spans = []
    start = 0
    for boundary in _boundaries(text):
        spans.append(_trim(text, start, boundary))
        start = boundary
    spans.append(_trim(text, start, len(text)))
    return tuple(span for span in spans if span.start < span.end)


def _boundaries(text: str) -> Iterator[int]:
    for match in _END.finditer(text):
        if match[0].startswith("\n") or _ends_sentence(text, match):
            yield match.end()


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    following = text[match.end() : match.end() + 1]
    if not match[0].startswith(".") or match[0].startswith(".."):
        return True
    if following and not following.isspace() and following not in _OPENING:
        # A letter or digit right after one stop: 3.5, www.gov.jo, د.محمد. A forgotten space after an
        # Arabic word of some length is a sentence end all the same.
        word = _word_before(text, match.start())
        return len(word) > 3 and word.isalpha() and not word.isascii() and not following.isascii()
    word = _word_before(text, match.start())
    return not (word.lower() in _ABBREVIATIONS or _is_list_number(text, match.start(), word))


def _word_before(text: str, position: int) -> str:
    found = _TOKEN_BEFORE.search(text, max(0, position - 20), position)
    return found[0] if found else ""


def _is_list_number(text: str, position: int, word: str) -> bool:
    """A short number that opens its line: ``2. التدريب``."""
    if not (word.isdigit() and len(word) <= 2):
        return False
    start = max(0, position - 8)
    line_start = text.rfind("\n", start, position) + 1
    return (line_start > 0 or start == 0) and text[line_start:position].strip() == word


def _trim(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end)
