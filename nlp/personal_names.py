"""Names of private persons in Arabic text, and of persons with a title in Latin script.

A name is a chain: given names, ``عبد`` with a name of God, teknonyms (``أبو``, ``أم``), links (``بن``, ``بنت``,
``ولد``, ``آل``) and family names. A chain counts when it holds a given name that is no common word, or when a title, a
word of kinship or an introduction (``اسمي``) stands before it. It does not count inside the name of a place or a body,
after an office or a holy title, or where it names a public figure. The word lists are in ``arabic_names.json``: names
and contexts were written for this module, ``common`` and ``common_definite`` are the frequent words of the training
corpus, which tell an unknown surname from a plain word.
"""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from pathlib import Path

from nlp.words import Words, fold_word, split_words

_FILE = Path(__file__).with_name("arabic_names.json")


# Roles of a word, as bits of a plain integer: they are tested for every word of every text.
_GIVEN, _GIVEN_WORD, _FAMILY, _FAMILY_WORD = 1, 2, 4, 8
_TITLE, _KIN, _INTRODUCTION, _PLACE = 16, 32, 64, 128
_OFFICE, _OFFICE_OF, _HOLY, _BODY, _OF_FAITH = 256, 512, 1024, 2048, 4096
_TEKNONYM, _SERVANT = 8192, 16384
_NAME = _GIVEN | _GIVEN_WORD | _FAMILY | _FAMILY_WORD
_GIVEN_ANY = _GIVEN | _GIVEN_WORD
_STARTS = _NAME | _TEKNONYM | _SERVANT

_TEKNONYMS = frozenset(("ابو", "ام", "بو", "ابا"))
_LINKS = frozenset(("بن", "ابن", "بنت", "ولد", "ال", "ود"))
_SECOND_PARTS = frozenset(("الهدي", "الزهراء"))
_CLITICS = ("و", "ف", "ب", "ل", "ك", "ول", "وب", "فل")
# One-letter titles (doctor, engineer, Mr) need the stop or stroke that goes with them.
_LETTER_TITLES = frozenset("دما")
# "An honest employee" is no name, "the employee Sharif" is one.
_INDEFINITE_TITLES = frozenset(
    ("موظف", "موظفه", "مهندس", "مهندسه", "معلم", "معلمه", "مدير", "مديره", "استاذ", "استاذه")
)
_HONORIFICS = frozenset(
    ("العزيز", "العزيزه", "الكريم", "الكريمه", "الفاضل", "الفاضله", "المحترم", "المحترمه", "الغالي")
)
_BLESSINGS = frozenset(("صلي", "عليه", "عليها", "عليهم", "رضي", "رسول", "النبي"))
_BLESSED_BY = frozenset(("الله", "السلام", "الصلاه", "افضل", "صلوات"))
_PRAYERS = frozenset(("صل", "صلي", "صلوا", "الصلاه", "اللهم", "وسلم", "صلاه"))
_THANKED = frozenset(("الله", "ربك", "ربي", "ربنا", "ربكم"))
# After these a name that is also an adjective is the adjective: happy with, generous to, fit for.
_ADJECTIVE_AFTER = re.compile(
    r"جدا|معي|معنا|معه|معهم|مع|ب(?:ال|ه|كل|ا|ذل).*|لل.*|ل(?:ان|كل|ه).*|لانه?ا?|الله|ان|انه|انها|انو|والله|كثير|كتير|وايد|قوي|بها?|جدن"
)
_THING = frozenset(("شي", "شيء", "حاجه", "كذبه", "وهم", "خدعه", "مرض", "مكان", "برنامج", "تطبيق"))
_QUESTION = frozenset(("هل", "سواء", "مهما"))
_NAMING = frozenset(("اسمي", "المدعو", "المدعوه"))
_NAMED = frozenset(("اسمه", "اسمها", "اسمو", "اسمهم"))
_WEAK_INTRODUCTIONS = frozenset(("انا", "معكم", "معاكم", "معك", "معاك", "معكو", "باسم"))
_AFTER_NAME = frozenset(("من", "عندي", "عمري", "بدي", "ابي", "عايز", "اريد", "اسكن", "ساكن", "ساكنه", "طالب", "طالبه"))

_MOST_TITLES = 6

