"""Personal data in a text: telephone numbers, identity numbers, IBANs, e-mail addresses and handles."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nlp.charmaps import load
from nlp.records import Span

_DIGITS = str.maketrans(load()["digits"])
# Numbers that nobody can have: all digits equal, or a plain run. Authors use them as obviously false ones.
_FALSE = re.compile(r"(\d)\1{4,}|1234567|0{4,}")
_PATTERNS = {
    "e-mail": re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"),
    "handle": re.compile(r"(?<![\w@])@(?!user\b)\w{3,}"),
    "IBAN": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b"),
    # International, or a national mobile number: nine digits and more, with the separators people write.
    "telephone": re.compile(
        r"(?<![\d,.])(?:\+|00)\d(?:[ -]?\d){8,13}(?![\d,.]\d)|(?<![\d,.])0\d(?:[ -]?\d){7,9}(?![\d,.]?\d)"
    ),
    "identity number": re.compile(r"(?<![\d,.])\d{9,14}(?![\d,.]?\d)"),
}


@dataclass(frozen=True, slots=True)
class PersonalData:
    """One finding.

    Attributes:
        kind: what it looks like.
        span: where it stands in the text.
    """

    kind: str
    span: Span


def find_personal_data(text: str) -> tuple[PersonalData, ...]:
    """Find what looks like personal data, in order, without overlap; obviously false numbers are left out."""
    western = text.translate(_DIGITS)
    found: list[PersonalData] = []
    for kind, pattern in _PATTERNS.items():
        for match in pattern.finditer(western):
            span = Span(*match.span())
            overlaps = any(span.start < other.span.end and other.span.start < span.end for other in found)
            if not overlaps and not _FALSE.search(re.sub(r"\D", "", match[0])):
                found.append(PersonalData(kind, span))
    return tuple(sorted(found, key=lambda one: one.span.start))
