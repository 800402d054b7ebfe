"""Classifications to JSONL, CSV, or a table that a person reads."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from typing import TextIO

from nlp.records import Classification, Failure, Tag
from nlp.taxonomy import Taxonomy
from service.cells import guarded

Result = Classification | Failure


class Writer(ABC):
    """Writes results one by one; ``close`` finishes what was begun."""

    def __init__(self, stream: TextIO, taxonomy: Taxonomy, model: str) -> None:
        self._stream = stream
        self._taxonomy = taxonomy
        self._model = model

    @abstractmethod
    def write(self, result: Result) -> None:
        """Write one result, or the error in its place."""

    def close(self) -> None:  # noqa: B027 - most formats have nothing to finish
        """Finish the output."""


class JsonlWriter(Writer):
    """One JSON object an item; an item that failed has ``error`` in place of tags."""

    def write(self, result: Result) -> None:
        """Write one line."""
        if isinstance(result, Failure):
            item = {"id": result.id, "error": str(result.error), "model": self._model}
        else:
            item = result.to_dict(self._model)
        self._stream.write(_valid(json.dumps(item, ensure_ascii=False)) + "\n")


class CsvWriter(Writer):
    """One row an item; the tags of a level in one cell, separated by spaces. No cell is run as a formula."""

    def __init__(self, stream: TextIO, taxonomy: Taxonomy, model: str) -> None:
        super().__init__(stream, taxonomy, model)
        self._rows = csv.writer(stream, lineterminator="\n")
        self._levels = [level.name for level in taxonomy.levels]
        self._rows.writerow(["id", *self._levels, "needs_review", "model", "error"])

    def write(self, result: Result) -> None:
        """Write one row."""
        if isinstance(result, Failure):
            cells = [result.id, *[""] * len(self._levels), "", self._model, str(result.error)]
        else:
            tags = [" ".join(tag.id for tag in result.tags.get(level, ())) for level in self._levels]
            cells = [result.id, *tags, str(result.needs_review).lower(), self._model, ""]
        self._rows.writerow([guarded(_valid(cell)) for cell in cells])


class TableWriter(Writer):
    """A table with the Arabic titles of the tags."""

    def __init__(self, stream: TextIO, taxonomy: Taxonomy, model: str) -> None:
        from rich.table import Table

        super().__init__(stream, taxonomy, model)
        self._table = Table(title=model, show_lines=True)
        self._table.add_column("id", overflow="fold")
        for axis in taxonomy.axes:
            self._table.add_column(axis.title["en"], overflow="fold")
        self._table.add_column("review")

    def write(self, result: Result) -> None:
        """Add one row."""
        if isinstance(result, Failure):
            self._table.add_row(_valid(result.id), _valid(str(result.error)), style="red")
            return
        cells = [
            "\n".join(self._line(level.name, tag) for level in axis.levels for tag in result.tags.get(level.name, ()))
            for axis in self._taxonomy.axes
        ]
        self._table.add_row(_valid(result.id), *cells, "yes" if result.needs_review else "")

    def close(self) -> None:
        """Print the table."""
        from rich.console import Console

        width = None if self._stream.isatty() else 120
        Console(file=self._stream, width=width, markup=False, emoji=False, highlight=False).print(self._table)

    def _line(self, level: str, tag: Tag) -> str:
        labels = self._taxonomy.level(level)
        title = labels.labels[labels.index[tag.id]].title["ar"]
        return f"{tag.score:.2f} {tag.id} {title}" if tag.id[0].isdigit() else f"{tag.score:.2f} {title}"


def _valid(text: str) -> str:
    """Lone surrogates, which no file can hold, become question marks."""
    return text.encode("utf-8", "replace").decode()


WRITERS: dict[str, type[Writer]] = {"jsonl": JsonlWriter, "csv": CsvWriter, "table": TableWriter}
