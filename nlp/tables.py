"""Rows of tables: CSV as office programs write it, and Excel workbooks."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any

from openpyxl import load_workbook
from openpyxl.utils import get_column_letter

from nlp.errors import InvalidTextError, MusannifError, ReadingError, TextTooLongError, UnknownFormatError

# Longest cell of a CSV file, in characters.
_CELL = 64_000_000
# A line that no file has: where it ends up tells whether the last quote was closed.
_END = "\x00end\x00"
# Most bytes that the parts of a workbook may have when they are unpacked.
_UNPACKED = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, the header included.

    Attributes:
        line: where it begins: of the file, or of the sheet; from 1.
        cells: as text; empty where the row cannot be read.
        error: why it cannot be read.
        formulas: cells that are a formula of which the file holds no value, as ``B3``, by their place.
    """

    line: int
    cells: list[str]
    error: ReadingError | None = None
    formulas: dict[int, str] = field(default_factory=dict)


def csv_rows(text: str, name: str, *, tab: bool = False) -> Iterator[Row]:
    """Rows of a CSV file that are not blank. The header tells what parts the cells: comma, semicolon or tab.

    A row that spans several lines because of a stray quotation mark has an error.

    Args:
        text: of the file.
        name: of the file.
        tab: cells are parted by tabs, whatever the header looks like.

    Raises:
        InvalidTextError: a quotation mark is opened and never closed, so that it swallows the rest of the file.
    """
    header = text.split("\n", 1)[0]
    delimiter = "\t" if tab else max(",;\t", key=header.count)
    csv.field_size_limit(max(csv.field_size_limit(), _CELL))
    lines = [*io.StringIO(text, newline="")]
    rows = csv.reader([*lines, _END], delimiter=delimiter)
    begin = 1
    for cells in rows:
        end = min(rows.line_num, len(lines))
        if cells != [_END] and cells and cells[-1].endswith(_END):
            raise InvalidTextError(
                f"{name}: a quotation mark that is opened in the row of line {begin} is never closed: "
                f"the {end - begin + 1} lines to the end of the file are one cell",
                expected="every quotation mark inside a cell doubled, as spreadsheet programs write it",
                remedy="mend that line, or save the file again as CSV or XLSX",
            )
        if cells != [_END] and any(cell.strip() for cell in cells):
            if end > begin and not _quoted_well(lines[begin - 1 : end], delimiter):
                yield Row(begin, [], _stray_quote(name, begin, end))
            else:
                yield Row(begin, cells)
        begin = rows.line_num + 1


def _quoted_well(lines: Sequence[str], delimiter: str) -> bool:
    try:
        return len(list(csv.reader(lines, delimiter=delimiter, strict=True))) == 1
    except csv.Error:
        return False


def _stray_quote(name: str, begin: int, end: int) -> ReadingError:
    return InvalidTextError(
        f"{name}: lines {begin} to {end} are one row, because of a stray quotation mark",
        expected="every quotation mark inside a cell doubled, as spreadsheet programs write it",
        remedy="mend these lines",
    )


def sheet_rows(data: bytes, name: str) -> Iterator[Row]:
    """Rows that are not blank of the first sheet of an Excel workbook that has any.

    A formula counts as the value that the file holds of it.

    Raises:
        InvalidTextError: the workbook cannot be opened.
        TextTooLongError: it is unreasonably large when unpacked.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(part.file_size for part in archive.infolist())
        if size > _UNPACKED:
            raise TextTooLongError(f"{name} has {size:,} bytes when unpacked", expected=f"at most {_UNPACKED:,}")
        values = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        formulas = load_workbook(io.BytesIO(data), read_only=True)
        for sheet, plain in zip(values.worksheets, formulas.worksheets, strict=True):
            # What the file says of its own size is often wrong.
            sheet.reset_dimensions()
            plain.reset_dimensions()
            found = False
            pairs = zip(sheet.iter_rows(values_only=True), plain.iter_rows(values_only=True), strict=True)
            for line, (row, written) in enumerate(pairs, 1):
                cells = [_cell(value) for value in row]
                missing = {
                    place: f"{get_column_letter(place + 1)}{line}"
                    for place, (value, formula) in enumerate(zip(row, written, strict=False))
                    if value is None and formula is not None
                }
                if missing or any(cell.strip() for cell in cells):
                    found = True
                    yield Row(line, cells, formulas=missing)
            if found:
                return
    except MusannifError:
        raise
    # Damage comes up as whatever the reader of the archive, of the XML or of the sheets stumbled over.
    except Exception as error:
        raise InvalidTextError(
            f"{name} cannot be read as a workbook: {error}",
            expected="an XLSX file without a password",
            remedy="open it in a spreadsheet program and save it again, or save it as CSV in UTF-8",
        ) from error


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)


def formula_error(name: str, cell: str) -> ReadingError:
    """The error of a cell whose text is a formula without a value."""
    return UnknownFormatError(
        f"{name}: cell {cell} is a formula, and the file does not hold its value",
        expected="text",
        remedy="open the file in a spreadsheet program and save it, or paste the values in place of the formulas",
    )
