"""The corpus: reading with ``datasets``, checks with file and line, hashing, and leak-free splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Value, disable_progress_bars
from datasets import List as ListOf

from nlp.errors import CorpusError, ReadingError
from nlp.personal_data import NUMBERS_AND_ADDRESSES, find_personal_data
from nlp.personal_numbers import obviously_false
from nlp.reading import check_text
from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy

KINDS = ("case_study", "comment")
DIALECTS = ("msa", "gulf", "egyptian", "levantine", "maghrebi", "iraqi", "sudanese", "yemeni", "mixed")
LANGUAGES = ("ar", "en", "fr")
_OPTIONAL = ("kind", "lang", "dialect", "country", "source", "group")
# What reviewed texts bring along, and nothing learns from.
_UNREAD = ("sections",)
# Words of a text that the corpus takes.
_SHORTEST, _LONGEST = 3, 330


PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """The three parts of a corpus; no practice group is in two of them.

    Attributes:
        train: what a model learns from.
        validation: held out to fit temperatures and thresholds.
        test: held out to measure, once, at the end.
    """

    train: tuple[LabelledText, ...]
    validation: tuple[LabelledText, ...]
    test: tuple[LabelledText, ...]

    @property
    def texts(self) -> tuple[LabelledText, ...]:
        """All of them."""
        return self.train + self.validation + self.test


def corpus_files(path: Path) -> list[Path]:
    """The file itself, or all JSONL files of the folder, sorted.

    Raises:
        ReadingError: there is none.
    """
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise ReadingError(f"the folder {path} holds no .jsonl file", expected="labelled texts")
    return files


def read_splits(folder: Path, taxonomy: Taxonomy) -> Splits:
    """Read and check a corpus that is already split: ``train.jsonl``, ``validation.jsonl``, ``test.jsonl``.

    Raises:
        ReadingError: a file is missing.
        CorpusError: carries every fault, each with file and line; also a group that is in two parts.
    """
    texts = read_corpus([folder / f"{part}.jsonl" for part in PARTS], taxonomy)
    parts: dict[str, list[LabelledText]] = {part: [] for part in PARTS}
    for file, _, text in texts:
        parts[file.stem].append(text)
    if faults := parted_groups(texts):
        raise CorpusError(faults, remedy="keep the texts of one practice in one part")
    return Splits(**{part: tuple(found) for part, found in parts.items()})


def parted_groups(texts: Sequence[tuple[Path, int, LabelledText]]) -> list[str]:
    """One fault, with file and line, for each text whose group is also in an earlier file."""
    home: dict[str, str] = {}
    return [
        f"{file}:{number}: group {text.group!r} is also in {home[text.group]}"
        for file, number, text in texts
        if home.setdefault(text.group, file.stem) != file.stem
    ]


def read_texts(path: Path, taxonomy: Taxonomy) -> tuple[LabelledText, ...]:
    """Read and check labelled texts from a file, or from all JSONL files of a folder.

    Raises:
        ReadingError: there is no file.
        CorpusError: carries every fault, each with file and line.
    """
    return tuple(text for _, _, text in read_corpus(corpus_files(path), taxonomy))


def read_corpus(files: Sequence[Path], taxonomy: Taxonomy) -> list[tuple[Path, int, LabelledText]]:
    """Read and check labelled texts, each with its file and line.

    Raises:
        ReadingError: there is no file.
        CorpusError: carries every fault, each with file and line.
    """
    texts: list[tuple[Path, int, LabelledText]] = []
    faults: list[str] = []
    seen: dict[str, str] = {}
    for file in files:
        if not file.is_file():
            raise ReadingError(f"{file} does not exist", expected="a JSONL file of labelled texts")
        for number, line in enumerate(file.read_bytes().split(b"\n"), 1):
            if not line.strip():
                continue
            place = f"{file}:{number}"
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                faults.append(f"{place}: not JSON: {error}")
                continue
            found = record_faults(record, taxonomy)
            if not found and (twin := seen.get(record["id"])):
                found = [f"id {record['id']!r} is already at {twin}"]
            faults += [f"{place}: {fault}" for fault in found]
            if not found:
                seen[record["id"]] = place
                texts.append((file, number, _labelled(record, taxonomy)))
    if faults:
        raise CorpusError(faults, remedy="mend these lines; data/annotation-guide.md describes the format")
    return texts


def record_faults(record: Any, taxonomy: Taxonomy) -> list[str]:
    """What is wrong with one record; an empty list if nothing is."""
    if not isinstance(record, dict):
        return [f"a {type(record).__name__}, expected a JSON object"]
    levels = [level.name for level in taxonomy.levels]
    known = {"id", "text", *_OPTIONAL, *_UNREAD, *levels}
    faults = [f"unknown field {name!r}, expected one of {sorted(known)}" for name in record if name not in known]
    faults += [f"{name} is missing, expected a string" for name in ("id", "text") if name not in record]
    for name in ("id", "text", "group", "source"):
        if not isinstance(record.get(name, ""), str):
            faults.append(f"{name} is {type(record[name]).__name__}, expected a string")
    for name, allowed in (("kind", KINDS), ("lang", LANGUAGES), ("dialect", (*DIALECTS, None))):
        if name in record and record[name] not in allowed:
            faults.append(f"{name} {record[name]!r}, expected one of {allowed}")
    labels = {name: record[name] for name in levels if record.get(name) is not None}
    for name, given in labels.items():
        if not isinstance(given, list) or not all(isinstance(label, str) for label in given):
            faults.append(f"{name} is {given!r}, expected a list of label ids")
            return faults
    if isinstance(record.get("text"), str):
        try:
            check_text(record["text"])
        except ReadingError as error:
            faults.append(str(error))
    return faults + taxonomy.faults(labels)


def _labelled(record: dict[str, Any], taxonomy: Taxonomy) -> LabelledText:
    names = [level.name for level in taxonomy.levels]
    return LabelledText(
        id=record["id"],
        text=record["text"],
        labels={name: tuple(record[name]) for name in names if record.get(name) is not None},
        group=record.get("group") or record["id"],
        meta={name: record[name] for name in _OPTIONAL if name in record and name != "group"},
    )


def as_dataset(texts: Sequence[LabelledText], taxonomy: Taxonomy, weights: Sequence[float] | None = None) -> Dataset:
    """The texts as a ``datasets.Dataset`` with one multi-hot column a level.

    Columns: ``id``, ``text``, ``<level>`` (list of 0 and 1 in score order), ``<level>_known`` (the weight of the
    text in the loss, 0 where the level was not annotated).

    Args:
        texts: with labels.
        taxonomy: gives the levels.
        weights: of the texts; 1 if not given.
    """
    weights = [1.0] * len(texts) if weights is None else weights
    disable_progress_bars()
    features: dict[str, Any] = {"id": Value("string"), "text": Value("string")}
    columns: dict[str, list[Any]] = {"id": [text.id for text in texts], "text": [text.text for text in texts]}
    for level in taxonomy.levels:
        features[level.name] = ListOf(Value("float32"), length=len(level.labels))
        features[f"{level.name}_known"] = Value("float32")
        columns[level.name] = [
            [float(label in text.labels.get(level.name, ())) for label in level.ids] for text in texts
        ]
        columns[f"{level.name}_known"] = [
            weight * (level.name in text.labels) for text, weight in zip(texts, weights, strict=True)
        ]
    return Dataset.from_dict(columns, features=Features(features))


def data_hash(texts: Iterable[LabelledText]) -> str:
    """SHA-256 over ids, texts and labels in order of id: the same data has the same hash in any file layout."""
    digest = hashlib.sha256()
    for text in sorted(texts, key=lambda text: text.id):
        labels = {level: sorted(labels) for level, labels in text.labels.items()}
        digest.update(json.dumps([text.id, text.text, labels], ensure_ascii=False, sort_keys=True).encode())
    return digest.hexdigest()


def part_of(group: str, *, seed: int, validation: float = 0.1, test: float = 0.1) -> str:
    """The part in which a practice group falls: where the hash of seed and group says.

    A group keeps its part when the corpus grows, and texts of one group never part.

    Args:
        group: id of the practice group.
        seed: another seed gives another split.
        validation: share of groups held out to fit temperatures and thresholds.
        test: share of groups held out to measure.

    Returns:
        One of :data:`PARTS`.
    """
    place = _place(seed, group)
    return "test" if place < test else "validation" if place < test + validation else "train"


def _place(seed: int | str, group: str) -> float:
    """Where a group stands in ``[0, 1)``, evenly spread and always the same."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def sample_groups(texts: Sequence[LabelledText], share: float) -> tuple[LabelledText, ...]:
    """The texts of a share of the practice groups; a smaller share is part of every larger one."""
    return tuple(text for text in texts if _place("sample", text.group) < share)


