"""The files that a command writes: refused before the work where they cannot be, and in their places when whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nlp.errors import OutputError


def check_outputs(outputs: Sequence[Path], sources: Sequence[Path] = ()) -> None:
    """Refuse, before the work, files that could not be written after it, or that would take the place of another.

    Args:
        outputs: files to write.
        sources: files and folders that are read.

    Raises:
        OutputError: the folder of a file is not there, or its place is that of a folder, of what is read, or of
            another file to write.
    """
    taken = {source.resolve() for source in sources}
    for output in outputs:
        place = output.resolve()
        if not place.parent.is_dir():
            raise OutputError(
                f"there is no folder {output.parent} for {output.name}",
                expected="a folder that is there",
                remedy="make the folder, or name another file",
            )
        if place.is_dir():
            raise OutputError(f"{output} is a folder", expected="the name of a file to write")
        if place in taken or (place.exists() and not taken.isdisjoint(place.parents)):
            raise OutputError(
                f"{output} would be written over, and it is part of what is read or written",
                expected="a file of its own for what is read, and for each file to write",
                remedy="name another file",
            )
        taken.add(place)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes its place when it is whole; where the work fails, nothing is left of it.

    Until then its name begins with a dot, so that a folder can be read while it is written there.

    Raises:
        OutputError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}", expected="a file that can be written") from error
    finally:
        partial.unlink(missing_ok=True)
