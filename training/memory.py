"""What the product holds in memory, measured in processes of their own that have nothing else loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from models.bundle import load_tagger
from nlp.records import Document

_TEXT = "تأخر الباص اليوم ساعة كاملة عند المحطة ولم يرد أحد على الشكوى"
# The command line as it is, and then the most memory that the process ever held.
_COMMAND = """
import sys
from service.cli import main
try:
    main()
finally:
    sys.stderr.write(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


def measure_start(bundle: Path) -> tuple[float, float]:
    """Tag one short text by the command line: seconds from the start of the process to its end, and most MiB."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "text.txt"
        file.write_text(_TEXT, encoding="utf-8")
        started = time.perf_counter()
        done = _run("-c", _COMMAND, "classify", str(file), "--bundle", str(bundle), "--format", "jsonl")
        return time.perf_counter() - started, int(done.stderr.split()[-1]) / 1024


def measure_many(bundle: Path, comments: Sequence[str], count: int) -> dict[str, Any]:
    """Tag so many different comments in one run.

    Returns:
        Seconds, comments a second, and MiB at twenty places along the way.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(list(comments), file)
        file.flush()
        done = _run("-m", "training.memory", str(bundle), file.name, str(count))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)  # noqa: S603


def _tag_many(bundle: Path, comments: Sequence[str], count: int) -> dict[str, Any]:
    tagger = load_tagger(bundle)

    def documents() -> Iterator[Document]:
        for number in range(count):
            yield Document(str(number), f"{comments[number % len(comments)]} {number}")

    memory = []
    started = time.perf_counter()
    for number, _ in enumerate(tagger.stream(documents())):
        if number % max(1, count // 20) == 0:
            memory.append(_resident_mib())
    seconds = time.perf_counter() - started
    return {
        "comments": count,
        "seconds": round(seconds, 1),
        "comments_per_second": round(count / seconds, 1),
        "mib": memory,
    }


def _resident_mib() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


if __name__ == "__main__":
    _bundle, _comments, _count = sys.argv[1:]
    _found = _tag_many(Path(_bundle), json.loads(Path(_comments).read_text(encoding="utf-8")), int(_count))
    sys.stdout.write(json.dumps(_found))
