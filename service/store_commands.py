"""The commands ``musannif reviews``, ``audit``, ``backup`` and ``restore``: what is done with the database by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from models.bundle import load_bundle_taxonomy
from nlp.errors import AuditError, UnknownFormatError
from service.exporting import EXPORTS
from service.options import database_option, opened_store
from service.outputs import check_outputs, new_file
from service.reviews import export_pieces
from service.settings import Settings
from service.store import back_up
from service.store import restore as restore_backup


@click.group()
def reviews() -> None:
    """Reviewers' decisions."""


@reviews.command("export")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="File to write; standard output if not given.")
@click.option("--format", "form", type=click.Choice(list(EXPORTS)), help="By the suffix of --output if not given.")
@click.option("--bundle", type=click.Path(path_type=Path), help="The bundle whose taxonomy names the labels.")
@database_option
def reviews_export(output: Path | None, form: str | None, bundle: Path | None, database: str | None) -> None:
    """Write the texts with the labels that reviewers settled.

    JSONL is the corpus format, which `musannif train --add` reads; levels that are not settled are left out.
    """
    forms = {export.suffix: name for name, export in EXPORTS.items()}
    suffix = output.suffix.lower() if output else ".jsonl"
    if form is None and suffix not in forms:
        raise UnknownFormatError(
            f"--output {output} has the suffix {suffix or '(none)'}",
            expected=" or ".join(forms),
            remedy="or say the format with --format",
        )
    export = EXPORTS[form or forms[suffix]]
    check_outputs([output] if output else [])
    taxonomy = load_bundle_taxonomy(bundle or Settings().bundle)
    with ExitStack() as stack:
        store = stack.enter_context(opened_store(database))
        stream = stack.enter_context(new_file(output)) if output else sys.stdout.buffer
        for piece in export_pieces(store, taxonomy, export):
            stream.write(piece)


@click.group()
def audit() -> None:
    """The audit log of the service."""


@audit.command("verify")
@click.option("--noted", help="A hash that this command printed before; it must still be in the log.")
@database_option
def audit_verify(noted: str | None, database: str | None) -> None:
    """Walk along the chain of the audit log and name the first entry that was altered, removed or slipped in.

    The hash that it prints, noted elsewhere, proves later that no entry was cut off the end.
    """
    with opened_store(database) as store, store.read() as reader:
        report = reader.verify_audit(noted)
    click.echo(f"{report.entries} entries, all as written; the last has the hash {report.head}")


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@database_option
def backup(target: Path, database: str | None) -> None:
    """Write the whole database to a new file, as it is at one moment; the service may go on meanwhile.

    The file holds all texts and secrets: keep it as the database is kept. It is made also where the audit log was
    altered; the exit status is then 1.
    """
    with opened_store(database) as store, _done_nevertheless(f"{target} is made"):
        report = back_up(store, target)
    click.echo(
        f"{target}: {report.entries} entries in the audit log, all as written; the last has the hash {report.head}"
    )


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--database", help="Path or URL of a new database; the setting of the service if not given.")
def restore(source: Path, database: str | None) -> None:
    """Fill a new database from a backup; SQLite or PostgreSQL, whichever the backup was made of.

    It is filled also where the audit log was altered; the exit status is then 1.
    """
    with opened_store(database, create=True) as store, _done_nevertheless("the database is filled"):
        report = restore_backup(source, store)
    click.echo(f"{report.entries} entries in the audit log, all as written; the last has the hash {report.head}")


@contextmanager
def _done_nevertheless(done: str) -> Iterator[None]:
    try:
        yield
    except AuditError as error:
        click.echo(f"{done}, but its audit log is broken: {error}", err=True)
        raise SystemExit(1) from None
