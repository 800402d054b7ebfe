"""Sections of a long text, as spans: pages between form feeds, and what stands under a heading.

A heading is a short line with text below it: one that Markdown marks, or one after an empty line or at the top of a
page, without the sign that ends a sentence. Lines that stand at the top of several pages are running heads, and a long
row of short lines is a list.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from nlp.records import Section, Span

_MOST_CHARACTERS = 80
_MOST_WORDS = 12
_MOST_TOGETHER = 3
_BODY_CHARACTERS = 60
# A line that tops so many pages is no heading of any of them.
_RUNNING_PAGES = 3
_ENDS = tuple(".!?؟؛،,…")
_BULLETS = tuple("-–—•*▪◦✦")
_LEADERS = re.compile(r"\.{3,}|…|\t\s*\d+$")
_LETTERS = re.compile(r"[^\W\d_]{2}")
_MARKDOWN = re.compile(r"^#{1,6}\s+")
# What is no part of a heading's words; the sign of a name such as C# is.
_SIGNS = re.compile(r"^#+\s*|\s+#+$")


@dataclass(frozen=True)
class _Line:
    start: int
    text: str
    alone: bool
    top: bool

    @property
    def may_be_heading(self) -> bool:
        words = _MARKDOWN.sub("", self.text)
        if len(words) > _MOST_CHARACTERS or len(words.split()) > _MOST_WORDS:
            return False
        return words != self.text or (
            self.alone
            and not self.text.endswith(_ENDS)
            and not self.text.startswith(_BULLETS)
            and not _LEADERS.search(self.text)
            and bool(_LETTERS.search(self.text))
        )

    @property
    def is_body(self) -> bool:
        return len(self.text) >= _BODY_CHARACTERS or self.text.endswith(_ENDS)


def split_sections(text: str) -> tuple[Section, ...]:
    """Split a text at its page marks and headings.

    Args:
        text: raw text of any length.

    Returns:
        Sections in order, without overlap, trimmed of white space, each with the number of its page where the text
        has form feeds, and the last heading before it, or its own. A text of one section has none.
    """
    headings = _headings(text)
    pages = [match.end() for match in re.finditer("\f", text)]
    starts = sorted({0, *pages, *headings})
    found, heading = [], None
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        heading = headings.get(start, heading)
        part = text[start:end]
        if part.strip():
            first = start + len(part) - len(part.lstrip())
            page = bisect_right(pages, start) + 1 if pages else None
            found.append(Section(Span(first, start + len(part.rstrip())), heading, page))
    return tuple(found) if len(found) > 1 else ()


def _headings(text: str) -> dict[int, str]:
    """Where each heading starts, and what it says."""
    found: dict[int, _Line] = {}
    for sheet in re.finditer(r"[^\f]+", text):
        run: list[_Line] = []
        for may_be, lines in groupby(_lines(sheet[0], sheet.start()), key=lambda line: line.may_be_heading):
            if may_be:
                run = list(lines)
            elif run and len(run) <= _MOST_TOGETHER and next(lines).is_body:
                found |= {line.start: line for line in run}
    tops = Counter(line.text for line in found.values() if line.top)
    return {
        start: _SIGNS.sub("", line.text).strip(" :")
        for start, line in found.items()
        if not (line.top and tops[line.text] >= _RUNNING_PAGES)
    }


def _lines(sheet: str, offset: int) -> Iterator[_Line]:
    """The lines of a page that are not empty."""
    alone, top = True, True
    for match in re.finditer(r"[^\n]*\n?", sheet):
        text = match[0].strip()
        if text:
            yield _Line(offset + match.start() + match[0].index(text), text, alone, top)
            alone = top = False
        else:
            alone = True