def unfit_texts(placed: Iterable[tuple[Path, int, LabelledText]]) -> list[str]:
    """What is wrong with texts for a published corpus: they are too short or too long, or have personal data in them.

    Numbers that are obviously false may stand.

    Args:
        placed: texts with file and line.
    """
    faults = []
    for file, number, text in placed:
        if not _SHORTEST <= (words := len(text.text.split())) <= _LONGEST:
            faults.append(f"{file}:{number}: {words} words, expected {_SHORTEST} to {_LONGEST}")
        for found in find_personal_data(text.text, NUMBERS_AND_ADDRESSES):
            if not obviously_false(given := text.text[found.span.start : found.span.end]):
                faults.append(f"{file}:{number}: {found.kind} {given!r}")
    return faults


def add_texts(files: Sequence[Path], corpus: Path, taxonomy: Taxonomy, *, seed: int) -> dict[str, int]:
    """Add labelled texts to a split corpus; nothing is written unless everything is right.

    Args:
        files: JSONL files of new texts.
        corpus: folder of the corpus; parts that do not exist yet are made.
        taxonomy: the labels.
        seed: of the split.

    Returns:
        How many texts each part gained.

    Raises:
        CorpusError: a new text is faulty or unfit, or its id is taken.
    """
    existing = [path for part in PARTS if (path := corpus / f"{part}.jsonl").exists()]
    read_corpus([*existing, *files], taxonomy)
    added = read_corpus(files, taxonomy)
    if faults := unfit_texts(added):
        raise CorpusError(faults, remedy="mend these lines; nothing was added")
    lines: dict[str, list[str]] = {part: [] for part in PARTS}
    for _, _, text in added:
        record = {
            "id": text.id,
            "text": text.text,
            **text.labels,
            "source": "musannif",
            **text.meta,
            "group": text.group,
        }
        lines[part_of(text.group, seed=seed)].append(json.dumps(record, ensure_ascii=False))
    corpus.mkdir(parents=True, exist_ok=True)
    for part, new in lines.items():
        path = corpus / f"{part}.jsonl"
        before = path.read_bytes() if path.exists() else b""
        if before and not before.endswith(b"\n"):
            before += b"\n"
        path.with_suffix(".partial").write_bytes(before + "".join(line + "\n" for line in new).encode())
    for part in lines:
        (corpus / f"{part}.partial").replace(corpus / f"{part}.jsonl")
    return {part: len(new) for part, new in lines.items()}
