"""Cells of tables that no spreadsheet program runs as a formula."""

from __future__ import annotations

import re
from typing import Any

from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

# Spreadsheet programs run what begins so, also behind white space, and read the full-width forms alike.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
# Excel counts UTF-16 units and takes 32,767 of them.
_CELL_UNITS = 32_000
_CUT = "… [cut: the other formats have the whole text]"


def guarded(cell: str) -> str:
    """A cell that no spreadsheet program runs as a formula: an apostrophe goes before what looks like one."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def sheet_cell(sheet: Any, value: str | int | float) -> Any:
    """A cell of a write-only sheet that no program runs: a number, or text cut to what a cell takes."""
    if not isinstance(value, str):
        return value
    if not value:
        return None
    value = ILLEGAL_CHARACTERS_RE.sub("\ufffd", value)
    units = value.encode("utf-16-le")
    if len(units) > 2 * _CELL_UNITS:
        value = units[: 2 * _CELL_UNITS].decode("utf-16-le", "ignore") + _CUT
    cell = WriteOnlyCell(sheet, value)
    cell.data_type = "s"
    return cell
