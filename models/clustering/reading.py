"""Comments to words: the forms that people wrote, and the keys that they are counted by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from nlp.normalise import find_recipe
from nlp.stemming import stem
from nlp.stopwords import stop_words
from nlp.words import fold_word

# What stands after so many characters does not change what a comment is about.
MOST_CHARACTERS = 20_000
# Addresses, user names and the marks that stand for masked personal data are nobody's words.
_FOREIGN = re.compile(
    r"(?:https?://|www\.)\S+|\S+@\S+|@\w+|[\[<⟨{][^\]>⟩}\n]{1,40}[\]>⟩}]|\b(?:URL|MENTION|USER|RT)\b", re.IGNORECASE
)
# A word, or a sign that ends a phrase. A hashtag's sign and its underscores part words and end nothing.
_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|[^\w\s#'’\"«»“”-]|\n")
# Conjunctions and prepositions of one letter grow onto stop words too.
_GROWN = "وفبلع"


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one comment, in order.

    Attributes:
        forms: as written, without diacritics and elongation; empty where a phrase ends.
        folded: the same with mixed spellings folded; empty where a phrase ends.
        keys: stems of the words that carry a subject; empty for stop words, numbers and ends of phrases.
    """

    forms: tuple[str, ...]
    folded: tuple[str, ...]
    keys: tuple[str, ...]

    @property
    def spoken(self) -> tuple[str, ...]:
        """The folded words alone: two comments with the same are the same text."""
        return tuple(word for word in self.folded if word)

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems alone."""
        return tuple(key for key in self.keys if key)


def read_words(texts: Sequence[str]) -> list[Words]:
    """Read the words of comments; nothing after the first 20,000 characters of a comment is read."""
    light = find_recipe("light")
    found = []
    for text in texts:
        tokens = _TOKEN.findall(light(_FOREIGN.sub(" . ", text[:MOST_CHARACTERS])))
        forms = tuple(token if token[0].isalnum() else "" for token in tokens)
        folded = tuple(map(fold_word, forms))
        found.append(Words(forms, folded, tuple(map(key_of, folded))))
    return found


@lru_cache(maxsize=200_000)
def key_of(folded: str) -> str:
    """The stem that a folded word is counted by; empty if it carries no subject."""
    if len(folded) < 2 or not folded.isalpha() or folded in stop_words():
        return ""
    if folded[0] in _GROWN and folded[1:] in stop_words():
        return ""
    return stem(folded)
