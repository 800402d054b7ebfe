"""The command line, ``musannif``."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TextIO

import click

import nlp
from models.bundle import DEFAULT_BUNDLE, load_tagger, promote, read_manifest, rollback, verify_bundle
from models.runtime import choose_runtime
from models.tagger import Options
from nlp.errors import MusannifError, UnknownFormatError
from nlp.reading import read_documents, read_stream
from nlp.records import Document, Failure
from service.outputs import check_outputs, new_file
from service.writing import WRITERS

# Commands whose modules are imported when they are called: a command that tags texts needs no database.
_LATE = {
    "cluster": "service.cluster_command",
    "keys": "service.access_commands",
    "users": "service.access_commands",
    "reviews": "service.store_commands",
    "audit": "service.store_commands",
    "backup": "service.store_commands",
    "restore": "service.store_commands",
}
_TRAIN_EXTRA = ("torch", "transformers", "datasets", "onnx", "tqdm", "camel_tools")


class _ExtendableGroup(click.Group):
    """A group whose other commands are loaded when they are called: our own, and entry points ``musannif.commands``.

    An entry point ``bundle.build`` joins the group ``bundle`` as ``build``.
    """

    def _found(self) -> dict[str, EntryPoint]:
        path = "" if self.name == "main" else f"{self.name}."
        found = {point.name: point for point in entry_points(group="musannif.commands")}
        return {
            name.removeprefix(path): point
            for name, point in found.items()
            if name.startswith(path) and "." not in name.removeprefix(path)
        }

    def _late(self) -> Mapping[str, str]:
        return _LATE if self.name == "main" else {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._late(), *self._found()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name in self._late():
            late: click.Command = getattr(import_module(self._late()[cmd_name]), cmd_name)
            command = late
        if command is None and cmd_name in self._found():
            command = self._found()[cmd_name].load()
        return command


@click.group(name="main", cls=_ExtendableGroup)
@click.version_option(nlp.__version__, prog_name="musannif")
def cli() -> None:
    """Musannif (مُصنِّف) tags Arabic texts about government practices.

    SDG goals and targets, technologies, and RITE dimensions; on this machine, without a network.
    """


@cli.command()
@click.argument("inputs", nargs=-1, required=True)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="File to write; standard output if not given.")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(WRITERS)),
    help="By the suffix of --output if not given; else a table on a terminal, JSONL in a pipe.",
)
@click.option("--text-column", help="Column or key that holds the text; common names are found by themselves.")
@click.option("--id-column", help="Column or key that holds the id; 'id' if there is one.")
@click.option("--axes", help="Axes to answer, separated by commas; all if not given.")
@click.option("--top-k", type=click.IntRange(1), help="At most so many tags a level.")
@click.option("--min-score", type=click.FloatRange(0, 1), default=0.0, help="No tag below this probability.")
@click.option("--all-scores", is_flag=True, help="Also write the probability of every label (JSONL).")
@click.option("--evidence", is_flag=True, help="Also write the sentences that carry each tag, as offsets (JSONL).")
@click.option("--bundle", type=click.Path(path_type=Path), default=DEFAULT_BUNDLE, help="Another model bundle.")
def classify(
    inputs: tuple[str, ...],
    output: Path | None,
    form: str | None,
    text_column: str | None,
    id_column: str | None,
    axes: str | None,
    top_k: int | None,
    min_score: float,
    all_scores: bool,
    evidence: bool,
    bundle: Path,
) -> None:
    """Tag texts: text files, JSONL, CSV, XLSX, folders, or - for standard input.

    A text or Markdown file is one document; a row of JSONL, CSV or XLSX is one each. An item that cannot be read is
    reported in its place, and the others are answered; the exit status is then 1.
    """
    form = form or _form_of(output)
    check_outputs([output] if output else [], [Path(source) for source in inputs if source != "-"])
    options = Options(
        axes=tuple(axes.split(",")) if axes else (),
        top_k=top_k,
        min_score=min_score,
        all_scores=all_scores,
        evidence=evidence,
    )
    tagger = load_tagger(bundle)
    for axis in options.axes:
        tagger.taxonomy.axis(axis)
    failures = 0
    with ExitStack() as stack:
        stream: TextIO = sys.stdout
        if output:
            file = stack.enter_context(new_file(output))
            stream = stack.enter_context(io.TextIOWrapper(file, encoding="utf-8", newline=""))
        writer = WRITERS[form](stream, tagger.taxonomy, tagger.name)
        for result in tagger.stream(_items(inputs, text_column, id_column), options):
            writer.write(result)
            if isinstance(result, Failure):
                failures += 1
                click.echo(f"{result.id}: {result.error}".encode("utf-8", "replace").decode(), err=True)
        writer.close()
    if failures:
        raise SystemExit(1)


def _form_of(output: Path | None) -> str:
    if output is None:
        return "table" if sys.stdout.isatty() else "jsonl"
    forms = {".jsonl": "jsonl", ".csv": "csv", ".txt": "table"}
    if output.suffix.lower() not in forms:
        raise UnknownFormatError(
            f"--output {output} has the suffix {output.suffix or '(none)'}",
            expected=" or ".join(forms),
            remedy="or say the format with --format",
        )
    return forms[output.suffix.lower()]


def _items(inputs: tuple[str, ...], text_column: str | None, id_column: str | None) -> Iterator[Document | Failure]:
    for source in inputs:
        if source == "-":
            yield from read_stream(sys.stdin.buffer, text_column=text_column, id_column=id_column)
        else:
            yield from read_documents(Path(source), text_column=text_column, id_column=id_column)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]


@cli.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Another model bundle.")
@click.option("--workers", type=click.IntRange(1), default=1, help="Processes, each with a model of its own.")
def serve(host: str | None, port: int | None, bundle: Path | None, workers: int) -> None:
    """Serve the API; the documentation is at /docs.

    The processes work on jobs too, as the setting job_threads says. When it is told to stop, the service finishes
    the requests that it has and the parts of jobs that it began; the rest goes on at the next start.
    """
    import uvicorn

    from service.access import require_credentials
    from service.clock import utc_now
    from service.connections import Connection, allow_many
    from service.settings import Settings
    from service.store import open_store

    given = {name: value for name, value in {"host": host, "port": port, "bundle": bundle}.items() if value is not None}
    settings = Settings(**given)  # type: ignore[arg-type]
    verify_bundle(settings.bundle)
    with closing(
        open_store(settings.database, busy_seconds=settings.busy_seconds, query_seconds=settings.query_seconds)
    ) as store:
        require_credentials(settings, store, utc_now)
    with ExitStack() as stack:
        # Every process reads its settings from the environment.
        variables = {f"MUSANNIF_{name.upper()}": str(value) for name, value in given.items()}
        if workers > 1:
            # Before the library of the metrics is imported: it looks once.
            variables["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(_environment(variables))
        allow_many()
        uvicorn.run(
            "service.app:create_app_from_environment",
            factory=True,
            http=partial(Connection, head_seconds=settings.body_seconds),  # type: ignore[arg-type]
            host=settings.host,
            port=settings.port,
            workers=workers,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=settings.shutdown_seconds,
        )


@cli.command()
@click.option("--threads", type=click.IntRange(1), default=1, help="Parts of jobs at a time.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Another model bundle.")
def worker(threads: int, bundle: Path | None) -> None:
    """Work on jobs and webhooks, here or on another machine with the same MUSANNIF_DATABASE and MUSANNIF_QUEUE.

    When it is told to stop, it finishes the parts that it began.
    """
    from service.clock import utc_now
    from service.metrics import Metrics
    from service.observing import configure_log
    from service.runtime import open_runtime
    from service.settings import Settings

    given = {"bundle": bundle} if bundle else {}
    settings = Settings(job_threads=threads, **given)  # type: ignore[arg-type]
    configure_log(settings)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with open_runtime(settings, None, utc_now, Metrics()):
        click.echo("working", err=True)
        stopped.wait()


@cli.group(cls=_ExtendableGroup)
def bundle() -> None:
    """Model bundles."""


@bundle.command()
@click.argument("folder", type=click.Path(path_type=Path), default=DEFAULT_BUNDLE)
def verify(folder: Path) -> None:
    """Check that a bundle is whole and unaltered."""
    manifest = verify_bundle(folder)
    click.echo(f"{manifest.model}: {len(manifest.files)} files, {sum(manifest.sizes.values()):,} bytes, all as written")


@bundle.command()
@click.argument("folder", type=click.Path(path_type=Path), default=DEFAULT_BUNDLE)
def info(folder: Path) -> None:
    """Say what a bundle is, what it was trained on, what was measured, and how it runs on this machine."""
    manifest = read_manifest(folder)
    click.echo(f"{manifest.model}\n")
    for name, value in manifest.versions.items():
        click.echo(f"{name:12} {value}")
    for name, value in manifest.training.items():
        if name != "config":
            click.echo(f"{name:12} {value}")
    click.echo(f"{'runtime':12} {choose_runtime()}")
    click.echo(f"\n{(folder / 'README.md').read_text(encoding='utf-8')}")


@bundle.command("promote")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--current", type=click.Path(path_type=Path), default=DEFAULT_BUNDLE, help="The bundle in use.")
def bundle_promote(folder: Path, current: Path) -> None:
    """Put a bundle in the place of the one in use, which is kept for `rollback`."""
    click.echo(f"{current}: {promote(folder, current).model}; `musannif bundle rollback` goes back")


@bundle.command("rollback")
@click.option("--current", type=click.Path(path_type=Path), default=DEFAULT_BUNDLE, help="The bundle in use.")
def bundle_rollback(current: Path) -> None:
    """Go back to the bundle that was in use before."""
    click.echo(f"{current}: {rollback(current).model}")


@cli.command()
def openapi() -> None:
    """Write the description of the HTTP interface (OpenAPI, JSON)."""
    from service.app import create_app
    from service.settings import Settings

    click.echo(json.dumps(create_app(Settings()).openapi(), ensure_ascii=False, indent=1))


def main() -> None:
    """Run the command line; errors of ours come out as one line, with exit status 2."""
    try:
        cli(standalone_mode=True)
    except MusannifError as error:
        click.echo(f"musannif: {error}".encode("utf-8", "replace").decode(), err=True)
        raise SystemExit(2) from None
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _TRAIN_EXTRA:
            raise
        click.echo(
            f"musannif: {error.name} is not installed; this command needs: pip install 'musannif[train]'",
            err=True,
        )
        raise SystemExit(2) from None
