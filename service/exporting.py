"""Reviewed submissions as JSONL for training, CSV and XLSX for readers, JSON-LD for the web of data.

All formats hold the same texts: those of which reviewers settled at least one level.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from openpyxl import Workbook

from nlp.taxonomy import Taxonomy
from service.cells import guarded, sheet_cell
from service.settling import settled_labels
from service.store.records import Submission

# The values of the corpus format (data/annotation-guide.md); a test compares them with the reader of training.
KINDS = ("case_study", "comment")
DIALECTS = ("msa", "gulf", "egyptian", "levantine", "maghrebi", "iraqi", "sudanese", "yemeni", "mixed")
LANGUAGES = ("ar", "en", "fr")


@dataclass(frozen=True)
class ReviewedText:
    """A submission with the labels that reviewers settled.

    Attributes:
        submission: as it is kept.
        labels: accepted label ids by settled level.
    """

    submission: Submission
    labels: Mapping[str, tuple[str, ...]]


def reviewed_texts(submissions: Iterable[Submission], taxonomy: Taxonomy) -> Iterator[ReviewedText]:
    """Those of the submissions of which reviewers settled a level."""
    for submission in submissions:
        if labels := settled_labels(taxonomy, submission):
            yield ReviewedText(submission, labels)


def write_jsonl(texts: Iterable[ReviewedText], taxonomy: Taxonomy) -> Iterator[bytes]:
    """One corpus record a line; a level that is not settled is absent, so that training leaves it out.

    ``sections`` tells, by level and label, where the model found labels that are accepted; training does not read it.
    """
    for text in texts:
        yield json.dumps(_corpus_record(text), ensure_ascii=False).encode() + b"\n"


def _corpus_record(text: ReviewedText) -> dict[str, Any]:
    kept, given = text.submission, text.submission.metadata
    record: dict[str, Any] = {"id": kept.external_id, "text": kept.text}
    if given.get("kind") in KINDS:
        record["kind"] = given["kind"]
    record |= {level: list(labels) for level, labels in text.labels.items()}
    language = (kept.language or "").partition("-")[0].lower()
    if language in LANGUAGES:
        record["lang"] = language
    if given.get("dialect") in DIALECTS:
        record["dialect"] = given["dialect"]
    country = given.get("country")
    record["country"] = country if isinstance(country, str) and re.fullmatch("[A-Z]{2}", country) else None
    source, group = given.get("source"), given.get("group")
    record["source"] = source if isinstance(source, str) and source else "reviews"
    if isinstance(group, str) and group:
        record["group"] = group
    if sections := _sections(text):
        record["sections"] = sections
    return record


def _sections(text: ReviewedText) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for level, labels in text.labels.items():
        for tag in text.submission.tagging.tags.get(level, ()):
            if tag.sections and tag.id in labels:
                found.setdefault(level, {})[tag.id] = [place.to_dict() for place in tag.sections]
    return found


def _columns(taxonomy: Taxonomy) -> list[str]:
    levels = [level.name for level in taxonomy.levels]
    return ["id", "text", "language", "revision", *levels, "settled", "reviewers", "reviewed", "notes", "model"]


def _row(text: ReviewedText, taxonomy: Taxonomy) -> list[str | int]:
    kept, live = text.submission, text.submission.live
    return [
        kept.external_id,
        kept.text,
        kept.language or "",
        kept.revision,
        *(" ".join(text.labels.get(level.name, ())) for level in taxonomy.levels),
        " ".join(text.labels),
        ", ".join(dict.fromkeys(decision.reviewer for decision in live)),
        max(decision.at for decision in live).isoformat(),
        " | ".join(decision.verdict.note for decision in live if decision.verdict.note),
        kept.tagging.model,
    ]


def write_csv(texts: Iterable[ReviewedText], taxonomy: Taxonomy) -> Iterator[bytes]:
    """One row a text; the labels of a level in one cell, separated by spaces. The byte order mark is for Excel."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\r\n")
    rows.writerow(_columns(taxonomy))
    yield b"\xef\xbb\xbf" + _drained(buffer)
    for text in texts:
        rows.writerow([guarded(cell) if isinstance(cell, str) else cell for cell in _row(text, taxonomy)])
        yield _drained(buffer)


def _drained(buffer: io.StringIO) -> bytes:
    data = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return data


def write_xlsx(texts: Iterable[ReviewedText], taxonomy: Taxonomy) -> Iterator[bytes]:
    """The rows of the CSV as a sheet from right to left; every cell is text, none a formula."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("reviews")
    sheet.sheet_view.rightToLeft = True
    sheet.freeze_panes = "B2"
    sheet.append(_columns(taxonomy))
    for text in texts:
        sheet.append([sheet_cell(sheet, cell) for cell in _row(text, taxonomy)])
    with tempfile.TemporaryFile() as file:
        book.save(file)
        file.seek(0)
        while chunk := file.read(65_536):
            yield chunk


def write_jsonld(texts: Iterable[ReviewedText], taxonomy: Taxonomy) -> Iterator[bytes]:
    """One graph of schema.org works; goals and targets are named by their UN URIs. No context is fetched."""
    context = {"@vocab": "https://schema.org/", "settled": "urn:musannif:settled"}
    yield b'{"@context": ' + json.dumps(context).encode() + b', "@graph": ['
    separator = b"\n"
    for text in texts:
        yield separator + json.dumps(_work(text, taxonomy), ensure_ascii=False).encode()
        separator = b",\n"
    yield b"\n]}\n"


def _work(text: ReviewedText, taxonomy: Taxonomy) -> dict[str, Any]:
    kept = text.submission
    about = []
    for name, labels in text.labels.items():
        level = taxonomy.level(name)
        for label in (level.labels[level.index[one]] for one in labels):
            about.append(
                {
                    "@id": label.uri or f"urn:musannif:label:{name}:{label.id}",
                    "@type": "DefinedTerm",
                    "termCode": label.id,
                    "name": [{"@value": title, "@language": language} for language, title in label.title.items()],
                }
            )
    work = {
        "@id": f"urn:musannif:submission:{quote(kept.external_id, safe='')}",
        "@type": "CreativeWork",
        "identifier": kept.external_id,
        "text": kept.text,
        "version": kept.revision,
        "dateModified": kept.updated.isoformat(),
        "settled": list(text.labels),
        "about": about,
    }
    return work | ({"inLanguage": kept.language} if kept.language else {})


@dataclass(frozen=True)
class Export:
    """A format.

    Attributes:
        media_type: of the file.
        suffix: of its name.
        write: gives its bytes, piece by piece.
    """

    media_type: str
    suffix: str
    write: Callable[[Iterable[ReviewedText], Taxonomy], Iterator[bytes]]


EXPORTS = {
    "jsonl": Export("application/jsonl", ".jsonl", write_jsonl),
    "csv": Export("text/csv; charset=utf-8", ".csv", write_csv),
    "xlsx": Export("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx", write_xlsx),
    "jsonld": Export("application/ld+json", ".jsonld", write_jsonld),
}
