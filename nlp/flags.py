"""Flags on comments for the moderator's eye: insults and spam. A flag says kind and place; nothing is ever deleted.

An insult is aimed at a person or a group. Words that are insults whoever is meant count everywhere; words that are
also animals, dirt or plain judgements (``كلب``, ``زبالة``, ``غبي``) count only in an address (``يا كلب``) or after a
person (``وزير غبي``). Harsh words about a decision or a thing are criticism and are not flagged. Religious wishes
against an unnamed wrongdoer (``حسبي الله``) are not flagged either.

Spam is an advert with a way to reach the seller, quick money, follower trade, chain messages, link and hashtag farms,
and characters or words in endless repetition. A telephone number in a complaint is no spam.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from nlp.records import Span
from nlp.words import Words, fold_word, split_words

_FILE = Path(__file__).with_name("flags.json")

_LINK = re.compile(r"https?://\S+|www\.\S+")
_GROUP_LINK = re.compile(r"chat\.whatsapp\.com/|t\.me/joinchat|t\.me/\+")
_HASHTAG = re.compile(r"#\w+")
# One sign 15 times or more in a row; laughter and kisses are no spam.
_REPEATED = re.compile(r"([^\sههخخح.ـ_\-=*~])\1{14,}")
_TELEPHONE = re.compile(r"(?<![\d٠-٩])(?:\+|00)?[\d٠-٩](?:[ -]?[\d٠-٩]){8,13}(?![\d٠-٩])")
_MOST_LINKS, _MOST_HASHTAGS, _MOST_REPETITIONS = 2, 7, 5
# How many words may stand between an offer and the way to reach the seller.
_NEAR = 8
_TIGHT = re.compile(r"[ \t\u00a0]{0,3}")


@dataclass(frozen=True, slots=True)
class Flag:
    """One thing that a moderator should look at.

    Attributes:
        kind: ``insult`` or ``spam``.
        span: where it stands in the raw text.
    """

    kind: str
    span: Span


@dataclass(frozen=True)
class _Lexicon:
    insults: frozenset[str]
    ambiguous: frozenset[str]
    addressed: frozenset[str]
    persons: frozenset[str]
    offers: frozenset[str]
    contacts: frozenset[str]
    # Phrases by their first word: kind and the words; a stop at the end stands for the end of the text.
    phrases: dict[str, list[tuple[str, tuple[str, ...]]]]


@cache
def _lexicon() -> _Lexicon:
    data: dict[str, list[str]] = json.loads(_FILE.read_text(encoding="utf-8"))

    def words(name: str) -> frozenset[str]:
        return frozenset(fold_word(word) for line in data[name] for word in line.split())

    phrases: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for kind, name in (("insult", "phrases"), ("spam", "spam_alone")):
        for line in data[name]:
            phrase = tuple(fold_word(word) for word in line.split())
            phrases.setdefault(phrase[0], []).append((kind, phrase))
    return _Lexicon(
        insults=words("insults"),
        ambiguous=words("insulting_words"),
        addressed=words("addressed"),
        persons=words("persons"),
        offers=words("offers"),
        contacts=words("contacts"),
        phrases=phrases,
    )


def find_flags(text: str) -> tuple[Flag, ...]:
    """Find insults and spam.

    Returns:
        The flags in the order of the text; a flag of spam spans what shows it, such as the whole run of hashtags.
    """
    words = split_words(text)
    flags = _insults_and_phrases(words)
    if not any(flag.kind == "spam" for flag in flags):
        spam = _advert(words) or _farm(text) or _repetition(words)
        if spam:
            flags.append(Flag("spam", spam))
    return tuple(sorted(flags, key=lambda flag: flag.span.start))


def _insults_and_phrases(words: Words) -> list[Flag]:
    lexicon, forms = _lexicon(), words.forms
    flags: list[Flag] = []
    index = 0
    while index < len(forms):
        found = _phrase_at(words, index) or _insult_at(words, index, lexicon)
        if found is None:
            index += 1
            continue
        kind, first, end = found
        flags.append(Flag(kind, Span(words.starts[first], words.ends[end - 1])))
        index = end
    return flags


def _phrase_at(words: Words, index: int) -> tuple[str, int, int] | None:
    forms = words.forms
    for kind, phrase in _lexicon().phrases.get(forms[index], ()):
        closing = phrase[-1] == "."
        words_of_it = phrase[:-1] if closing else phrase
        end = index + len(words_of_it)
        if tuple(forms[index:end]) == words_of_it and (not closing or end == len(forms)):
            return kind, index, end
    return None


def _insult_at(words: Words, index: int, lexicon: _Lexicon) -> tuple[str, int, int] | None:
    form = words.forms[index]
    # Glued to the call: ياكلب, يالحمار, يا.
    for call in ("يال", "يا"):
        rest = form[len(call) :]
        if form.startswith(call) and (rest in lexicon.ambiguous or rest in lexicon.insults):
            return "insult", index, index + 1
    bare = _without_particles(form, lexicon)
    if bare in lexicon.insults:
        return "insult", index, index + 1
    if bare in lexicon.ambiguous and _aimed_at_a_person(words, index, lexicon):
        return "insult", index, index + 1
    return None


def _without_particles(form: str, lexicon: _Lexicon) -> str:
    for particle in ("", "ال", "و", "وال", "يال", "لل", "بال", "ل", "ف"):
        rest = form[len(particle) :]
        if form.startswith(particle) and (rest in lexicon.insults or rest in lexicon.ambiguous):
            return rest
    return form


def _aimed_at_a_person(words: Words, index: int, lexicon: _Lexicon) -> bool:
    """An address within two words before, a person right before, or a relative clause that makes a person of it."""
    forms = words.forms
    for back in (1, 2):
        at = index - back
        if at < 0 or not _TIGHT.fullmatch(words.text[words.ends[at] : words.starts[at + 1]]):
            break
        word = forms[at]
        if word in lexicon.addressed and (back == 1 or forms[at + 1] not in _BETWEEN_NOT):
            return True
        # "This animal" speaks of an animal, "this is an animal" of a person.
        pointed = word.startswith("ها") or word.startswith("هذ")
        if word in lexicon.persons and not (pointed and forms[index].startswith("ال")):
            return back == 1 or forms[at + 1] in _BETWEEN or _joined_adjective(forms[index])
    following = forms[index + 1] if index + 1 < len(forms) else ""
    return (
        forms[index].startswith("ال")
        and following in ("اللي", "الي")
        and len(forms) > index + 2
        and _did(forms[index + 2])
    )


_BETWEEN_NOT = frozenset(
    (
        "لست",
        "اما",
        "جماعه",
        "شباب",
        "ناس",
        "اخوان",
        "حكومه",
        "اهل",
        "مو",
        "مش",
        "ليس",
        "غير",
        "ضد",
        "من",
        "مع",
        "في",
        "علي",
        "عند",
        "عندك",
        "كل",
        "تربي",
        "صاحب",
    )
)
_BETWEEN = frozenset(("كلهم", "كلها", "كله", "والله", "طلع", "طلعوا", "مثل", "مجرد", "اكبر", "جدا"))


def _joined_adjective(form: str) -> bool:
    return form.startswith("و") and len(form) > 3


def _did(form: str) -> bool:
    """A verb of decision, as in "the donkey who wrote the law"."""
    return form.startswith(("كتب", "قرر", "وقع", "صمم", "اخترع", "حط", "عمل", "سوي", "وافق", "اصدر", "فكر", "عين"))


def _advert(words: Words) -> Span | None:
    """An offer and, near it, a way to reach the seller."""
    lexicon, forms = _lexicon(), words.forms
    if lexicon.offers.isdisjoint(forms):
        return None
    offers = [index for index, form in enumerate(forms) if form in lexicon.offers]
    contacts = [index for index, form in enumerate(forms) if form in lexicon.contacts]
    contacts += [index for index, pair in enumerate(pairwise(forms)) if pair in _CALLS]
    telephone = _TELEPHONE.search(words.text)
    if telephone:
        contacts += [index for index, start in enumerate(words.starts) if telephone.start() <= start < telephone.end()]
    for offer in offers:
        near = [contact for contact in contacts if abs(offer - contact) <= _NEAR]
        if near:
            return Span(words.starts[min(offer, *near)], words.ends[max(offer, *near)])
    return None


_CALLS = frozenset(
    (
        ("اتصل", "الان"),
        ("اتصل", "بنا"),
        ("تواصل", "معنا"),
        ("تواصل", "خاص"),
        ("التواصل", "خاص"),
        ("راسلني", "خاص"),
        ("اشترك", "الان"),
        ("اضغط", "هنا"),
        ("اضغط", "الرابط"),
    )
)


def _farm(text: str) -> Span | None:
    """Links or hashtags and little else, or an invitation to a group."""
    for pattern, most, few in ((_LINK, _MOST_LINKS, 5), (_HASHTAG, _MOST_HASHTAGS, 4)):
        matches = list(pattern.finditer(text))
        if len(matches) > most and len(pattern.sub(" ", text).split()) <= few:
            return Span(matches[0].start(), matches[-1].end())
    if match := _GROUP_LINK.search(text):
        return Span(match.start(), match.end())
    return None


def _repetition(words: Words) -> Span | None:
    if match := _REPEATED.search(words.text):
        return Span(*match.span())
    start = 0
    for index in range(1, len(words.forms) + 1):
        if index == len(words.forms) or words.forms[index] != words.forms[start]:
            if index - start > _MOST_REPETITIONS:
                return Span(words.starts[start], words.ends[index - 1])
            start = index
    return None
