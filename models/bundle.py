"""The bundle: one folder that holds all that tagging needs, and the hashes to prove that it is whole.

    manifest.json        format, name, versions, provenance; size and sha256 of every other file
    encoder.json         window length, overlap, prefix, dimension
    encoder.onnx         the runtime graph; its weights lie in
    encoder.safetensors  8-bit weights with their scales
    tokenizer.json
    heads.safetensors    <level>.weight, <level>.bias, <level>.query
    lexicon.safetensors  character n-grams with their weights
    taxonomy.json        the labels that the heads answer for
    normaliser.json      the recipes that the encoder and the lexicon were trained with
    calibration.json     weights of encoder and lexicon by level, and how the windows of a text are pooled
    thresholds.json      threshold by label, and the confidence below which a text needs review
    metrics.json         what was measured, on what
    README.md            the model card

Nothing in it is pickled, and nothing falls back to random weights.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from threadpoolctl import threadpool_limits

from models.calibration import Calibration, Thresholds
from models.encoder import OnnxEncoder
from models.heads import AttentionHead
from models.lexicon import Lexicon
from models.runtime import choose_runtime
from models.tagger import Tagger
from models.tokenizer import WindowTokenizer
from nlp.errors import BundleError
from nlp.normalise import Recipe
from nlp.taxonomy import Taxonomy, parse_taxonomy

FORMAT = 2
MANIFEST = "manifest.json"
DEFAULT_BUNDLE = Path(__file__).with_name("bundles") / "default"
FILES = (
    "encoder.json",
    "encoder.onnx",
    "encoder.safetensors",
    "tokenizer.json",
    "heads.safetensors",
    "lexicon.safetensors",
    "taxonomy.json",
    "normaliser.json",
    "calibration.json",
    "thresholds.json",
    "metrics.json",
    "README.md",
)


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        name: e.g. ``musannif-default``.
        version: of the model.
        files: sha256 by file name.
        sizes: bytes by file name.
        versions: of taxonomy, recipe and thresholds: the fingerprints that every answer names.
        training: provenance: base, seed, data hash, git commit, configuration.
    """

    name: str
    version: str
    files: Mapping[str, str]
    sizes: Mapping[str, int]
    versions: Mapping[str, str]
    training: Mapping[str, Any]

    @property
    def model(self) -> str:
        """Name and version in one word."""
        return f"{self.name}@{self.version}"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's manifest, without looking at its files.

    Raises:
        BundleError: there is no bundle, it was left half-written, or it is of another format.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise BundleError(
            f"there is no folder {folder}",
            expected="a model bundle",
            remedy="give the bundle's folder with --bundle",
        )
    if not path.is_file():
        raise BundleError(
            f"{folder} has no {MANIFEST}",
            expected="a complete bundle",
            remedy="it may be half-written: copy it again, or run musannif bundle build",
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise BundleError(
                f"{folder} is of format {data['format']}",
                expected=f"format {FORMAT}",
                remedy="use the Musannif version that wrote it",
            )
        return Manifest(
            name=data["name"],
            version=data["version"],
            files={name: entry["sha256"] for name, entry in data["files"].items()},
            sizes={name: entry["bytes"] for name, entry in data["files"].items()},
            versions=data["versions"],
            training=data["training"],
        )
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{path} cannot be read: {error!r}", expected="a manifest", remedy="copy the bundle again"
        ) from error


def verify_bundle(folder: Path) -> Manifest:
    """Check that every file of a bundle is there and unaltered.

    Raises:
        BundleError: names every file that is missing or altered, with the hash expected and found.
    """
    manifest = read_manifest(folder)
    unlisted = [name for name in FILES if name not in manifest.files]
    faults = [f"{name} is not in the manifest" for name in unlisted]
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif (found := sha256_of(path)) != expected:
            faults.append(f"{name} has sha256 {found[:12]}…, the manifest says {expected[:12]}…")
    if faults:
        raise BundleError(
            f"the bundle {folder} is damaged: " + ", ".join(faults),
            expected="every file as it was written",
            remedy="copy the bundle again, or restore it from git",
        )
    return manifest


def load_tagger(folder: Path = DEFAULT_BUNDLE, *, threads: int | None = None) -> Tagger:
    """Verify a bundle and open it.

    The linear algebra of NumPy is put on one thread in this process: its products are small, and its idle threads would
    take the processors from the encoder.

    Args:
        folder: the bundle.
        threads: windows that run at the same time, or threads of one that runs alone; all processors of this
            process if not given.

    Raises:
        BundleError: the bundle is missing, incomplete, altered, or does not fit its own taxonomy.
    """
    manifest = verify_bundle(folder)
    threadpool_limits(1, user_api="blas")
    taxonomy = load_bundle_taxonomy(folder)
    encoder_config = _read_json(folder, "encoder.json")
    recipes = _read_json(folder, "normaliser.json")
    tokenizer = WindowTokenizer.from_file(
        folder / "tokenizer.json",
        prefix=encoder_config["prefix"],
        most_tokens=encoder_config["window"],
        overlap=encoder_config["overlap"],
    )
    return Tagger(
        name=manifest.model,
        taxonomy=taxonomy,
        recipe=Recipe.from_dict(recipes["encoder"]),
        encoder=OnnxEncoder(folder / "encoder.onnx", tokenizer, choose_runtime(threads)),
        heads=_load_heads(folder, taxonomy, int(encoder_config["dimension"])),
        lexicon=_load_lexicon(folder, taxonomy, Recipe.from_dict(recipes["lexicon"])),
        calibration=Calibration.from_dict(_read_json(folder, "calibration.json")),
        thresholds=Thresholds.from_dict(taxonomy, _read_json(folder, "thresholds.json")),
    )


