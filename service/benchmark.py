"""The service under load, beside the same model without it. Run with ``make bench``; all of it stays on this machine.

Three parts: the model alone; so many clients, each with one comment at a time; and four times what the service can do,
offered whether it answers or not. The first two take turns, so that their ratio does not depend on the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median

import click

from models.bundle import DEFAULT_BUNDLE, load_tagger
from nlp.records import Document

_COMMENT = (
    "تأخر الباص اليوم ساعة كاملة عند المحطة رقم {number} والتطبيق لا يعمل منذ أسبوع ولم يرد أحد على الشكوى التي قدمتها "
    "في البوابة، نرجو من الوزارة متابعة الموضوع وتحسين الخدمة في الأحياء البعيدة وتوفير معلومات دقيقة عن المواعيد"
)

_HOST, _PATH, _TYPE = "127.0.0.1", "/v1/classify", "application/json"
# In which the model alone and the service take turns.
_ROUNDS = 3
# Comments of one call of the model alone.
_OFFLINE = 256


class Load:
    """What came of many requests."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.seconds: dict[int, list[float]] = {}

    def __str__(self) -> str:
        return ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))

    def note(self, status: int, seconds: float) -> None:
        """Keep one answer."""
        self.statuses[status] += 1
        self.seconds.setdefault(status, []).append(seconds)

    def percentile(self, status: int, share: float) -> float:
        """Seconds within which that share of the answers of a status came."""
        found = sorted(self.seconds.get(status, [0.0]))
        return found[min(len(found) - 1, int(share * len(found)))]


def _say(name: str, figures: str) -> None:
    click.echo(f"{name:20} {figures}")


class Connection:
    """A bare client, which takes little of the processors from the service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, number: int, load: Load) -> None:
        """Send one comment, and note what became of it."""
        body = json.dumps({"text": _COMMENT.format(number=number), "evidence": False}, ensure_ascii=False).encode()
        head = f"POST {_PATH} HTTP/1.1\r\nHost: {_HOST}\r\nContent-Type: {_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
        started = time.perf_counter()
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await self._reader.readexactly(int(length))
        load.note(int(answer.split(b" ", 2)[1]), time.perf_counter() - started)


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection(_HOST, port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def _one(port: int, number: int, load: Load) -> None:
    """One comment on a connection of its own."""
    async with _connected(port) as connection:
        await connection.ask(number, load)


async def _closed(port: int, clients: int, seconds: float, load: Load) -> float:
    """So many clients, each of which asks again when it is answered; texts tagged in a second."""
    started, before = time.perf_counter(), load.statuses[200]
    end = started + seconds

    async def client(number: int) -> None:
        turn = 0
        async with _connected(port) as connection:
            while time.perf_counter() < end:
                await connection.ask(number * 100_000 + turn, load)
                turn += 1

    await asyncio.gather(*(client(number) for number in range(clients)))
    return (load.statuses[200] - before) / (time.perf_counter() - started)


async def _open(port: int, rate: float, seconds: float, memory: list[int], process: int) -> Load:
    """So many requests a second, whether they are answered or not."""
    load, started = Load(), time.perf_counter()
    async with asyncio.TaskGroup() as asked:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
            asked.create_task(_one(port, number, load))
            if number % max(1, int(rate)) == 0:
                memory.append(_resident(process))
    return load


def _resident(process: int) -> int:
    """Bytes of memory that a process holds."""
    fields = Path(f"/proc/{process}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def _alone(seconds: float, threads: int) -> float:
    """Texts a second of the model without the service."""
    tagger = load_tagger(DEFAULT_BUNDLE, threads=threads or None)
    tagger.classify([Document("", _COMMENT.format(number=0))])
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        tagger.classify([Document("", _COMMENT.format(number=number)) for number in range(done, done + _OFFLINE)])
        done += _OFFLINE
    return done / (time.perf_counter() - started)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{_HOST}:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@click.command()
@click.option("--seconds", type=float, default=60.0, help="Of each part.")
@click.option("--clients", type=int, default=64, help="That ask at the same time.")
@click.option("--threads", type=int, default=0, help="Of one forward pass; 0 for all processors.")
def main(seconds: float, clients: int, threads: int) -> None:
    """Load the service, and say how it bears it."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        variables = {
            "MUSANNIF_DATABASE": f"{folder}/musannif.sqlite",
            "MUSANNIF_QUEUE": f"{folder}/queue.sqlite",
            "MUSANNIF_THREADS": str(threads),
            "MUSANNIF_LOG_LEVEL": "warning",
            # All clients of this measurement come from one address.
            "MUSANNIF_MOST_REQUESTS_PER_MINUTE": "0",
        }
        command = [sys.executable, "-c", "from service.cli import main; main()", "serve", "--port", str(port)]
        server = subprocess.Popen(command, env={**os.environ, **variables})  # noqa: S603 - our own command
        try:
            while not _ready(port):
                if server.poll() is not None:
                    raise click.ClickException("the service did not start")
                time.sleep(0.1)
            asyncio.run(_closed(port, clients, min(seconds, 3), Load()))
            load = Load()
            alone = [_alone(seconds / _ROUNDS, threads)]
            rates: list[float] = []
            for _ in range(_ROUNDS):
                rates.append(asyncio.run(_closed(port, clients, seconds / _ROUNDS, load)))
                alone.append(_alone(seconds / _ROUNDS, threads))
            shares = [2 * rate / (one + next_) for rate, (one, next_) in zip(rates, pairwise(alone), strict=True)]
            rate = median(rates)
            _say("the model alone", f"{median(alone):.1f} texts/s")
            _say(
                f"{clients} clients",
                f"{rate:.1f} texts/s, {median(shares):.0%} of the model alone in the middle of {_ROUNDS} rounds "
                f"({min(shares):.0%} to {max(shares):.0%})",
            )
            _say("", f"{load}; p50 {load.percentile(200, 0.5):.3f} s, p99 {load.percentile(200, 0.99):.3f} s")
            memory: list[int] = []
            over = asyncio.run(_open(port, 4 * rate, seconds, memory, server.pid))
            _say("four times as many", f"{over.statuses[200] / seconds:.1f} texts/s")
            _say("", f"{over}; p99 of 429 {over.percentile(429, 0.99):.3f} s")
            _say("memory", f"{memory[0] / 2**20:.0f} MiB at first, {max(memory) / 2**20:.0f} MiB at most")
            after = Load()
            asyncio.run(_one(port, 0, after))
            _say("the next comment", f"{after} after {after.percentile(200, 1):.3f} s")
        finally:
            server.terminate()
            server.wait(timeout=60)


if __name__ == "__main__":
    main()
