"""From files to documents: text, JSONL, CSV, folders and standard input.

Reading never stops at a bad item: it yields a :class:`~nlp.records.Failure` that names the item, and goes on.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from nlp.errors import EmptyTextError, InvalidTextError, ReadingError, TextTooLongError, UnknownFormatError
from nlp.records import Document, Failure

MOST_CHARACTERS = 1_000_000
"""Longest text that is taken, in characters: about 500 printed pages."""

TEXT_COLUMNS = (
    "text",
    "comment",
    "description",
    "body",
    "content",
    "النص",
    "نص",
    "التعليق",
    "تعليق",
    "الوصف",
    "المحتوى",
)
"""Columns and keys that are looked for when none is named, in this order."""

_SUFFIXES = (".txt", ".md", ".jsonl", ".csv", ".tsv")
# Signatures of files that are no text, to say by name what was found.
_SIGNATURES = {
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP archive or an Office document",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"\x1f\x8b": "a gzip file",
}


def check_text(text: str, most_characters: int = MOST_CHARACTERS) -> None:
    """Refuse a text that cannot be classified.

    Raises:
        EmptyTextError: nothing but white space.
        TextTooLongError: more than ``most_characters``.
        InvalidTextError: lone surrogates or NUL characters.
    """
    if not text or text.isspace():
        raise EmptyTextError("the text is empty", expected="at least one letter")
    if len(text) > most_characters:
        raise TextTooLongError(
            f"the text has {len(text):,} characters",
            expected=f"at most {most_characters:,}",
            remedy="split it into chapters or pages",
        )
    if "\x00" in text:
        raise InvalidTextError(
            f"a NUL character at position {text.index(chr(0))}",
            expected="text",
            remedy="is it a binary file?",
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidTextError(
            f"a lone surrogate U+{ord(text[error.start]):04X} at character {error.start}",
            expected="valid Unicode",
            remedy="export the text again as UTF-8",
        ) from None


def read_documents(
    source: Path, *, text_column: str | None = None, id_column: str | None = None
) -> Iterator[Document | Failure]:
    """Read every document of a file or folder.

    Args:
        source: a text file (one document), a JSONL or CSV file (one a row), or a folder (all of them, sorted).
        text_column: key or column that holds the text; found among :data:`TEXT_COLUMNS` if not given.
        id_column: key or column that holds the id; ``id`` if there is one, else the place in the file.

    Yields:
        Documents in order; a failure in the place of each item that cannot be read.

    Raises:
        ReadingError: the source does not exist, or a named column does not.
    """
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.is_file() and not path.name.startswith("."))
        if not files:
            raise ReadingError(f"the folder {source} holds no file", expected="files to classify")
        for path in files:
            name = path.relative_to(source).as_posix()
            yield from _read_file(path, name, text_column, id_column, in_folder=True)
    elif source.exists():
        yield from _read_file(source, source.name, text_column, id_column, in_folder=False)
    else:
        raise ReadingError(f"{source} does not exist", expected="a file or a folder")


def read_stream(
    stream: BinaryIO, *, text_column: str | None = None, id_column: str | None = None
) -> Iterator[Document | Failure]:
    """Read standard input: JSONL if its first line is a JSON object, else one document of plain text."""
    data = stream.read()
    text = _decode(data, "stdin")
    if isinstance(text, Failure):
        yield text
    elif text.lstrip().startswith("{"):
        yield from _read_jsonl(data, "stdin", text_column, id_column)
    else:
        yield _document("stdin", text)


def read_bytes(
    data: bytes, name: str, *, text_column: str | None = None, id_column: str | None = None
) -> Iterator[Document | Failure]:
    """Read every document of a file that is in memory.

    Args:
        data: its bytes.
        name: with the suffix that tells its kind, as in :func:`read_documents`.
        text_column: as there.
        id_column: as there.

    Raises:
        UnknownFormatError: the kind is not known, or a named column is not there.
    """
    suffix = Path(name).suffix.lower()
    if suffix == ".jsonl":
        yield from _read_jsonl(data, name, text_column, id_column)
    elif suffix in (".csv", ".tsv"):
        yield from _read_csv(data, name, text_column, id_column, tab=suffix == ".tsv")
    elif suffix in _SUFFIXES:
        text = _decode(data, name)
        yield text if isinstance(text, Failure) else _document(name, text)
    else:
        raise UnknownFormatError(
            f"{name}: files of kind {suffix or '(no suffix)'} are not read",
            expected="one of " + ", ".join(_SUFFIXES),
            remedy="save it as text or CSV",
        )


def _read_file(
    path: Path, name: str, text_column: str | None, id_column: str | None, *, in_folder: bool
) -> Iterator[Document | Failure]:
    known = path.suffix.lower() in _SUFFIXES
    try:
        data = path.read_bytes() if known else b""
        yield from read_bytes(data, name, text_column=text_column, id_column=id_column)
    except OSError as error:
        yield Failure(name, ReadingError(f"{name}: {error.strerror}", expected="a readable file"))
    except UnknownFormatError as error:
        if known and not in_folder:
            raise
        yield Failure(name, error)


def _decode(data: bytes, name: str) -> str | Failure:
    for signature, kind in _SIGNATURES.items():
        if data.startswith(signature):
            return Failure(name, InvalidTextError(f"{name} is {kind}", expected="text in UTF-8"))
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return Failure(
            name,
            InvalidTextError(
                f"{name}: byte {error.start} (line {line}) is not valid {encoding.upper().removesuffix('-SIG')}",
                expected="text in UTF-8",
                remedy="save it again as UTF-8 (Windows-1256 is a common cause)",
            ),
        )


def _document(item_id: str, text: Any) -> Document | Failure:
    if not isinstance(text, str):
        return Failure(item_id, InvalidTextError(f"{item_id}: the text is {type(text).__name__}", expected="a string"))
    try:
        check_text(text)
    except ReadingError as error:
        return Failure(item_id, type(error)(f"{item_id}: {error.found}", expected=error.expected, remedy=error.remedy))
    return Document(item_id, text)


def _read_jsonl(data: bytes, name: str, text_column: str | None, id_column: str | None) -> Iterator[Document | Failure]:
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not any(line.strip() for line in lines):
        yield Failure(name, EmptyTextError(f"{name} is empty", expected="one JSON object a line"))
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            record = json.loads(line)
        except UnicodeDecodeError as error:
            yield Failure(place, InvalidTextError(f"{place}: byte {error.start} is not valid UTF-8", expected="UTF-8"))
            continue
        except (json.JSONDecodeError, RecursionError) as error:
            yield Failure(place, InvalidTextError(f"{place} is not JSON: {error}", expected="one JSON object"))
            continue
        if not isinstance(record, dict):
            yield Failure(place, InvalidTextError(f"{place} is a {type(record).__name__}", expected="a JSON object"))
            continue
        item_id = str(record.get(id_column or "id", place))
        column = text_column if text_column in record else None if text_column else _text_column(list(record))
        if column is None:
            yield Failure(item_id, _no_text_column(place, list(record), text_column))
        else:
            yield _document(item_id, record[column])


def _read_csv(
    data: bytes, name: str, text_column: str | None, id_column: str | None, *, tab: bool
) -> Iterator[Document | Failure]:
    text = _decode(data, name)
    if isinstance(text, Failure):
        yield text
        return
    if not text.strip():
        yield Failure(name, EmptyTextError(f"{name} is empty", expected="a header line and rows"))
        return
    header_line = text.split("\n", 1)[0]
    delimiter = "\t" if tab else max(",;\t", key=header_line.count)
    csv.field_size_limit(max(csv.field_size_limit(), 64 * MOST_CHARACTERS))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [cell.strip() for cell in next(rows)]
    column = text_column if text_column in header else None if text_column else _text_column(header)
    if column is None:
        raise _no_text_column(name, header, text_column)
    if id_column and id_column not in header:
        raise UnknownFormatError(f"{name} has no column {id_column!r}", expected=f"one of {header}")
    position = header.index(column)
    id_position = header.index(id_column or "id") if (id_column or "id") in header else None
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        place = f"{name}:{rows.line_num}"
        item_id = place if id_position is None or id_position >= len(row) else row[id_position] or place
        if position >= len(row):
            error = UnknownFormatError(f"{place} has {len(row)} cells", expected=f"{len(header)} as in the header")
            yield Failure(item_id, error)
        else:
            yield _document(item_id, row[position])


def _text_column(columns: list[str]) -> str | None:
    lowered = {column.lower(): column for column in reversed(columns)}
    return next((lowered[name] for name in TEXT_COLUMNS if name in lowered), None)


def _no_text_column(place: str, columns: list[str], wanted: str | None) -> UnknownFormatError:
    return UnknownFormatError(
        f"{place} has the columns {columns}",
        expected=f"a column {wanted!r}" if wanted else "a text column: " + ", ".join(TEXT_COLUMNS),
        remedy="name the right one with --text-column (text_column over HTTP)",
    )
