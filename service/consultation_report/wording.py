"""What the report says, in both languages, with the forms of number that each needs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

LANGUAGES = ("ar", "en")

_ARABIC = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
_FILE = Path(__file__).with_name("wording.json")


@dataclass(frozen=True, slots=True)
class Said:
    """The same in both languages; in a page it is both, of which the styles show one.

    Attributes:
        ar: Arabic markup.
        en: English markup.
    """

    ar: Markup
    en: Markup

    def __html__(self) -> str:
        return f'<span lang="ar">{self.ar}</span><span lang="en">{self.en}</span>'


@cache
def wording() -> Mapping[str, Any]:
    """All strings as ``wording.json`` holds them."""
    words: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return words


def say(key: str, **values: Any) -> Said:
    """A string in both languages.

    Args:
        key: its section and name, ``head.kind``.
        values: what it is filled with; they are escaped, and a :class:`Said` fills each language with its own.
    """
    section, _, name = key.partition(".")
    return _both(lambda language: _fill(wording()[section][name][language], language, values))


def knows(key: str) -> bool:
    """Whether there is such a string."""
    section, _, name = key.partition(".")
    return name in wording()[section]


def count(noun: str, number: int, *, oblique: bool = False) -> Said:
    """A number of things.

    Args:
        noun: one of the section ``counts``.
        number: of them, 0 or more.
        oblique: it stands behind an Arabic preposition or verb, where the dual ends otherwise.
    """
    forms = wording()["counts"][noun]

    def form(language: str) -> Markup:
        own = forms[language]
        name = "oblique" if oblique and number == 2 and "oblique" in own else category(number, language)
        template = own.get(name, own["other"])
        return _fill(template, language, {"n": figure(number)})

    return _both(form)


def category(number: int, language: str) -> str:
    """The plural category of a whole number, as CLDR has it for Arabic and English."""
    if language == "en":
        return "one" if number == 1 else "other"
    if number < 3:
        return ("zero", "one", "two")[number]
    rest = number % 100
    if 3 <= rest <= 10:
        return "few"
    return "many" if rest >= 11 else "other"


def figure(number: int) -> str:
    """A whole number, grouped by thousands, in the digits of the product."""
    return f"{number:,}"


def percent(share: float) -> Markup:
    """A share as a percentage, with one decimal below ten percent."""
    return isolated(f"{_hundredths(share):g}%")


def interval(low: float, high: float) -> Markup:
    """Two shares as a range of percentages, the lower one on the left in both languages."""
    return isolated(f"{_hundredths(low):g}–{_hundredths(high):g}%")


def points(difference: float) -> Markup:
    """A difference of shares in percentage points, with its sign."""
    return isolated(f"{_hundredths(difference):+g}".replace("-", "−"))


def decimal(number: float) -> Markup:
    """A number with two decimals."""
    return isolated(f"{number:.2f}".replace("-", "−"))


def isolated(text: str) -> Markup:
    """Signs and digits that keep their order inside Arabic."""
    return Markup('<bdi dir="ltr">{}</bdi>').format(text)


def as_written(text: str) -> Markup:
    """What people or files say, set off from the sentence around it: ``51+`` stays so inside Arabic."""
    return Markup('<bdi dir="{}">{}</bdi>').format(direction(text), text)


def _hundredths(share: float) -> float:
    return round(100 * share, 1 if abs(share) < 0.0995 else 0)


def direction(text: str) -> str:
    """``rtl`` where most letters are, else ``ltr``: people begin an Arabic comment with a foreign word."""
    arabic = len(_ARABIC.findall(text))
    return "rtl" if arabic and arabic >= len(_LATIN.findall(text)) else "ltr"


def _both(form: Callable[[str], Markup]) -> Said:
    return Said(form("ar"), form("en"))


def _fill(template: str, language: str, values: Mapping[str, Any]) -> Markup:
    own = {name: getattr(value, language) if isinstance(value, Said) else value for name, value in values.items()}
    # The templates are ours and may hold markup; format escapes what fills them.
    return Markup(template).format(**own)  # noqa: S704
