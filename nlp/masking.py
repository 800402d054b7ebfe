"""Masking: personal data gives way to a readable placeholder, with the way back to the raw text kept."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from nlp.personal_data import KINDS, PersonalData, find_personal_data
from nlp.records import Span

PLACEHOLDERS = MappingProxyType(
    {
        "telephone": "[هاتف]",
        "identity number": "[رقم هوية]",
        "IBAN": "[آيبان]",
        "payment card": "[بطاقة دفع]",
        "e-mail": "[بريد]",
        "handle": "[حساب]",
        "profile": "[رابط حساب]",
        "plate": "[لوحة مركبة]",
        "passport": "[جواز سفر]",
        "name": "[اسم]",
    }
)
_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS.values())))
# What stands around a number or a name changes when its neighbours are masked, so that more may be found in a second
# pass. Every pass takes away raw characters, and two are the rule.
_MOST_PASSES = 8


@dataclass(frozen=True)
class MaskedText:
    """A text without its personal data.

    Attributes:
        text: the masked text, safe to show.
        findings: what was masked, with its span in the raw text, in order and without overlap.
        spans: where the placeholder of each finding stands in the masked text.
    """

    text: str
    findings: tuple[PersonalData, ...]
    spans: tuple[Span, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many findings of each kind were masked; kinds without any are absent."""
        return dict(Counter(finding.kind for finding in self.findings))

    def raw_span(self, start: int, end: int) -> Span:
        """The raw characters that ``text[start:end]`` stands for; a placeholder that is touched counts whole."""
        if start >= end:
            position = self._to_raw(start)[0]
            return Span(position, position)
        return Span(self._to_raw(start)[0], self._to_raw(end - 1)[1])

    @cached_property
    def _starts(self) -> list[int]:
        return [span.start for span in self.spans]

    def _to_raw(self, position: int) -> tuple[int, int]:
        """Start and end, in the raw text, of the character at a position of the masked text."""
        index = bisect_right(self._starts, position) - 1
        if index < 0:
            return position, position + 1
        here, there = self.spans[index], self.findings[index].span
        if position < here.end:
            return there.start, there.end
        moved = position - here.end + there.end
        return moved, moved + 1


def mask(text: str, kinds: Collection[str] = KINDS) -> MaskedText:
    """Put a placeholder in the place of all personal data.

    Masking a masked text changes nothing. Placeholders that a text already holds are left as they are, and do not
    count as findings.

    Args:
        text: the raw text.
        kinds: what to mask, out of :data:`nlp.personal_data.KINDS`.
    """
    masked = _put(text, find_personal_data(text, kinds))
    for _ in range(_MOST_PASSES):
        if not masked.findings:
            break
        known = bytearray(len(masked.text))
        for match in _PLACEHOLDER.finditer(masked.text):
            known[match.start() : match.end()] = b"\1" * len(match[0])
        more = [
            PersonalData(finding.kind, masked.raw_span(finding.span.start, finding.span.end))
            for finding in find_personal_data(masked.text, kinds)
            if not any(known[finding.span.start : finding.span.end])
        ]
        if not more:
            break
        masked = _put(text, tuple(sorted((*masked.findings, *more), key=lambda finding: finding.span.start)))
    return masked


def _put(text: str, findings: tuple[PersonalData, ...]) -> MaskedText:
    pieces, spans, position, length = [], [], 0, 0
    for finding in findings:
        between, placeholder = text[position : finding.span.start], PLACEHOLDERS[finding.kind]
        length += len(between)
        spans.append(Span(length, length + len(placeholder)))
        length += len(placeholder)
        pieces += [between, placeholder]
        position = finding.span.end
    pieces.append(text[position:])
    return MaskedText("".join(pieces), findings, tuple(spans))