def load_bundle_taxonomy(folder: Path) -> Taxonomy:
    """The taxonomy that a bundle carries."""
    return parse_taxonomy(_read_json(folder, "taxonomy.json"), origin=str(folder / "taxonomy.json"))


def read_metrics(folder: Path) -> dict[str, Any]:
    """What was measured of a bundle."""
    return dict(_read_json(folder, "metrics.json"))


def write_manifest(
    folder: Path, *, name: str, version: str, versions: Mapping[str, str], training: Mapping[str, Any]
) -> Manifest:
    """Seal a bundle whose files are all written: hash them, and write the manifest last.

    Raises:
        BundleError: a file is missing.
    """
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        raise BundleError(f"{folder} lacks {missing}", expected="every file of a bundle")
    data = {
        "format": FORMAT,
        "name": name,
        "version": version,
        "versions": dict(versions),
        "training": dict(training),
        "files": {
            file: {"sha256": sha256_of(folder / file), "bytes": (folder / file).stat().st_size} for file in FILES
        },
    }
    write_json(folder / MANIFEST, data)
    return read_manifest(folder)


def write_json(path: Path, data: Any) -> None:
    """Write JSON that is the same for the same data: sorted keys, Arabic as it is."""
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def replace_folder(new: Path, target: Path, *, keep: Path | None = None) -> None:
    """Put a finished folder in the place of another, so that no half-written one is ever seen there.

    Args:
        new: is moved.
        target: where to.
        keep: where the folder that was there goes; it is deleted if not given.
    """
    old = keep or target.with_name(target.name + ".old")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    new.rename(target)
    if keep is None:
        shutil.rmtree(old, ignore_errors=True)


def promote(new: Path, current: Path = DEFAULT_BUNDLE) -> Manifest:
    """Put a copy of a bundle in the place of the one in use, which is kept beside it for :func:`rollback`.

    Raises:
        BundleError: the new bundle is missing, incomplete, altered or of another format.
    """
    verify_bundle(new)
    staging = current.with_name(current.name + ".partial")
    shutil.rmtree(staging, ignore_errors=True)
    shutil.copytree(new, staging)
    manifest = verify_bundle(staging)
    replace_folder(staging, current, keep=_previous(current))
    return manifest


def rollback(current: Path = DEFAULT_BUNDLE) -> Manifest:
    """Exchange the bundle in use and the one that was in use before; a second rollback undoes the first.

    Raises:
        BundleError: there is none to go back to, or it is not whole.
    """
    previous = _previous(current)
    manifest = verify_bundle(previous)
    aside = current.with_name(current.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    # There is none in use where a promotion was cut off.
    in_use = current.exists()
    if in_use:
        current.rename(aside)
    previous.rename(current)
    if in_use:
        aside.rename(previous)
    return manifest


def _previous(current: Path) -> Path:
    return current.with_name(current.name + ".previous")


def _read_json(folder: Path, name: str) -> Any:
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, FileNotFoundError) as error:
        raise BundleError(f"{folder / name} cannot be read: {error}", expected="JSON") from error


def _load_lexicon(folder: Path, taxonomy: Taxonomy, recipe: Recipe) -> Lexicon:
    columns = sum(len(level.labels) for level in taxonomy.levels)
    try:
        lexicon = Lexicon.from_tensors(recipe, load_file(folder / "lexicon.safetensors"))
    except KeyError as error:
        raise BundleError(f"{folder / 'lexicon.safetensors'} lacks {error}", expected="a whole lexicon") from error
    if len(lexicon.bias) != columns:
        raise BundleError(
            f"{folder / 'lexicon.safetensors'} has {len(lexicon.bias)} columns",
            expected=f"{columns}, the labels of the bundle's taxonomy",
        )
    return lexicon


def _load_heads(folder: Path, taxonomy: Taxonomy, dimension: int) -> dict[str, AttentionHead]:
    tensors = load_file(folder / "heads.safetensors")
    heads = {}
    for level in taxonomy.levels:
        weight, bias, query = (tensors.get(f"{level.name}.{part}") for part in ("weight", "bias", "query"))
        expected = (len(level.labels), dimension)
        if (
            weight is None
            or bias is None
            or query is None
            or (weight.shape, bias.shape, query.shape) != (expected, expected[:1], expected)
        ):
            raise BundleError(
                f"{folder / 'heads.safetensors'} has no head of shape {expected} for {level.name}",
                expected="one head for each level of the bundle's taxonomy",
            )
        heads[level.name] = AttentionHead(weight.astype(np.float32), bias.astype(np.float32), query.astype(np.float32))
    return heads
