"""The written consultation of ``data/consultation``: comments whose topics, small groups and campaigns are known."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp.errors import CorpusError, ReadingError

CONSULTATION = Path("data/consultation")


@dataclass(frozen=True, slots=True)
class KnownComment:
    """A comment with what is known of it.

    Attributes:
        id: unique in the consultation.
        text: the comment.
        topic: slug of its topic.
        subtopic: slug of its sub-topic; the topic's where there is none.
        campaign: of which it is a copy, if it is one.
        minority: small group that it belongs to, if it does.
    """

    id: str
    text: str
    topic: str
    subtopic: str
    campaign: str | None = None
    minority: str | None = None


@dataclass(frozen=True)
class Consultation:
    """The three files.

    Attributes:
        comments: on the topics.
        minorities: small groups, on subjects that no other comment has.
        campaigns: copies, exact and edited, and comments that share their demand and are no copies.
    """

    comments: tuple[KnownComment, ...]
    minorities: tuple[KnownComment, ...]
    campaigns: tuple[KnownComment, ...]


def read_consultation(folder: Path = CONSULTATION) -> Consultation:
    """Read and check the consultation.

    Raises:
        ReadingError: a file is missing.
        CorpusError: carries every fault, each with file and line.
    """
    titles = _read(folder / "topics.json")
    homes = {part["slug"]: topic["slug"] for topic in titles["topics"] for part in topic["subtopics"]}
    homes |= {part["slug"]: part["topic"] for part in titles["campaign_only"]}
    homes |= {part["slug"]: "minority" for part in titles["minorities"]}
    faults: list[str] = []
    seen: set[str] = set()
    parts = []
    for name in ("comments", "minorities", "campaigns"):
        file = folder / f"{name}.jsonl"
        parts.append(read_known(file))
        for line, comment in enumerate(parts[-1], start=1):
            place = f"{file}:{line}"
            if comment.id in seen:
                faults.append(f"{place}: the id {comment.id!r} stands for another comment too")
            if homes.get(comment.subtopic) != comment.topic:
                faults.append(f"{place}: {comment.subtopic!r} is no sub-topic of {comment.topic!r} in topics.json")
            seen.add(comment.id)
    if faults:
        raise CorpusError(faults)
    return Consultation(*parts)


def read_known(file: Path) -> tuple[KnownComment, ...]:
    """Read comments with known topics: JSON lines with ``text`` and ``topic``, and the other fields where known.

    Raises:
        ReadingError: the file is missing.
        CorpusError: carries every fault, each with file and line.
    """
    if not file.is_file():
        raise ReadingError(f"the file {file} is missing", expected="comments with known topics")
    faults, found = [], []
    for line, raw in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record: dict[str, Any] = json.loads(raw)
            found.append(
                KnownComment(
                    id=str(record.get("id", line)),
                    text=record["text"],
                    topic=record["topic"],
                    subtopic=record.get("subtopic") or record["topic"],
                    campaign=record.get("campaign"),
                    minority=record.get("minority"),
                )
            )
        except (ValueError, KeyError, AttributeError) as error:
            faults.append(f"{file}:{line}: {error!r}")
    if faults:
        raise CorpusError(faults)
    return tuple(found)


def texts_of(comments: Iterable[KnownComment]) -> list[str]:
    """The texts alone."""
    return [comment.text for comment in comments]


def corpus_comments(folder: Path = Path("data/corpus")) -> list[str]:
    """The Arabic comments of the corpus, in the order of its files."""
    found = []
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if record.get("kind") == "comment" and record.get("lang") == "ar":
                found.append(record["text"])
    if not found:
        raise ReadingError(f"the folder {folder} holds no Arabic comment", expected="the corpus")
    return found


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise ReadingError(f"the file {file} is missing", expected="titles of topics")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
