"""From files to documents: text, JSONL, CSV, Excel workbooks, folders and standard input.

Reading never stops at a bad item: it yields a :class:`~nlp.records.Failure` that names the item, and goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from nlp.errors import EmptyTextError, InvalidTextError, ReadingError, TextTooLongError, UnknownFormatError
from nlp.records import Document, Failure
from nlp.tables import Row, csv_rows, formula_error, sheet_rows

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

_TABLES = (".jsonl", ".csv", ".tsv", ".xlsx")
_SUFFIXES = (".txt", ".md", *_TABLES)
# Signatures of files that are no text, to say by name what was found.
_SIGNATURES = {
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP archive or an Office document",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"\x1f\x8b": "a gzip file",
}


@dataclass(frozen=True, slots=True)
class Columns:
    """What is read of a table.

    Attributes:
        text: key or column that holds the text; found among :data:`TEXT_COLUMNS` if ``None``.
        id: key or column that holds the id; ``id`` if there is one, else the place in the file.
        attributes: columns that are kept beside each text.
        empty: rows without a text are documents too.
    """

    text: str | None = None
    id: str | None = None
    attributes: tuple[str, ...] = ()
    empty: bool = False


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
        source: a text file (one document), a JSONL, CSV or XLSX file (one a row), or a folder (all of them, sorted).
        text_column: key or column that holds the text; found among :data:`TEXT_COLUMNS` if not given.
        id_column: key or column that holds the id; ``id`` if there is one, else the place in the file.

    Yields:
        Documents in order; a failure in the place of each item that cannot be read.

    Raises:
        ReadingError: the source does not exist, or a named column does not.
    """
    columns = Columns(text_column, id_column)
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.is_file() and not path.name.startswith("."))
        if not files:
            raise ReadingError(f"the folder {source} holds no file", expected="files to classify")
        for path in files:
            name = path.relative_to(source).as_posix()
            yield from _read_file(path, name, columns, in_folder=True)
    elif source.exists():
        yield from _read_file(source, source.name, columns, in_folder=False)
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
        yield from _read_jsonl(data, "stdin", Columns(text_column, id_column))
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
        ReadingError: the kind is not known, a named column is not there, or the rows cannot be told apart.
    """
    yield from _read_bytes(data, name, Columns(text_column, id_column))


def read_table(source: Path, columns: Columns) -> Iterator[Document | Failure]:
    """Read the rows of a JSONL, CSV, TSV or XLSX file, with their attributes.

    Args:
        source: the file.
        columns: what is read of it.

    Yields:
        Documents in order; a failure in the place of each row that cannot be read.

    Raises:
        ReadingError: the file cannot be read, it is no table, a named column is not in it, or its rows cannot be told
            apart.
    """
    try:
        data = source.read_bytes()
    except OSError as error:
        raise ReadingError(f"{source}: {error.strerror}", expected="a file that can be read") from error
    yield from read_table_bytes(data, source.name, columns)


def read_table_bytes(data: bytes, name: str, columns: Columns) -> Iterator[Document | Failure]:
    """Read the rows of a table that is in memory; see :func:`read_table`."""
    suffix = Path(name).suffix.lower()
    if suffix not in _TABLES:
        raise UnknownFormatError(
            f"{name}: files of kind {suffix or '(no suffix)'} hold no table of comments",
            expected="one of " + ", ".join(_TABLES),
            remedy="save it as XLSX, or as CSV in UTF-8",
        )
    missing = set(columns.attributes) if suffix == ".jsonl" else set()
    for item in _read_bytes(data, name, columns):
        if isinstance(item, Failure):
            if item.id == name:
                raise item.error
        else:
            missing -= item.attributes.keys()
        yield item
    if missing:
        raise UnknownFormatError(
            f"{name}: no line has the keys {sorted(missing)}",
            expected="the names of attributes, as the lines have them",
            remedy="name them with --attributes (attributes over HTTP)",
        )


def _read_bytes(data: bytes, name: str, columns: Columns) -> Iterator[Document | Failure]:
    suffix = Path(name).suffix.lower()
    if suffix == ".jsonl":
        yield from _read_jsonl(data, name, columns)
    elif suffix == ".xlsx":
        if data:
            yield from _read_rows(sheet_rows(data, name), name, columns)
        else:
            yield Failure(name, EmptyTextError(f"{name} is empty", expected="a header and rows"))
    elif suffix in (".csv", ".tsv"):
        text = _decode(data, name)
        if isinstance(text, Failure):
            yield text
        else:
            yield from _read_rows(csv_rows(text, name, tab=suffix == ".tsv"), name, columns)
    elif suffix in _SUFFIXES:
        text = _decode(data, name)
        yield text if isinstance(text, Failure) else _document(name, text)
    else:
        raise UnknownFormatError(
            f"{name}: files of kind {suffix or '(no suffix)'} are not read",
            expected="one of " + ", ".join(_SUFFIXES),
            remedy="save it as text or CSV",
        )


def _read_file(path: Path, name: str, columns: Columns, *, in_folder: bool) -> Iterator[Document | Failure]:
    known = path.suffix.lower() in _SUFFIXES
    try:
        data = path.read_bytes() if known else b""
        yield from _read_bytes(data, name, columns)
    except OSError as error:
        yield Failure(name, ReadingError(f"{name}: {error.strerror}", expected="a readable file"))
    except ReadingError as error:
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


def _document(
    item_id: str, text: Any, attributes: Mapping[str, str] | None = None, *, empty: bool = False
) -> Document | Failure:
    attributes = attributes or {}
    if empty and (text is None or (isinstance(text, str) and not text.strip())):
        return Document(item_id, "", attributes)
    if not isinstance(text, str):
        return Failure(item_id, InvalidTextError(f"{item_id}: the text is {type(text).__name__}", expected="a string"))
    try:
        check_text(text)
    except ReadingError as error:
        return Failure(item_id, type(error)(f"{item_id}: {error.found}", expected=error.expected, remedy=error.remedy))
    return Document(item_id, text, attributes)


def _read_jsonl(data: bytes, name: str, columns: Columns) -> Iterator[Document | Failure]:
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
        except (ValueError, RecursionError) as error:
            yield Failure(place, InvalidTextError(f"{place} is not JSON: {error}", expected="one JSON object"))
            continue
        if not isinstance(record, dict):
            yield Failure(place, InvalidTextError(f"{place} is a {type(record).__name__}", expected="a JSON object"))
            continue
        given = record.get(columns.id or "id")
        item_id = place if given in (None, "") else str(given)
        column = columns.text if columns.text in record else None if columns.text else _text_column(list(record))
        if column is None:
            yield Failure(item_id, _no_text_column(place, list(record), columns.text))
        else:
            attributes = {key: _plain(record[key]) for key in columns.attributes if key in record}
            yield _document(item_id, record[column], attributes, empty=columns.empty)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read_rows(rows: Iterator[Row], name: str, columns: Columns) -> Iterator[Document | Failure]:
    first = next(rows, None)
    if first is None:
        yield Failure(name, EmptyTextError(f"{name} is empty", expected="a header line and rows"))
        return
    if first.error is not None:
        raise first.error
    header = [cell.strip() for cell in first.cells]
    column = columns.text if columns.text in header else None if columns.text else _text_column(header)
    if column is None:
        raise _no_text_column(name, header, columns.text)
    for wanted in (*((columns.id,) if columns.id else ()), *columns.attributes):
        if wanted not in header:
            raise UnknownFormatError(f"{name} has no column {wanted!r}", expected=f"one of {header}")
    position = header.index(column)
    id_position = header.index(columns.id or "id") if (columns.id or "id") in header else None
    places = {attribute: header.index(attribute) for attribute in columns.attributes}
    for row in rows:
        place, cells = f"{name}:{row.line}", row.cells
        item_id = place if id_position is None or id_position >= len(cells) else cells[id_position] or place
        error = row.error
        if error is None and position in row.formulas:
            error = formula_error(name, row.formulas[position])
        elif error is None and (position >= len(cells) and not columns.empty):
            error = UnknownFormatError(f"{place} has {len(cells)} cells", expected=f"{len(header)} as in the header")
        if error is None and any(cell.strip() for cell in cells[len(header) :]):
            error = UnknownFormatError(
                f"{place} has {len(cells)} cells",
                expected=f"{len(header)} as in the header",
                remedy="quote the cells that hold a separator",
            )
        if error is not None:
            yield Failure(item_id, error)
        else:
            attributes = {key: cells[at] if at < len(cells) else "" for key, at in places.items()}
            text = cells[position] if position < len(cells) else ""
            yield _document(item_id, text, attributes, empty=columns.empty)


def _text_column(columns: list[str]) -> str | None:
    lowered = {column.lower(): column for column in reversed(columns)}
    return next((lowered[name] for name in TEXT_COLUMNS if name in lowered), None)


def _no_text_column(place: str, columns: list[str], wanted: str | None) -> UnknownFormatError:
    return UnknownFormatError(
        f"{place} has the columns {columns}",
        expected=f"a column {wanted!r}" if wanted else "a text column: " + ", ".join(TEXT_COLUMNS),
        remedy="name the right one with --text-column (text_column over HTTP)",
    )
