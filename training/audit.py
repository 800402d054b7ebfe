"""The checks of a whole corpus, beyond the form of its records: near-duplicates, leakage, personal data, manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle import sha256_of, write_json
from nlp.errors import CorpusError, ReadingError
from nlp.reading import read_documents
from nlp.records import Document, LabelledText
from nlp.taxonomy import Taxonomy
from training.corpus import PARTS, data_hash, parted_groups, read_corpus, unfit_texts
from training.duplicates import near_duplicates

MANIFEST = "manifest.json"
_MOST_LEAK = 0.5


@dataclass(frozen=True)
class Audit:
    """A corpus that passed.

    Attributes:
        texts: all of it.
        parts: how many texts each part holds.
        sha256: hash of the data, see :func:`training.corpus.data_hash`.
    """

    texts: tuple[LabelledText, ...]
    parts: dict[str, int]
    sha256: str


def audit_corpus(corpus: Path, taxonomy: Taxonomy, *, against: Sequence[Path] = (), sealed: bool = True) -> Audit:
    """Check a split corpus.

    Looks at schema, ids, labels, groups that part, length, personal data, near-duplicates (character 5-gram Jaccard
    index of 0.6), near-duplicates of texts that must stay unseen (0.5), and the manifest, if there is one.

    Args:
        corpus: folder with ``train.jsonl``, ``validation.jsonl`` and ``test.jsonl``.
        taxonomy: the labels.
        against: files or folders with texts that must not be in the corpus, such as a benchmark.
        sealed: the files must be those of the manifest.

    Raises:
        ReadingError: a file is missing.
        CorpusError: carries every fault, each with file and line.
    """
    placed = read_corpus([corpus / f"{part}.jsonl" for part in PARTS], taxonomy)
    places = [f"{file}:{number}" for file, number, _ in placed]
    texts = [text for _, _, text in placed]
    faults = parted_groups(placed)
    faults += unfit_texts(placed)
    for pair in near_duplicates([text.text for text in texts]):
        faults.append(f"{places[pair.second]}: near-duplicate of {places[pair.first]} ({pair.likeness:.2f})")
    faults += _leaks([text.text for text in texts], places, against)
    if sealed:
        faults += manifest_faults(corpus)
    if faults:
        raise CorpusError(faults, remedy="mend these lines; after a wanted change run musannif data manifest")
    counts = {part: sum(file.stem == part for file, _, _ in placed) for part in PARTS}
    return Audit(tuple(texts), counts, data_hash(texts))


def _leaks(texts: list[str], places: list[str], against: Sequence[Path]) -> list[str]:
    unseen = []
    for path in against:
        if not path.exists():
            raise ReadingError(f"{path} does not exist", expected="texts that must not be in the corpus")
        unseen += [item for item in read_documents(path) if isinstance(item, Document)]
    if not unseen:
        return []
    together = [text.text for text in unseen] + texts
    return [
        f"{places[pair.second - len(unseen)]}: {pair.likeness:.2f} like {unseen[pair.first].id}, which must stay unseen"
        for pair in near_duplicates(together, start=len(unseen), most=_MOST_LEAK)
        if pair.first < len(unseen)
    ]


def manifest_faults(corpus: Path) -> list[str]:
    """Files that differ from the manifest; none where there is no manifest."""
    path = corpus / MANIFEST
    if not path.is_file():
        return []
    listed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["files"]
    faults = []
    for name, entry in listed.items():
        file = corpus / name
        found = sha256_of(file) if file.is_file() else "nothing"
        if found != entry["sha256"]:
            faults.append(f"{file}: sha256 {found[:12]}…, the manifest says {entry['sha256'][:12]}…")
    return faults


def write_corpus_manifest(corpus: Path, audit: Audit) -> Path:
    """Write the manifest: files with sha256, bytes and texts, the hash of the data, and the hashes it had before."""
    files = {
        f"{part}.jsonl": {
            "sha256": sha256_of(corpus / f"{part}.jsonl"),
            "bytes": (corpus / f"{part}.jsonl").stat().st_size,
            "texts": count,
        }
        for part, count in audit.parts.items()
    }
    earlier = [state for state in corpus_states(corpus) if state != audit.sha256]
    content = {"files": files, "texts": len(audit.texts), "data_sha256": audit.sha256, "earlier_data_sha256": earlier}
    partial = corpus / "manifest.partial"
    write_json(partial, content)
    return partial.replace(corpus / MANIFEST)


def corpus_states(corpus: Path) -> tuple[str, ...]:
    """The hashes of the data of a corpus by its manifest, the present one last; none where there is no manifest."""
    path = corpus / MANIFEST
    if not path.is_file():
        return ()
    content = json.loads(path.read_text(encoding="utf-8"))
    return (*content.get("earlier_data_sha256", ()), content["data_sha256"])
