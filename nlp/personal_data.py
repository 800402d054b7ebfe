"""Personal data in a text, so that it can be masked before anything is shown or passed on.

What is personal is decided here for the whole house:

* Personal: a number, address, plate or account that leads to one person, and the name of a private person, also of an
  employee, doctor, teacher, judge or police officer whom the writer complains about or thanks.
* Not personal: names of places, bodies and works that are made of a person's name (King Fahd Hospital), holders of the
  highest offices by office or by name (king, minister, governor, member of parliament), figures of religion, history
  and culture, hotlines of institutions, family names and tribes that stand alone, figures, dates and law numbers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from nlp.personal_names import find_names
from nlp.personal_numbers import find_numbers
from nlp.records import Span

NUMBERS_AND_ADDRESSES = frozenset(
    {
        "telephone",
        "identity number",
        "IBAN",
        "payment card",
        "e-mail",
        "handle",
        "profile",
        "plate",
        "passport",
    }
)
KINDS = NUMBERS_AND_ADDRESSES | {"name"}


@dataclass(frozen=True, slots=True)
class PersonalData:
    """One finding.

    Attributes:
        kind: what it looks like, one of :data:`KINDS`.
        span: where it stands in the text.
    """

    kind: str
    span: Span


def find_personal_data(text: str, kinds: Collection[str] = KINDS) -> tuple[PersonalData, ...]:
    """Find what looks like personal data.

    Args:
        text: the raw text.
        kinds: what to look for.

    Returns:
        The findings in the order of the text, without overlap.
    """
    found = [one for one in find_numbers(text) if one[0] in kinds]
    if "name" in kinds:
        taken = bytearray(len(text))
        for _, start, end in found:
            taken[start:end] = b"\1" * (end - start)
        found += [("name", start, end) for start, end in find_names(text) if not any(taken[start:end])]
    found.sort(key=lambda one: one[1])
    return tuple(PersonalData(kind, Span(start, end)) for kind, start, end in found)
