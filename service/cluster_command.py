"""The command ``musannif cluster``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table

from models.bundle import DEFAULT_BUNDLE, load_tagger
from models.clustering.checking import check_presets
from models.clustering.options import ClusterOptions
from models.clustering.plain import from_plain
from models.clustering.records import Clustering, Preset
from models.tagger import Options
from nlp.errors import ClusteringError, ReadingError, UnknownFormatError
from nlp.masking import mask
from nlp.reading import Columns, read_table
from nlp.records import Document, Failure
from service.clock import utc_now
from service.clustering_exports import CLUSTERING_EXPORTS
from service.consultation import STEPS, Told, check_documents, comparisons, hear, report, titled
from service.consultation import cluster as cluster_comments
from service.languages import Language
from service.outputs import check_outputs, new_file

# Faults that are shown one by one, and topics that the summary shows.
_FAULTS = 20
_TOPICS = 40


@click.command("cluster")
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option("--text-column", help="Column or key that holds the text; common names are found by themselves.")
@click.option("--id-column", help="Column or key that holds the id; 'id' if there is one.")
@click.option("--attributes", help="Columns that tell groups apart (region, age), separated by commas.")
@click.option("--topics", type=click.IntRange(1, 200), help="Topics of the first level; found if not given.")
@click.option("--presets", type=click.Path(path_type=Path), help="Given topics: a YAML or JSON list, see the README.")
@click.option(
    "--output",
    "-o",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File to write: .json has everything, .csv a row a comment, .xlsx sheets of topics, comments, campaigns, "
    "minority views and notes. May be given several times.",
)
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path),
    help="Report to write: one HTML file that needs no network; "
    "tree, quotes, map, comparison of groups, in Arabic and English.",
)
@click.option("--title", default="", help="Title of the consultation, for the report; the file's name if not given.")
@click.option(
    "--language", type=click.Choice(["ar", "en"]), default="ar", help="Language in which the report opens (ar)."
)
@click.option("--mask/--no-mask", "masking", default=True, help="Mask personal data; --no-mask is for use in house.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Of everything random: the same gives the same tree."
)
@click.option("--bundle", type=click.Path(path_type=Path), default=DEFAULT_BUNDLE, help="Another model bundle.")
def cluster(
    source: Path,
    text_column: str | None,
    id_column: str | None,
    attributes: str | None,
    topics: int | None,
    presets: Path | None,
    outputs: tuple[Path, ...],
    page: Path | None,
    title: str,
    language: Language,
    masking: bool,
    seed: int,
    bundle: Path,
) -> None:
    """Group the comments of a consultation: JSONL, CSV, TSV or XLSX, one comment a row.

    Topics and sub-topics, campaigns of copied comments, and small groups that say something of their own; a summary
    goes to standard output, and the steps to standard error. Every comment has a place. Rows that cannot be read are
    reported and the others are grouped; the exit status is then 1. It is 2 where nothing could be done.

    musannif cluster comments.csv --attributes region,age --report report.html --output comments.xlsx
    """
    forms = [_form_of(output) for output in outputs]
    check_outputs([*outputs, *([page] if page else [])], [source])
    names = tuple(name.strip() for name in (attributes or "").split(",") if name.strip())
    documents, faults = _read(source, Columns(text_column, id_column, names, empty=True), masking=masking)
    check_documents(documents)
    tagger = load_tagger(bundle)
    given = _presets(presets) if presets else ()
    check_presets(given, tagger.taxonomy)
    options = ClusterOptions(topics=topics, presets=given, seed=seed, model=tagger.name)
    with _shown_progress() as progress:
        voices = hear(documents, masking=masking, progress=progress)
        tree, understood = cluster_comments(
            voices,
            lambda some: tagger.classify(some, Options(embedding=True)),
            options,
            tagger.taxonomy,
            progress,
        )
    title = title or (titled(source.name) if masking else source.stem)
    told = Told(tree, voices.texts, title, voices.masked, voices.flags)
    for form, output in zip(forms, outputs, strict=True):
        _write(output, CLUSTERING_EXPORTS[form].write(told))
    if page:
        table = next((output.name for output in outputs if output.suffix.lower() in (".xlsx", ".csv")), "")
        _write(page, [report(told, utc_now().date(), language, table=table).encode("utf-8", "replace")])
    _summarise(told)
    for path in (*outputs, *([page] if page else [])):
        click.echo(f"written: {path}", err=True)
    for comment_id in understood.failed:
        click.echo(_printable(f"{comment_id}: the model failed on this comment; it is among the rest"), err=True)
    if faults or understood.failed:
        raise SystemExit(1)


def _form_of(output: Path) -> str:
    form = output.suffix.lower().removeprefix(".")
    if form not in CLUSTERING_EXPORTS:
        raise UnknownFormatError(
            f"--output {output} has the suffix {output.suffix or '(none)'}",
            expected=" or ".join(f".{form}" for form in CLUSTERING_EXPORTS),
        )
    return form


def _read(source: Path, columns: Columns, *, masking: bool) -> tuple[list[Document], int]:
    """The rows that can be read, and how many cannot; these are told."""
    documents: list[Document] = []
    faults: list[Failure] = []
    for item in read_table(source, columns):
        if isinstance(item, Document):
            documents.append(item)
        else:
            faults.append(item)
    if faults and not documents:
        raise faults[0].error
    for fault in faults[:_FAULTS]:
        said = f"{fault.id}: {fault.error}"
        click.echo(_printable(mask(said).text if masking else said), err=True)
    if faults:
        click.echo(f"{len(faults)} of {len(faults) + len(documents)} rows cannot be read, and are left out", err=True)
    return documents, len(faults)


def _presets(path: Path) -> tuple[Preset, ...]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReadingError(f"{path}: {error.strerror}", expected="a file that can be read") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ReadingError(f"{path} is neither YAML nor JSON: {error}", expected="a list of given topics") from error
    if not isinstance(found, list):
        raise ClusteringError(
            f"{path} holds {type(found).__name__}", expected="a list of topics with id, title, labels and words"
        )
    return tuple(from_plain(Preset, one) for one in found)


@contextmanager
def _shown_progress() -> Iterator[Any]:
    """Names each step on standard error as it begins; how far a long one is, on a terminal alone."""
    console = Console(stderr=True)
    begun: list[str] = []

    def progress(step: str, share: float) -> None:
        if step not in begun:
            begun.append(step)
            place = STEPS.index(step) + 1 if step in STEPS else len(begun)
            click.echo(f"[{place}/{len(STEPS)}] {step}", err=True)
        elif console.is_terminal:
            console.print(f"      {share:4.0%}", end="\r", highlight=False)

    yield progress


def _write(path: Path, pieces: Iterator[bytes] | Sequence[bytes]) -> None:
    with new_file(path) as file:
        for piece in pieces:
            file.write(piece)


def _summarise(told: Told) -> None:
    tree = told.clustering
    console = Console(width=None if Console().is_terminal else 120, highlight=False, markup=False)
    console.print(_topics(told.title, tree))
    copied = sum(one.size.voices for one in tree.campaigns)
    console.print(f"{tree.size.voices:,} voices, {tree.size.arguments:,} arguments, {len(tree.topics):,} topics")
    console.print(f"other: {tree.other.share:.1%} of the voices ({tree.wordless:,} without words)")
    console.print(f"campaigns: {len(tree.campaigns):,}, with {copied:,} voices")
    console.print(f"minority views: {len(tree.minorities):,}")
    for one in tree.minorities:
        console.print(_printable(f"  {one.id}: {one.title} ({one.size.voices} voices)"))
    compared, refused = comparisons(tree)
    for comparison in compared:
        shown = ", ".join(
            f"{group.group or '(not known)'} {group.size.voices:,}" + (" (too few)" if group.too_small else "")
            for group in comparison.groups
        )
        console.print(_printable(f"{comparison.attribute}: {shown}"))
    for reason in refused:
        console.print(_printable(f"not compared: {reason}"))
    if told.masked is None:
        console.print("personal data: not masked")
    else:
        found = ", ".join(f"{kind} {count:,}" for kind, count in sorted(told.masked.items()))
        console.print(f"personal data masked: {found or 'none found'}")
    for kind in sorted({kind for kinds in told.flags.values() for kind in kinds}):
        console.print(f"flagged as {kind}: {sum(kind in kinds for kinds in told.flags.values()):,} comments")
    for note in tree.notes:
        console.print(_printable(f"note: {note.en}" if not note.about else f"note on {note.about}: {note.en}"))


def _topics(title: str, tree: Clustering) -> Table:
    table = Table(title=_printable(title))
    for name in ("id", "topic", "voices", "arguments", "share", "sub-topics", "stability"):
        table.add_column(name, overflow="fold", justify="left" if name in ("id", "topic") else "right")
    for topic in (*tree.topics[:_TOPICS], tree.other):
        score = topic.stability.score
        table.add_row(
            topic.id,
            _printable(topic.title),
            f"{topic.size.voices:,}",
            f"{topic.size.arguments:,}",
            f"{topic.share:.1%}",
            str(len(topic.subtopics)),
            "" if score is None else f"{score:.2f}{' (low)' if topic.stability.low else ''}",
        )
    return table


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