_TIGHT = re.compile(r"[ \t\u00a0]{1,3}")
_LOOSE = re.compile(r"[ \t\u00a0]{0,2}[./:،,\-–(«\"]{0,2}[ \t\u00a0]{0,2}")
_MARKED = re.compile(r" ?[./:] ?")

_CAPITAL = r"[A-Z][a-zà-ÿ\u0300-\u036f'’]+"
_CAPITALS = re.compile("[A-Z][a-z]")
_LATIN_CHAIN = rf"(?P<value>{_CAPITAL}(?:[ -](?:(?:al|el|bin|ben|ibn|bint)[ -])?{_CAPITAL}){{0,3}})"
_LATIN = re.compile(
    r"(?:(?<!\w)(?:Mr|Mrs|Ms|Miss|Dr|Prof|Eng|Mme|Mlle|Hajj?|M(?=\.))\.? |\b(?:Monsieur|Madame|Doctor|Professor) "
    r"|\b(?:[Mm]y name is|[Jj]e m['’]appelle|[Mm]on nom est|[Nn]ame ?:|[Nn]om ?:) ?)"
    + _LATIN_CHAIN
    + r"(?! (?:Hospital|Street|Road|University|School|City|Mosque|Airport|District|Avenue))"
)
_LATIN_OFFICES = frozenset(
    (
        *("Minister", "President", "King", "Queen", "Prince", "Princess", "Mayor", "Governor", "Director", "Manager"),
        *("Speaker", "Ministre", "Président", "Maire"),
    )
)


@cache
def _lexicon() -> dict[str, int]:
    data: dict[str, list[str]] = json.loads(_FILE.read_text(encoding="utf-8"))
    roles = {
        "given": _GIVEN,
        "given_words": _GIVEN_WORD,
        "family": _FAMILY,
        "family_words": _FAMILY_WORD,
        "titles": _TITLE,
        "kin": _KIN,
        "introductions": _INTRODUCTION,
        "governing": _PLACE,
        "offices": _OFFICE,
        "offices_of": _OFFICE_OF,
        "holy": _HOLY,
        "bodies": _BODY,
        "of_faith": _OF_FAITH,
    }
    lexicon: dict[str, int] = {}
    for name, role in roles.items():
        for word in _entries(data[name]):
            lexicon[word] = lexicon.get(word, 0) | role
    # A spelling that is a name and a word alike counts as a word.
    for word, role in lexicon.items():
        if role & _GIVEN_WORD:
            lexicon[word] &= ~_GIVEN
        if role & _FAMILY_WORD:
            lexicon[word] &= ~_FAMILY
    for word in _TEKNONYMS:
        lexicon[word] = lexicon.get(word, 0) | _TEKNONYM
    lexicon["عبد"] = lexicon.get("عبد", 0) | _SERVANT
    for word, role in list(lexicon.items()):
        if role & _GIVEN_ANY and len(word) > 2:
            lexicon.setdefault("ابو" + word, _GIVEN)
        if role & _GIVEN:
            lexicon.setdefault("بو" + word, _GIVEN)
    return lexicon


def _entries(lines: list[str]) -> list[str]:
    return [fold_word(word) for line in lines for word in line.split()]


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset(_entries(json.loads(_FILE.read_text(encoding="utf-8"))[name]))


@cache
def _ending_in_alef_maksura() -> frozenset[str]:
    """Short names whose folded form is another word when it ends in yeh: ``منى`` and ``مني``."""
    data = json.loads(_FILE.read_text(encoding="utf-8"))
    words = [word for name in ("given", "given_words") for line in data[name] for word in line.split()]
    return frozenset(fold_word(word) for word in words if word.endswith("ى") and len(word) <= 4)


@cache
def _public_figures() -> dict[str, list[tuple[str, ...]]]:
    figures: dict[str, list[tuple[str, ...]]] = {}
    for line in json.loads(_FILE.read_text(encoding="utf-8"))["public_figures"]:
        words = tuple(fold_word(word) for word in line.split())
        figures.setdefault(words[0], []).append(words)
    return figures


