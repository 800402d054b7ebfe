"""The labels: axes, their levels, and the labels of each level, all read from data.

An axis is either a flat list of labels (technology, RITE) or a hierarchy of two levels (goals and their targets).
Code works on *levels*: each has a name, which is also the key of its labels in records and answers, and,
in a hierarchy, a parent level. A new axis or label is a change of ``data/taxonomy.yaml`` alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from nlp.errors import TaxonomyError


@dataclass(frozen=True)
class Label:
    """One label.

    Attributes:
        id: unique within its level, fixed for ever.
        title: short name by language (``ar``, ``en``).
        definition: what a text must speak of, by language.
        uri: the label's identifier in the web of data, if it has one.
        parent: id of the label above it in a hierarchy.
    """

    id: str
    title: Mapping[str, str]
    definition: Mapping[str, str]
    uri: str | None = None
    parent: str | None = None


@dataclass(frozen=True)
class Level:
    """The labels of one axis at one depth.

    Attributes:
        name: key of these labels in records and answers, e.g. ``targets``.
        axis: id of the axis.
        labels: in fixed order; the order of every score array.
        parent: name of the level above, in a hierarchy.
        parent_index: for each label the position of its parent in the parent level.
    """

    name: str
    axis: str
    labels: tuple[Label, ...]
    parent: str | None = None
    parent_index: tuple[int, ...] = ()

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Label ids in score order."""
        return tuple(label.id for label in self.labels)

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each label id in score order."""
        return {label.id: i for i, label in enumerate(self.labels)}


@dataclass(frozen=True)
class Axis:
    """One question asked of a text, with one level or two.

    Attributes:
        id: ``sdg``, ``technology``, ``rite``.
        kind: ``hierarchy`` or ``multilabel``.
        title: name by language.
        levels: one level, or a level and the level below it.
    """

    id: str
    kind: str
    title: Mapping[str, str]
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Taxonomy:
    """All axes, with the source data they were read from."""

    version: str
    axes: tuple[Axis, ...]
    source: Mapping[str, Any]

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """Every level of every axis; a parent comes before its children."""
        return tuple(level for axis in self.axes for level in axis.levels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON of the whole taxonomy, as 64 hex digits."""
        text = json.dumps(self.source, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def axis(self, axis_id: str) -> Axis:
        """The axis with this id.

        Raises:
            TaxonomyError: there is none.
        """
        for axis in self.axes:
            if axis.id == axis_id:
                return axis
        raise TaxonomyError(f"unknown axis {axis_id!r}", expected="one of " + ", ".join(axis.id for axis in self.axes))

    def level(self, name: str) -> Level:
        """The level with this name.

        Raises:
            TaxonomyError: there is none.
        """
        for level in self.levels:
            if level.name == name:
                return level
        raise TaxonomyError(
            f"unknown level {name!r}", expected="one of " + ", ".join(level.name for level in self.levels)
        )

    def faults(self, labels: Mapping[str, Sequence[str]]) -> list[str]:
        """What is wrong with the labels of one record: unknown, repeated, or a child without its parent."""
        found = []
        for level in self.levels:
            given = labels.get(level.name, ())
            found += [f"{level.name}: {label!r} is not in the taxonomy" for label in given if label not in level.index]
            if len(set(given)) != len(given):
                found.append(f"{level.name}: a label is repeated in {list(given)}")
            if level.parent is None:
                continue
            parents = set(labels.get(level.parent, ()))
            for label in given:
                position = level.index.get(label)
                if position is not None and level.labels[position].parent not in parents:
                    found.append(f"{level.name}: {label!r} stands without its parent in {level.parent}")
        return found


def load_taxonomy(path: Path) -> Taxonomy:
    """Read a taxonomy from YAML or JSON (a subset of YAML).

    Raises:
        TaxonomyError: the file is missing, malformed, or repeats an id.
    """
    try:
        source = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TaxonomyError(
            f"{path} does not exist", expected="a taxonomy file", remedy="give the path of taxonomy.yaml"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TaxonomyError(f"{path} is not readable as YAML: {error}", expected="a taxonomy file") from error
    return parse_taxonomy(source, origin=str(path))


def parse_taxonomy(source: Any, origin: str = "taxonomy") -> Taxonomy:
    """Build the taxonomy from its plain data form.

    Args:
        source: ``{"version", "axes": [{"id", "kind", "title", "levels", "labels": [...]}]}``; in a hierarchy
            every label has ``children``. ``levels`` names the levels from the top.
        origin: where the data came from, for messages.

    Raises:
        TaxonomyError: a key is missing, a kind is unknown, or an id or level name occurs twice.
    """
    try:
        axes = tuple(_parse_axis(axis, origin) for axis in source["axes"])
        taxonomy = Taxonomy(version=str(source["version"]), axes=axes, source=source)
    except (KeyError, TypeError, AttributeError) as error:
        raise TaxonomyError(
            f"{origin} lacks {error}",
            expected="version, axes, and in each axis id, kind, title, levels, labels",
        ) from error
    names = [level.name for level in taxonomy.levels]
    if len(set(names)) != len(names):
        raise TaxonomyError(f"{origin} names a level twice: {names}", expected="distinct level names")
    return taxonomy


def _parse_axis(data: Mapping[str, Any], origin: str) -> Axis:
    kind, names = data["kind"], data["levels"]
    depth = {"hierarchy": 2, "multilabel": 1}.get(kind)
    if depth is None or len(names) != depth:
        raise TaxonomyError(
            f"{origin}: axis {data['id']!r} is of kind {kind!r} with levels {names}",
            expected="kind hierarchy with two levels, or multilabel with one",
        )
    top = tuple(_parse_label(label) for label in data["labels"])
    levels = [Level(name=names[0], axis=data["id"], labels=top)]
    if kind == "hierarchy":
        children = [
            (_parse_label(child, parent=label["id"]), position)
            for position, label in enumerate(data["labels"])
            for child in label["children"]
        ]
        levels.append(
            Level(
                name=names[1],
                axis=data["id"],
                labels=tuple(label for label, _ in children),
                parent=names[0],
                parent_index=tuple(position for _, position in children),
            )
        )
    for level in levels:
        if len(level.index) != len(level.labels):
            raise TaxonomyError(f"{origin}: a label id occurs twice in {level.name}", expected="distinct ids")
    return Axis(id=data["id"], kind=kind, title=data["title"], levels=tuple(levels))


def _parse_label(data: Mapping[str, Any], parent: str | None = None) -> Label:
    return Label(
        id=str(data["id"]),
        title=data["title"],
        definition=data["definition"],
        uri=data.get("uri"),
        parent=parent,
    )
