"""Normalisation recipes for Arabic, with offsets from the normalised text back to the raw text.

A recipe is data: a name and a list of steps. It travels in the bundle of the encoder that was trained with it, so
that text is always prepared as in training. A recipe runs to its fixed point and is therefore idempotent.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp import charmaps
from nlp.errors import RecipeError
from nlp.records import Span

# An edit replaces text[start:end]; edits of one step come in order and do not overlap.
_Edit = tuple[int, int, str]

# Bidirectional controls and invisible joiners carry no meaning for a classifier. The zero-width joiner stays
# where it binds emoji into one sign (a family, a profession).
_INVISIBLE = re.compile(
    "[\u061c\u200b\u200c\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\u00ad]|(?<![\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d"
)
_WHITE = re.compile(r"\s+")
_LETTERS_REPEATED = re.compile(r"([^\W\d_])\1{2,}")
_SIGNS_REPEATED = re.compile(r"([^\w\s])\1{3,}")
_MOST_PASSES = 12


@dataclass(frozen=True)
class NormalisedText:
    """A normalised text that knows where each of its characters came from.

    Attributes:
        text: the normalised text.
        starts: int32, shape ``(len(text),)``: where the source of each character starts in the raw text.
        ends: int32, same shape: where it ends.
    """

    text: str
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]

    def raw_span(self, start: int, end: int) -> Span:
        """The raw characters that ``text[start:end]`` stands for; an empty range gives an empty span."""
        if start >= end:
            position = int(self.starts[start]) if start < len(self.text) else (int(self.ends[-1]) if self.text else 0)
            return Span(position, position)
        return Span(int(self.starts[start]), int(self.ends[end - 1]))


def _map_edits(mapping: Mapping[str, str]) -> Callable[[str], Iterator[_Edit]]:
    pattern = re.compile("[" + "".join(map(re.escape, mapping)) + "]")

    def edits(text: str) -> Iterator[_Edit]:
        return ((match.start(), match.end(), mapping[match[0]]) for match in pattern.finditer(text))

    return edits


def _nfkc_edits(text: str) -> Iterator[_Edit]:
    """NFKC, one base character with its combining marks at a time (camel-tools' ``normalize_unicode``)."""
    if unicodedata.is_normalized("NFKC", text):
        return
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        cluster = text[start:end]
        if not unicodedata.is_normalized("NFKC", cluster):
            yield start, end, unicodedata.normalize("NFKC", cluster)
        start = end


def _invisible_edits(text: str) -> Iterator[_Edit]:
    return ((match.start(), match.end(), "") for match in _INVISIBLE.finditer(text))


def _white_edits(text: str) -> Iterator[_Edit]:
    for match in _WHITE.finditer(text):
        at_edge = match.start() == 0 or match.end() == len(text)
        replacement = "" if at_edge else "\n" if "\n" in match[0] else " "
        if match[0] != replacement:
            yield match.start(), match.end(), replacement


def _elongation_edits(text: str) -> Iterator[_Edit]:
    """Letters three times or more become one, other signs four times or more become three."""
    edits = [(match.start(), match.end(), match[1]) for match in _LETTERS_REPEATED.finditer(text)]
    edits += [(match.start(), match.end(), match[1] * 3) for match in _SIGNS_REPEATED.finditer(text)]
    return iter(sorted(edits))


_RULES: dict[str, Callable[[str], Iterator[_Edit]]] = {
    "invisible": _invisible_edits,
    "nfkc": _nfkc_edits,
    "whitespace": _white_edits,
    "elongation": _elongation_edits,
}


@dataclass(frozen=True)
class Recipe:
    """A named list of normalisation steps.

    Attributes:
        name: how bundles and settings call it.
        steps: rule names, or ``(name, character map)`` pairs.
    """

    name: str
    steps: tuple[str | tuple[str, Mapping[str, str]], ...]

    def __post_init__(self) -> None:
        unknown = [step for step in self.steps if isinstance(step, str) and step not in _RULES]
        if unknown:
            raise RecipeError(
                f"recipe {self.name!r} has unknown steps {unknown}",
                expected="steps out of " + ", ".join(_RULES),
                remedy="use the Musannif version that wrote it, or a newer one",
            )

    @cached_property
    def _edits(self) -> tuple[Callable[[str], Iterator[_Edit]], ...]:
        return tuple(_RULES[step] if isinstance(step, str) else _map_edits(step[1]) for step in self.steps)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the recipe's canonical JSON, as 64 hex digits."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The plain data form that a bundle keeps."""
        steps = [
            {"rule": step} if isinstance(step, str) else {"map": step[0], "characters": dict(step[1])}
            for step in self.steps
        ]
        return {"name": self.name, "steps": steps}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """The inverse of :meth:`to_dict`.

        Raises:
            RecipeError: the data is not a recipe, or names a rule that does not exist.
        """
        try:
            steps = tuple(
                str(step["rule"]) if "rule" in step else (str(step["map"]), dict(step["characters"]))
                for step in data["steps"]
            )
            return cls(name=str(data["name"]), steps=steps)
        except (KeyError, TypeError) as error:
            raise RecipeError(f"not a recipe: it lacks {error}", expected="name and steps") from error

    def __call__(self, text: str) -> str:
        """The normalised text alone."""
        for _ in range(_MOST_PASSES):
            before = text
            for edits in self._edits:
                text = _apply(text, list(edits(text)))
            if text == before:
                break
        return text

    def align(self, text: str) -> NormalisedText:
        """The normalised text with the place of each of its characters in the raw text."""
        starts = np.arange(len(text), dtype=np.int32)
        ends = starts + 1
        for _ in range(_MOST_PASSES):
            before = text
            for step in self._edits:
                edits = list(step(text))
                if edits:
                    starts, ends = _move_offsets(edits, starts, ends)
                    text = _apply(text, edits)
            if text == before:
                break
        return NormalisedText(text, starts, ends)


def _apply(text: str, edits: list[_Edit]) -> str:
    if not edits:
        return text
    pieces, position = [], 0
    for start, end, replacement in edits:
        pieces += [text[position:start], replacement]
        position = end
    pieces.append(text[position:])
    return "".join(pieces)


def _move_offsets(
    edits: list[_Edit], starts: NDArray[np.int32], ends: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Every character of a replacement stands for the whole range that it replaced."""
    new_starts, new_ends, position = [], [], 0
    for start, end, replacement in edits:
        new_starts += [starts[position:start], np.full(len(replacement), starts[start], np.int32)]
        new_ends += [ends[position:start], np.full(len(replacement), ends[end - 1], np.int32)]
        position = end
    new_starts.append(starts[position:])
    new_ends.append(ends[position:])
    return np.concatenate(new_starts), np.concatenate(new_ends)


def _recipe(name: str, *steps: str) -> Recipe:
    maps = charmaps.load()
    return Recipe(name, tuple((step, maps[step]) if step in maps else step for step in steps))


_LIGHT = ("invisible", "nfkc", "dediac", "tatweel", "digits", "elongation", "whitespace")

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        # For encoders that were pretrained on text as it stands.
        _recipe("plain", "invisible", "nfkc", "whitespace"),
        # Removes what carries no meaning; spelling stays: the default for multilingual-e5.
        _recipe("light", *_LIGHT),
        # Also folds the spellings that people mix: hamza seats, final yeh, teh marbuta.
        _recipe("folded", *_LIGHT[:-2], "alef", "alef_maksura", "teh_marbuta", *_LIGHT[-2:]),
    )
}


def find_recipe(name: str) -> Recipe:
    """The recipe with this name.

    Raises:
        RecipeError: there is none.
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise RecipeError(f"unknown normalisation recipe {name!r}", expected="one of " + ", ".join(RECIPES)) from None
