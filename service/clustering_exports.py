"""A clustering as files: JSON with everything, CSV with a row a comment, XLSX with a sheet for each kind of thing."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from openpyxl import Workbook

from models.clustering.records import Clustering, PlacedComment, Size, Topic
from service.cells import guarded, sheet_cell
from service.consultation import Told

Cell = str | int | float

# What is told of every comment; its attributes follow.
_COLUMNS = (
    *("id", "text", "topic", "topic title", "subtopic", "subtopic title", "fit", "argument", "campaign"),
    *("minority", "given topics", "flags", "without words", "joined", "pinned"),
)


def write_json(told: Told) -> Iterator[bytes]:
    """Everything but the arrays of the model; ``Clustering.from_dict`` reads what is under ``clustering``."""
    document = {
        "title": told.title,
        "personal_data": None if told.masked is None else dict(told.masked),
        "flags": {comment: list(kinds) for comment, kinds in told.flags.items()},
        "clustering": told.clustering.to_dict(state=False),
        "texts": dict(told.texts),
    }
    yield (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")


def write_csv(told: Told) -> Iterator[bytes]:
    """One row a comment. The byte order mark is for Excel."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\r\n")
    for number, row in enumerate(_comment_rows(told)):
        rows.writerow([guarded(cell) if isinstance(cell, str) else cell for cell in row])
        if number == 0:
            yield b"\xef\xbb\xbf"
        if number % 500 == 0:
            yield _drained(buffer)
    yield _drained(buffer)


def _drained(buffer: io.StringIO) -> bytes:
    data = buffer.getvalue().encode("utf-8", "replace")
    buffer.seek(0)
    buffer.truncate()
    return data


def write_xlsx(told: Told) -> Iterator[bytes]:
    """Sheets from right to left: topics, comments, campaigns, minority views; every cell is text or a number."""
    book = Workbook(write_only=True)
    for name, rows in (
        ("topics", _topic_rows(told.clustering)),
        ("comments", _comment_rows(told)),
        ("campaigns", _campaign_rows(told.clustering)),
        ("minorities", _minority_rows(told.clustering)),
        ("notes", _note_rows(told)),
    ):
        sheet = book.create_sheet(name)
        sheet.sheet_view.rightToLeft = True
        sheet.freeze_panes = "A2"
        for row in rows:
            sheet.append([sheet_cell(sheet, cell) for cell in row])
    with tempfile.TemporaryFile() as file:
        book.save(file)
        file.seek(0)
        while chunk := file.read(65_536):
            yield chunk


def attribute_columns(comments: Sequence[PlacedComment]) -> dict[str, str]:
    """The columns of all attributes by their names, in the order in which they are met.

    An attribute that has the name of another column gets ``attribute: `` before it: no two columns have one name.
    """
    names = list(dict.fromkeys(name for comment in comments for name in comment.attributes))
    columns = {}
    for name in names:
        column = name
        while column in _COLUMNS or (column != name and column in names):
            column = f"attribute: {column}"
        columns[name] = column
    return columns


def _comment_rows(told: Told) -> Iterator[list[Cell]]:
    clustering = told.clustering
    attributes = attribute_columns(clustering.comments)
    titles = {topic.id: topic.title for topic in clustering.walk()}
    yield [*_COLUMNS, *attributes.values()]
    for comment in clustering.comments:
        yield [
            comment.id,
            told.texts.get(comment.id, ""),
            comment.topic,
            titles[comment.topic],
            comment.subtopic or "",
            titles.get(comment.subtopic or "", ""),
            round(comment.fit, 4),
            comment.argument,
            comment.campaign or "",
            comment.minority or "",
            " ".join(comment.presets),
            " ".join(told.flags.get(comment.id, ())),
            *("yes" if one else "" for one in (comment.wordless, comment.joined, comment.pinned)),
            *(comment.attributes.get(name, "") for name in attributes),
        ]


def _size(size: Size, share: float) -> list[Cell]:
    return [size.voices, size.arguments, round(share, 4)]


def _topic_rows(clustering: Clustering) -> Iterator[list[Cell]]:
    yield ["id", "of", "title", "voices", "arguments", "share", "stability", "phrases", "quote"]

    def row(topic: Topic, parent: str) -> list[Cell]:
        score = topic.stability.score
        return [
            topic.id,
            parent,
            topic.title,
            *_size(topic.size, topic.share),
            "" if score is None else round(score, 4),
            " | ".join(phrase.text for phrase in topic.phrases),
            topic.quotes[0].text if topic.quotes else "",
        ]

    for topic in (*clustering.topics, clustering.other):
        yield row(topic, "")
        for part in topic.subtopics:
            yield row(part, topic.id)


def _campaign_rows(clustering: Clustering) -> Iterator[list[Cell]]:
    yield ["id", "kind", "topic", "voices", "arguments", "share", "similarity", "text"]
    for one in clustering.campaigns:
        similarity = round(one.similarity, 4)
        yield [one.id, one.kind, one.topic, *_size(one.size, one.share), similarity, one.text]


def _minority_rows(clustering: Clustering) -> Iterator[list[Cell]]:
    yield ["id", "title", "topic", "voices", "arguments", "share", "phrases", "quote"]
    for one in clustering.minorities:
        phrases = " | ".join(phrase.text for phrase in one.phrases)
        quote = one.quotes[0].text if one.quotes else ""
        yield [one.id, one.title, one.topic, *_size(one.size, one.share), phrases, quote]


def _note_rows(told: Told) -> Iterator[list[Cell]]:
    yield ["about", "note", "in English"]
    for note in told.clustering.notes:
        yield [note.about, note.ar, note.en]
    for kind, count in (told.masked or {}).items():
        yield ["personal data", f"{kind}: {count}", f"{kind}: {count}"]


@dataclass(frozen=True)
class ClusteringExport:
    """A format.

    Attributes:
        media_type: of the file.
        write: gives its bytes, piece by piece.
    """

    media_type: str
    write: Callable[[Told], Iterator[bytes]]


CLUSTERING_EXPORTS = {
    "json": ClusteringExport("application/json", write_json),
    "csv": ClusteringExport("text/csv; charset=utf-8", write_csv),
    "xlsx": ClusteringExport("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", write_xlsx),
}
