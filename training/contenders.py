"""The bundles that are measured on the same texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.bundle import load_tagger, read_manifest
from models.tagger import Tagger
from nlp.errors import BundleError
from nlp.taxonomy import Taxonomy


@dataclass(frozen=True)
class Contender:
    """One bundle.

    Attributes:
        name: of the model, with the bundle's folder where two have the same.
        tagger: opened.
        versions: of taxonomy, recipe and thresholds.
    """

    name: str
    tagger: Tagger
    versions: Mapping[str, str]


def open_bundles(folders: Sequence[Path]) -> tuple[Contender, ...]:
    """Open bundles that answer for the same labels.

    Raises:
        BundleError: a bundle cannot be opened, or has other labels than the first.
    """
    taggers = [load_tagger(folder) for folder in folders]
    for folder, tagger in zip(folders[1:], taggers[1:], strict=True):
        check_same_labels(folders[0], taggers[0].taxonomy, folder, tagger.taxonomy)
    names = Counter(tagger.name for tagger in taggers)
    return tuple(
        Contender(
            tagger.name if names[tagger.name] == 1 else f"{tagger.name} ({folder})",
            tagger,
            read_manifest(folder).versions,
        )
        for folder, tagger in zip(folders, taggers, strict=True)
    )


def check_same_labels(folder: Path, taxonomy: Taxonomy, other_folder: Path, other: Taxonomy) -> None:
    """Refuse two bundles whose answers cannot be set side by side.

    Raises:
        BundleError: they differ in a level, a label, or the order of labels.
    """
    labels, others = ({level.name: level.ids for level in one.levels} for one in (taxonomy, other))
    differing = sorted(name for name in labels.keys() | others.keys() if labels.get(name) != others.get(name))
    if differing:
        raise BundleError(
            f"{other_folder} has other labels than {folder} on {', '.join(differing)}",
            expected="two bundles of the same labels",
            remedy="measure each on its own",
        )
