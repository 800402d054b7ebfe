"""The character maps of the normalisation recipes, taken from camel-tools and kept beside this module as data.

Serving must not pull in camel-tools' dependencies (torch among them), so its maps are written once to
``charmaps.json`` by :func:`from_camel_tools`; a test holds the file equal to what camel-tools says.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("charmaps.json")


@cache
def load() -> dict[str, dict[str, str]]:
    """The maps by name: each from one character to the text that takes its place (empty: dropped)."""
    maps: dict[str, dict[str, str]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return maps


def from_camel_tools() -> dict[str, dict[str, str]]:
    """Derive the maps from camel-tools' normalisers, by asking them about every character they could change.

    Only what is safe for classification is taken from ``arclean``: its digits. As a whole it would delete
    emoji and fold Persian letters.
    """
    from camel_tools.utils import dediac, normalize
    from camel_tools.utils.charmap import CharMapper

    arabic = [
        chr(code) for start, end in ((0x600, 0x700), (0x750, 0x780), (0x8A0, 0x900)) for code in range(start, end)
    ]
    arclean = CharMapper.builtin_mapper("arclean")
    tatweel = "ـ"
    functions = {
        "dediac": lambda character: character if character == tatweel else dediac.dediac_ar(character),
        "alef": normalize.normalize_alef_ar,
        "alef_maksura": normalize.normalize_alef_maksura_ar,
        "teh_marbuta": normalize.normalize_teh_marbuta_ar,
        "tatweel": lambda character: arclean(character) if character == tatweel else character,
        "digits": lambda character: arclean(character) if character.isdigit() else character,
    }
    return {
        name: {character: function(character) for character in arabic if function(character) != character}
        for name, function in functions.items()
    }
