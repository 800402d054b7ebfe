"""Light stems of Arabic words, standard and dialect: keys to count words by, never words to show.

A stem is cut from a folded word (recipe ``folded``): first what is written before it (conjunctions and prepositions
that grow onto the article, the article, or the dialects' marks of present and future), then what is written after it
(pronouns, number, gender, the negating shin). At least three letters are left.
"""

from __future__ import annotations

import re
from functools import lru_cache

_LEAST = 3
_BEFORE = ("وبال", "وكال", "فبال", "وهال", "وعال", "وال", "فال", "بال", "كال", "هال", "عال", "ولل", "شال", "ال", "لل")
# The dialects' marks of present and future, before the prefix of a verb: بيشتغل، هتشتغل، كنشتغل.
_MARKED = re.compile(r"[بهحسكغد](?=[يتن]\w{3})")
# Nouns that look like marked verbs.
_NOUNS = re.compile(
    "سيار|سيد|سيول|سياس|سياح|سيطر|ستار|ستين|سند|سنو|سنه|بيان|بيت|بيوت|بيئ|بيع|بنات|بنا|بنك|بنو|بند|بتر|بني|ديون|دينار"
    "|دين|حيا|حيث|حيوان|حنان|حنفي|هيئ|هيكل|هيب|هنا|هند|كتاب|كتب|كيلو|كيف|كنس|كندا|غيا|غير|غيوم"
)
_AFTER = (
    "تموها", "تهم", "تها", "تنا", "تكم", "اتي", "اته", "يات", "ينا", "يين", "يون", "هما", "كما",
    "هم", "هن", "ها", "نا", "كم", "كن", "ني", "ات", "ون", "ين", "ان", "وا", "تي", "ته", "تك", "يه", "وش",
    "ه", "ي", "ك", "ا", "ش",
)  # fmt: skip
_ARABIC = re.compile(r"[\u0620-\u064a]")


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """The stem of one folded word; a word of another script stays as it is, in lower case.

    Args:
        word: letters alone, folded.
    """
    if not _ARABIC.search(word):
        return word.lower()
    before = next((part for part in _BEFORE if word.startswith(part) and len(word) - len(part) >= _LEAST), "")
    if before:
        word = word[len(before) :]
    elif not _NOUNS.match(word):
        word = _MARKED.sub("", word, count=1) if _MARKED.match(word) else word
    after = next((part for part in _AFTER if word.endswith(part) and len(word) - len(part) >= _LEAST), "")
    return word[: len(word) - len(after)]