@lru_cache(maxsize=200_000)
def _look_up(form: str) -> tuple[int, int]:
    """Roles of a word, and how many letters before it are particles written together with it."""
    lexicon = _lexicon()
    roles = lexicon.get(form, 0)
    if roles:
        return roles, 0
    if form.startswith("عبدال") and len(form) > 6:
        return _GIVEN, 0
    if form.startswith("لل") and (roles := lexicon.get("ال" + form[2:], 0) & ~_NAME):
        return roles, 0
    for clitic in _CLITICS:
        if form.startswith(clitic):
            rest = form[len(clitic) :]
            roles = lexicon.get(rest, 0) if len(rest) > 1 else 0
            if rest == "ام" and clitic != "و":
                roles = 0
            if roles:
                return roles, len(clitic)
            if rest.startswith("عبدال") and len(rest) > 6:
                return _GIVEN, len(clitic)
    return 0, 0


def find_names(text: str) -> list[tuple[int, int]]:
    """Find names of private persons.

    Returns:
        Start and end of each in the raw text, in order; titles and particles before a name are not part of it.
    """
    found = _ArabicNames(split_words(text)).find()
    if _CAPITALS.search(text):
        for match in _LATIN.finditer(text):
            if match["value"].split()[0] not in _LATIN_OFFICES:
                found.append(match.span("value"))
        found.sort()
    return found


