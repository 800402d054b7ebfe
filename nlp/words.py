"""The words of a text in folded spelling, each with its place in the raw text: what lexicons are looked up with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from nlp.normalise import find_recipe

# Marks of the Quran and of other languages, and those of a letter that was taken apart: no recipe drops them all.
_RARE_MARKS = "\u0610-\u061a\u0653-\u065f\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
_RARE = re.compile(f"[{_RARE_MARKS}]")
# Letters and digits with the marks, tatweel and invisible characters that people put inside a word.
# The length is held, so that one endless "word" costs no more than many.
_WORD = re.compile(
    f"[\\w\u064b-\u0652\u0670\u0640{_RARE_MARKS}"
    "\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]{1,200}"
)

_light, _fold = find_recipe("light"), find_recipe("folded")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one text.

    Attributes:
        text: the raw text.
        forms: the folded form of each word, lower case.
        starts: where each word starts in the raw text.
        ends: where it ends.
    """

    text: str
    forms: list[str]
    starts: list[int]
    ends: list[int]

    def gap(self, index: int) -> str:
        """The raw characters between a word and the one after it."""
        return self.text[self.ends[index] : self.starts[index + 1]]

    def spelling(self, index: int) -> str:
        """A word as it was spelled, without marks: hamza seats, teh marbuta and final yeh are kept apart."""
        return _RARE.sub("", _light(self.text[self.starts[index] : self.ends[index]]))


@lru_cache(maxsize=200_000)
def fold_word(word: str) -> str:
    """The folded form of a word, lower case. Texts repeat their words, so forms are remembered."""
    return _RARE.sub("", _fold(word)).lower()


def split_words(text: str) -> Words:
    """Split a text into words; punctuation, signs and emoji stand between them."""
    matches = [match for match in _WORD.finditer(text) if fold_word(match[0])]
    return Words(
        text,
        [fold_word(match[0]) for match in matches],
        [match.start() for match in matches],
        [match.end() for match in matches],
    )
