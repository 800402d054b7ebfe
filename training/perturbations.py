"""What happens to Arabic text on its way to a classifier, made by seed: spellings, digits, elongation, scans, frames.

Every perturbation leaves a text readable to a person; a tagger should give it the same tags. A text in which there is
nothing to change, such as one without digits, comes back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType

Perturbation = Callable[[str, Random], str]
"""From a text and a source of chance to the perturbed text."""

_MARKS = "\u064b-\u0652\u0670"
_LETTER = "\u0621-\u063a\u0641-\u064a"
_WORD = re.compile(f"[{_LETTER}]{{3,}}")
# No mark is written on these, or only one kind of it.
_BARE = frozenset("اىآء")
_MARKS_OF = {"إ": "\u0650", "أ": "\u064e\u064f\u0652", "ة": "\u064b\u064c\u064d\u064e\u064f\u0650"}
_VOWELS = "\u064e\u064f\u0650\u0652"
# The short vowel that a letter has before these.
_VOWEL_BEFORE = {"ا": "\u064e", "ى": "\u064e", "ة": "\u064e"}
_SHADDA = "\u0651"
_SHADDA_SHARE = 0.12
# Of the letters that can carry a mark: about a third of all.
_MARKED_SHARE = 0.4
# Letters that do not join the next one: no tatweel follows.
_UNJOINED = frozenset("اأإآءؤدذرزوةى")

_SWAPPED_SHARE = 0.5
_TATWEEL_SHARE = 0.2
_DOUBLED_SHARE = 0.1
_EXPRESSIVE_SHARE = 0.04
_EMOJI_SHARE = 0.06
_NOISE_SHARE = 0.02

# Shapes that a scan confuses, their dotless forms included (ٮ ں ڡ).
_SHAPES = ("بتثنيٮ", "جحخ", "دذ", "رز", "سش", "صض", "طظ", "عغ", "فقڡ", "نٮں", "يى", "ةه", "أإا")
_CONFUSED = {
    letter: "".join(sorted({other for shape in _SHAPES if letter in shape for other in shape if other != letter}))
    for letter in "".join(_SHAPES)
    if letter not in "ٮںڡ"
}

EMOJI = ("😊", "👍🏽", "🙏", "😡", "👏👏", "🔥", "💔", "😂😂", "✅", "👨‍👩‍👧", "🇯🇴", "❤️")
"""What :func:`emoji` inserts."""


def diacritics(text: str, random: Random) -> str:
    """Marks on about every third letter: short vowels, shadda, and tanwin on a final teh marbuta."""

    def marked(match: re.Match[str]) -> str:
        letter = match[0]
        if letter in _BARE or random.random() > _MARKED_SHARE:
            return letter
        if letter in _MARKS_OF:
            return letter + random.choice(_MARKS_OF[letter])
        following = text[match.end() : match.end() + 1]
        if following in _VOWEL_BEFORE:
            return letter + _VOWEL_BEFORE[following]
        # A word does not open with a doubled or a vowelless letter.
        if match.start() == 0 or not re.match(f"[{_LETTER}{_MARKS}]", text[match.start() - 1]):
            return letter + random.choice(_VOWELS[:3])
        if random.random() < _SHADDA_SHARE:
            return letter + _SHADDA + random.choice(_VOWELS[:3])
        return letter + random.choice(_VOWELS)

    return re.sub(f"[{_LETTER}](?![{_MARKS}])", marked, text)


def hamzas_dropped(text: str, random: Random) -> str:
    """Every hamza left out as people leave it out: off its seat, and alone after a letter."""
    text = re.sub("[أإآ]", "ا", text).replace("ؤ", "و")
    text = re.sub(f"ئ(?![{_LETTER}{_MARKS}])", "ى", text).replace("ئ", "ي")
    return re.sub(f"(?<=[{_LETTER}{_MARKS}])ء", "", text)


def alef_and_yeh_variants(text: str, random: Random) -> str:
    """Half of the letters that people mix become one another: أ إ ا, and ى ي and ة ه at the end of a word."""
    others = {"ى": "ي", "ي": "ى", "ة": "ه", "ه": "ة", "أ": "ا", "إ": "اأ", "ا": "أإ"}

    def swapped(match: re.Match[str]) -> str:
        return random.choice(others[match[0]]) if random.random() < _SWAPPED_SHARE else match[0]

    # A bare alef takes a hamza where it opens a word that may not begin with the article.
    opening = f"(?<![{_LETTER}{_MARKS}])ا(?!ل)(?=[{_LETTER}])"
    end = f"(?<=[{_LETTER}])[ىيةه](?![{_LETTER}{_MARKS}ـ])"
    return re.sub(f"[أإ]|{opening}|{end}", swapped, text)


def arabic_indic_digits(text: str, random: Random) -> str:
    """All digits as ٠١٢٣٤٥٦٧٨٩."""
    return _digits(text, "٠")


def persian_digits(text: str, random: Random) -> str:
    """All digits as ۰۱۲۳۴۵۶۷۸۹."""
    return _digits(text, "۰")


def _digits(text: str, zero: str) -> str:
    return re.sub("[0-9٠-٩۰-۹]", lambda match: chr(ord(zero) + int(match[0])), text)


def tatweel(text: str, random: Random) -> str:
    """A fifth of the words stretched by one to four tatweels after a letter that joins the next."""

    def stretched(word: str) -> str:
        places = [place for place in range(1, len(word)) if word[place - 1] not in _UNJOINED and word[place] != "ء"]
        if not places:
            return word
        place = random.choice(places)
        return word[:place] + "ـ" * random.randint(1, 4) + word[place:]

    return _some_words(text, random, _TATWEEL_SHARE, stretched)


def doubled_letters(text: str, random: Random) -> str:
    """A letter typed twice in a tenth of the words."""
    return _some_words(text, random, _DOUBLED_SHARE, lambda word: _repeated(word, random, 1))


def expressive_elongation(text: str, random: Random) -> str:
    """A letter drawn out by three to five repetitions in a few of the words, as in speech."""
    return _some_words(text, random, _EXPRESSIVE_SHARE, lambda word: _repeated(word, random, random.randint(3, 5)))


def _repeated(word: str, random: Random, times: int) -> str:
    """A letter of a word repeated; long vowels first, and none that the word itself doubles."""
    framed = f" {word} "
    places = [place for place in range(len(word)) if word[place] not in framed[place : place + 3 : 2]]
    long = [place for place in places if word[place] in "اوي" and place]
    if not places:
        return word
    place = random.choice(long or places)
    return word[:place] + word[place] * times + word[place:]


def ocr_noise(text: str, random: Random) -> str:
    """What a scan does to 2% of the characters: similar shapes confused, dots dropped, spaces lost and added."""
    places = [place for place, character in enumerate(text) if character in _CONFUSED or character == " "]
    count = min(len(places), max(1, round(_NOISE_SHARE * len(text))))
    characters = list(text)
    for place in random.sample(places, count):
        character = characters[place]
        if character == " ":
            characters[place] = ""
        elif random.random() < 0.1:
            characters[place] = character + " "
        else:
            characters[place] = random.choice(_CONFUSED[character])
    return "".join(characters)


def emoji(text: str, random: Random) -> str:
    """An emoji after about one word in sixteen, and at least one."""
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    if not ends:
        return text
    chosen = sorted(random.sample(ends, max(1, round(_EMOJI_SHARE * len(ends)))), reverse=True)
    for end in chosen:
        text = f"{text[:end]} {random.choice(EMOJI)}{text[end:]}"
    return text


def headers_and_footers(text: str, random: Random) -> str:
    """The frame of an official paper around the text: letterhead, file number, date, rules, page number."""
    day, month, year = random.randint(1, 28), random.randint(1, 12), random.randint(2009, 2025)
    pages = random.randint(2, 40)
    rule = random.choice((".", "-", "_", "ـ")) * random.randint(20, 60)
    header = (
        random.choice(("بسم الله الرحمن الرحيم", "وزارة الشؤون الإدارية", "رئاسة مجلس الوزراء")),
        random.choice(("ديوان الوزارة", "مكتب الوزير", "الأمانة العامة")),
        f"الرقم: {random.randint(1, 9999)}/{random.choice('أبجدم')}/{year}",
        f"التاريخ: {day}/{month}/{year}م",
        rule,
    )
    footer = (
        rule,
        random.choice(("نسخة إلى الملف", "ص.ب. 1184 - هاتف 5501200 - فاكس 5501201", "للاستعمال الرسمي")),
        f"صفحة {random.randint(1, pages)} من {pages}",
    )
    return "\n".join((*header, text, *footer))


def _some_words(text: str, random: Random, share: float, change: Callable[[str], str]) -> str:
    """Change a share of the Arabic words of three letters or more, and at least one of those that can be changed."""
    words = list(_WORD.finditer(text))
    random.shuffle(words)
    left = max(1, round(share * len(words)))
    changed = {}
    for word in words:
        if left and (new := change(word[0])) != word[0]:
            changed[word.start()] = new
            left -= 1
    return _WORD.sub(lambda match: changed.get(match.start(), match[0]), text)


PERTURBATIONS: Mapping[str, Perturbation] = MappingProxyType(
    {
        "diacritics": diacritics,
        "hamzas_dropped": hamzas_dropped,
        "alef_and_yeh_variants": alef_and_yeh_variants,
        "arabic_indic_digits": arabic_indic_digits,
        "persian_digits": persian_digits,
        "tatweel": tatweel,
        "doubled_letters": doubled_letters,
        "expressive_elongation": expressive_elongation,
        "ocr_noise": ocr_noise,
        "emoji": emoji,
        "headers_and_footers": headers_and_footers,
    }
)
"""Every perturbation by the name that figures are reported under."""