class _ArabicNames:
    """The search in one text."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self.forms = words.forms
        looked_up = list(map(_look_up, words.forms))
        self.roles = [roles for roles, _ in looked_up]
        self.clitics = [clitic for _, clitic in looked_up]

    def find(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        index, count = 0, len(self.forms)
        while index < count:
            starts = self.roles[index] & _STARTS or (index and self._bare(index - 1) in _NAMING)
            end = self._name_from(index) if starts else index
            if end > index:
                start = self._unknown_son(index)
                if not self._is_not_personal(start, end):
                    found.append((self._start_of(start), self.words.ends[end - 1]))
                index = end
            else:
                index += 1
        return found

    def _unknown_son(self, index: int) -> int:
        """Where a chain starts that was entered after ``بن``: at the word before it, which no list knows."""
        before = index - 2
        if before < 0 or self.forms[index - 1] != "بن" or not (self._joined(before) and self._joined(before + 1)):
            return index
        form = self.forms[before]
        unknown = not self.roles[before] and len(form) > 2 and not form.startswith("ال") and form.isalpha()
        return before if unknown and form not in _words("not_names") else index

    def _bare(self, index: int) -> str:
        return self.forms[index][self.clitics[index] :]

    def _start_of(self, index: int) -> int:
        """Where the name starts in the raw text, after its particles."""
        start = self.words.starts[index]
        clitic = self.clitics[index]
        while clitic:
            if self.words.text[start].isalpha() and self.words.text[start] != "ـ":
                clitic -= 1
            start += 1
        while not self.words.text[start].isalpha():
            start += 1
        return start

    def _joined(self, index: int) -> bool:
        """Whether only blanks stand between this word and the one after it."""
        return index + 1 < len(self.forms) and _TIGHT.fullmatch(self.words.gap(index)) is not None

    def _near(self, index: int) -> bool:
        return self._joined(index) or _MARKED.fullmatch(self.words.gap(index)) is not None

    def _given(self, index: int) -> int:
        """Roles of a word as part of a name, where its raw spelling leaves it one."""
        roles = self.roles[index] & _NAME
        if roles:
            form = self._bare(index)
            if form == "علي" and self.words.spelling(index).endswith("ى"):
                return 0
            if form in _ending_in_alef_maksura() and not self.words.spelling(index).endswith("ى"):
                return 0
        return roles

    def _lead(self, index: int) -> int:
        """Roles of what stands before a name: a title, a word of kinship, an introduction."""
        if index == 0 or self.clitics[index]:
            return 0
        before = index - 1
        if self._bare(before) in _HONORIFICS and before and self._joined(before):
            before -= 1
        gap = self.words.text[self.words.ends[index - 1] : self.words.starts[index]]
        roles = self.roles[before] & (_TITLE | _KIN | _INTRODUCTION)
        if not roles or not _LOOSE.fullmatch(gap):
            return 0
        if self.forms[before] in _LETTER_TITLES:
            return roles if _MARKED.fullmatch(gap) else 0
        if roles & _INTRODUCTION or "/" in gap or ":" in gap:
            return roles
        return roles if _TIGHT.fullmatch(gap) else 0

    def _name_from(self, index: int) -> int:
        """The end of the name that starts here; the same index where none does."""
        lead = self._lead(index)
        end, strong, parts = self._chain(index, led=bool(lead))
        if end == index:
            return self._unknown_name(index) if lead & _INTRODUCTION else index
        first = self._given(index)
        if parts == 1 and self._bare(index) in _HONORIFICS:
            return index
        if strong:
            alone = end == index + 1
            verb = alone and self._bare(index) == "احمد" and end < len(self.forms) and self.forms[end] in _THANKED
            return index if verb else end
        if not lead:
            return index
        if parts == 1 and self._bare(index - 1) in _INDEFINITE_TITLES:
            return index
        followed = end < len(self.forms) and self._joined(end - 1)
        if parts == 1:
            if followed and _ADJECTIVE_AFTER.fullmatch(self.forms[end]):
                return index
            if not lead & (_TITLE | _KIN) and self._bare(index - 1) in _WEAK_INTRODUCTIONS:
                named = self._bare(index - 1) not in ("انا", "باسم")
                return end if named and (not followed or self.forms[end] in _AFTER_NAME) else index
            if self._bare(index - 1) in _NAMED and index > 1 and self.forms[index - 2] in _THING:
                return index
            if first & _FAMILY_WORD and not first & (_GIVEN_ANY | _FAMILY):
                return index
        return end

    def _chain(self, index: int, *, led: bool) -> tuple[int, int, int]:
        """Follow a chain of names.

        Returns:
            Its end, the number of parts that are names beyond doubt, and the number of its parts.
        """
        forms, count = self.forms, len(self.forms)
        at, strong, parts = index, 0, 0
        while at < count and parts < 7:
            inside = at > index
            if inside and (not self._joined(at - 1) or self.clitics[at]):
                break
            form, roles = self._bare(at), self._given(at)
            joined = self._joined(at)
            if joined and self._in_two_words(at):
                at, strong, parts = at + 2, strong + 1, parts + 1
            elif form in _TEKNONYMS and joined and (named := self._after_teknonym(at, led=led or inside)):
                at, strong, parts = named, strong + 1, parts + 1
            elif inside and form in _LINKS and joined and self._linked(at):
                is_servant = forms[at + 1] == "عبد" and self._joined(at + 1)
                at, strong, parts = at + (3 if is_servant else 2), strong + (form != "ود"), parts + 1
            elif inside and form in _SECOND_PARTS:
                at, strong = at + 1, strong + 1
            elif roles & _GIVEN:
                at, strong, parts = at + 1, strong + 1, parts + 1
            elif roles & _FAMILY:
                if not inside and not led:
                    break
                at, strong, parts = at + 1, strong + 1, parts + 1
            elif roles and (roles & _GIVEN_WORD or inside or (led and not self.roles[at] & _OFFICE)):
                at, parts = at + 1, parts + 1
            elif self._ends_in_surname(at, index, parts, sure=strong > 0, led=led):
                return at + 1, strong, parts + 1
            else:
                break
        # "Muhammad is happy with ...": the adjective after the name is none of it.
        last = at - 1
        if (
            parts > 1
            and last > index
            and self.roles[last] & _NAME in (_GIVEN_WORD, _FAMILY_WORD)
            and at < count
            and self._joined(last)
            and _ADJECTIVE_AFTER.fullmatch(forms[at])
        ):
            at, parts = last, parts - 1
        return at, strong, parts

    def _in_two_words(self, at: int) -> bool:
        """``عبد الله`` and its like, ``نور الدين`` and its like."""
        following = self.forms[at + 1]
        if self._bare(at) == "عبد":
            return following in _words("servants")
        return bool(self._given(at) & _GIVEN_ANY and self.roles[at] & _OF_FAITH and following == "الدين")

    def _ends_in_surname(self, at: int, index: int, parts: int, *, sure: bool, led: bool) -> bool:
        """Whether a word that no list knows is the surname at the end of the chain that began at ``index``."""
        if at == index:
            return False
        if (sure or (led and self._given(index) & _GIVEN_ANY)) and self._looks_like_family(at):
            return True
        return led and parts == 1 and not self._given(at) and self._is_unknown_surname(at, index)

    def _after_teknonym(self, at: int, *, led: bool) -> int:
        """The end of ``أبو`` or ``أم`` and the name after it; 0 where no name follows."""
        following = at + 1
        if self.clitics[following]:
            return 0
        if (
            self.forms[following] == "عبد"
            and self._joined(following)
            and self.forms[following + 1] in _words("servants")
        ):
            return following + 2
        roles = self._given(following)
        if roles & _GIVEN:
            return following + 1
        if roles & _GIVEN_WORD:
            either_or = (
                self._bare(at) == "ام"
                and not led
                and any(form in _QUESTION for form in self.forms[max(0, at - 6) : at])
            )
            adjective = following + 1 < len(self.forms) and self.forms[following + 1] == "الله"
            return 0 if either_or or adjective else following + 1
        return 0

    def _linked(self, at: int) -> bool:
        """Whether a link such as ``بن`` leads on to another name."""
        form, following = self.forms[at], self.forms[at + 1]
        if self.clitics[at + 1] and not self.roles[at + 1] & _NAME:
            return False
        if following == "عبد" or self._given(at + 1):
            return True
        if form == "ال" and not self.words.spelling(at).startswith("آ"):
            return False
        return form in ("بن", "ال") and len(following) > 2 and following not in _words("not_names")

    def _looks_like_family(self, at: int) -> bool:
        form = self.forms[at]
        return (
            len(form) > 5 and form.startswith("ال") and not self.roles[at] and form[2:] not in _words("common_definite")
        )

    def _is_unknown_surname(self, at: int, index: int) -> bool:
        """After a title and a given name: a word that is no common one and does not begin like a verb or a particle."""
        form = self.forms[at]
        return (
            self.roles[index - 1] & _TITLE > 0
            and self._given(at - 1) & _GIVEN_ANY > 0
            and not self.roles[at]
            and len(form) > 3
            and form.isalpha()
            and form[0] not in "يتنوفبلكسا"
            and form not in _words("common")
            and form not in _words("not_names")
        )

    def _unknown_name(self, index: int) -> int:
        """``اسمي`` and a word that no list knows: a name, if the sentence goes on as after a name."""
        form, gap = self.forms[index], self.words.gap(index - 1)
        if (
            any(sign in gap for sign in '.«"(')
            or self._bare(index - 1) not in _NAMING
            or len(form) < 3
            or not form.isalpha()
        ):
            return index
        if form in _words("not_names") or form.startswith(("ال", "ي", "ت", "ب", "و")) or self.roles[index]:
            return index
        if not self._joined(index):
            return index + 1
        following = self.forms[index + 1]
        return (
            index + 1 if following in _AFTER_NAME or following.startswith(("ورقم", "وعمر", "وساكن", "وانا")) else index
        )

    def _is_not_personal(self, index: int, end: int) -> bool:
        """Whether the chain is part of a place, an office, a prayer, or a public figure."""
        forms = self.forms
        if any(self._is_public_figure(at) for at in range(index, end)):
            return True
        if end < len(forms) and forms[end] in _BLESSINGS and (end + 1 == len(forms) or forms[end + 1] in _BLESSED_BY):
            return True
        if "ﷺ" in self.words.text[self.words.ends[end - 1] : self.words.ends[end - 1] + 3]:
            return True
        before = index - 1
        if self.clitics[index] or before < 0:
            return False
        if forms[before] in ("علي", "ال") and any(form in _PRAYERS for form in forms[max(0, before - 6) : before]):
            return True
        furthest = max(0, before - _MOST_TITLES)
        while before >= furthest and self._near(before) and self.roles[before] & (_TITLE | _OFFICE | _HOLY):
            if self.roles[before] & (_OFFICE | _HOLY):
                return True
            before -= 1
        if before < 0 or not self._joined(before):
            return False
        if self.roles[before] & _PLACE:
            return not (before and forms[before] == "طريق" and forms[before - 1] == "عن")
        return self._holds_office(before)

    def _is_public_figure(self, index: int) -> bool:
        first = self._bare(index)
        figures = _public_figures().get(first, ())
        return any((first, *self.forms[index + 1 : index + len(figure)]) == figure for figure in figures)

    def _holds_office(self, before: int) -> bool:
        """``وزير الصحة``, ``رئيس مجلس الوزراء`` and the like before the name."""
        for back in range(1, 4):
            at = before - back
            if at < 0 or not self._joined(at):
                return False
            between = range(at + 1, before + 1)
            if not all(self.forms[i].startswith(("ال", "وال")) or self.roles[i] & _BODY for i in between):
                return False
            if self.roles[at] & _OFFICE_OF:
                ministerial = self._bare(at) in ("وزير", "وزيره", "محافظ", "والي", "سفير", "ملك", "امير")
                return ministerial or any(self.roles[i] & _BODY for i in between)
        return False
