"""Clustering beside other ways to group comments, on comments whose topics are known. Run with ``make bench-clusters``.

Parts: ``topics`` (match with known topics, labels), ``campaigns``, ``minorities``, ``times``, and ``known`` for other
comments with known topics (``--real``). A part that is not run keeps the figures of its last run.
"""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from models.bundle import DEFAULT_BUNDLE, load_tagger
from models.processors import processor_share
from training.baselines import frozen_encoder, mean_embeddings
from training.cluster_comparison import (
    compare_known,
    compare_minorities,
    compare_planted_copies,
    compare_topics,
    compare_written_copies,
    margins,
    minorities_as_topics,
    spread,
)
from training.cluster_timing import Timing, measure_apart
from training.consultation import corpus_comments, read_consultation, read_known, texts_of
from training.embedding import Kept, read_with
from training.planting import plant_copies, plant_minorities
from training.time_plot import plot
from training.topic_methods import (
    LEVELS,
    Method,
    bertopic,
    character_vectors,
    installed,
    kmeans,
    kmeans_by_silhouette,
    ours,
    word_vectors,
)

PARTS = ("topics", "campaigns", "minorities", "times")
OURS = "Musannif"
BERTOPIC = "BERTopic, default steps, on multilingual-e5-small"
BERTOPIC_SAME = "BERTopic, default steps, on Musannif's embeddings"
KMEANS = {
    "TF-IDF of words and k-means": word_vectors,
    "TF-IDF of letters, reduced, and k-means": character_vectors,
}
MARGINS = {"mutual_information": "NMI", "adjusted_information": "AMI"}
TOLD, ALONE = "true number given", "number by silhouette"
REMARKS = (
    "BERTopic's default sentence transformer is downloaded at its first use and is left out, so that the comparison "
    "needs no network: the mean embeddings of multilingual-e5-small, from which the project's own encoder was trained, "
    "stand in its place. All its other steps are its defaults. One trained for likeness of sentences may do better.",
    "Mutual information grows with the number of groups; the adjusted one (AMI) does not.",
    "k-means told the true number of groups has an advantage that no moderator can give.",
    "A method that finds one level of groups is measured on both levels by the same groups.",
    "Comments in no group count in two ways: as one group more, and given to the nearest group.",
    "Coherence of words as they stand (NPMI) favours stop words, which stand together everywhere; that of the first "
    "four stems that carry a subject leaves them out and counts as many words of every method. Stop words are those of "
    "the project's own list, by which its labels are made.",
)
_CAMPAIGNS, _CHANGED, _CROWD = 50, 0.2, 3000
_LARGE = 100_000
_PATH = click.Path(path_type=Path)


class Benchmark:
    """The models and texts of one run.

    Args:
        seeds: everything random runs once for each.
        kept: folder of embeddings that outlast the run, if any.
        scratch: folder that does not.
    """

    def __init__(self, seeds: Sequence[int], kept: Path | None, scratch: Path) -> None:
        self.seeds = seeds
        tagger = load_tagger(DEFAULT_BUNDLE)
        self.model = tagger.name
        self.embed = Kept(tagger.name, lambda texts: read_with(tagger, texts)[0], kept)
        self.embed_base = Kept(
            "base", lambda texts: mean_embeddings(frozen_encoder(scratch), tagger.recipe, texts), kept
        )
        self.peers = installed("bertopic", "umap", "hdbscan")
        self.known = read_consultation()

    def topics(self) -> dict[str, Any]:
        """Groups against known topics, and labels."""
        comments = self.known.comments
        texts = texts_of(comments)
        embeddings = self.embed(texts)
        counts = {level: len({getattr(comment, level) for comment in comments}) for level in LEVELS}
        methods: dict[str, Method] = {OURS: ours(embeddings)}
        vectors = {OURS: embeddings}
        if self.peers:
            vectors |= {BERTOPIC: self.embed_base(texts), BERTOPIC_SAME: embeddings}
            methods |= {name: bertopic(vectors[name]) for name in (BERTOPIC, BERTOPIC_SAME)}
        for name, vectorise in KMEANS.items():
            methods |= {
                f"{name}, {TOLD}": kmeans(vectorise, counts),
                f"{name}, {ALONE}": kmeans_by_silhouette(vectorise),
            }
        found: dict[str, Any] = compare_topics(comments, methods, vectors, self.seeds)
        return {
            "comments": len(comments),
            **found,
            "margins": {measure: margins(found["matches"], OURS, measure) for measure in MARGINS},
        }

    def campaigns(self) -> dict[str, Any]:
        """Copies."""
        background = [*texts_of(self.known.comments), *corpus_comments()]
        planted = [compare_planted_copies(plant_copies(background, _CAMPAIGNS, _CHANGED, seed)) for seed in self.seeds]
        return {
            "written": compare_written_copies(self.known.campaigns, self.known.comments),
            "planted": {name: spread([one[name] for one in planted]) for name in planted[0]},
        }

    def minorities(self) -> list[dict[str, Any]]:
        """Small groups among the consultation and comments of the corpus."""
        crowd = "consultation and comments of the corpus, which have hundreds of subjects"
        return self._minorities(crowd, texts_of(self.known.comments), corpus_comments())

    def _minorities(self, crowd: str, comments: Sequence[str], others: Sequence[str]) -> list[dict[str, Any]]:
        every = sorted({*comments, *others, *texts_of(self.known.minorities)})
        row = {text: place for place, text in enumerate(every)}
        embeddings = self.embed(every)
        found = []
        for seed in self.seeds:
            planted = plant_minorities(self.known.minorities, comments, others, _CROWD, seed)
            rows = embeddings[[row[text] for text in texts_of(planted)]]
            found.append({"crowd": crowd, "method": OURS, **compare_minorities(planted, rows, seed)})
            if self.peers:
                as_topics = minorities_as_topics(planted, bertopic(rows), seed)
                found.append({"crowd": crowd, "method": BERTOPIC_SAME, **as_topics})
        return found

    def real(self, file: Path) -> dict[str, Any]:
        """Comments of one's own with known topics."""
        comments = read_known(file)
        embeddings = self.embed(texts_of(comments))
        methods = {OURS: ours(embeddings)}
        if self.peers:
            methods[BERTOPIC_SAME] = bertopic(embeddings)
        rows = compare_known(comments, methods, self.seeds)
        return {
            "comments": len(comments),
            "topics": len({one.topic for one in comments}),
            "matches": rows,
            "minorities": self._minorities("these comments", [], texts_of(comments)),
        }


@click.command()
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only these parts; all if not given.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Runs of everything random.")
@click.option("--real", type=_PATH, help="JSON lines with text and topic, to be measured too.")
@click.option("--size", "sizes", multiple=True, type=int, default=(1000, 3000, 10_000), help="Sizes that are timed.")
@click.option("--large", is_flag=True, help=f"Time {_LARGE:,} comments too.")
@click.option("--keep", type=_PATH, help="Folder that keeps embeddings between runs.")
@click.option("--out", type=_PATH, default=Path("docs"), show_default=True, help="Folder of clusters.json and .svg.")
def main(
    parts: tuple[str, ...],
    seeds: int,
    real: Path | None,
    sizes: tuple[int, ...],
    large: bool,
    keep: Path | None,
    out: Path,
) -> None:
    """Measure clustering beside other methods, and write the figures."""
    parts = parts or PARTS
    file = out / "clusters.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    with tempfile.TemporaryDirectory() as scratch:
        benchmark = Benchmark(range(seeds), keep, Path(scratch))
        if not benchmark.peers:
            click.echo("BERTopic is left out: it is not installed (pip install 'musannif[bench]').")
        found |= {"model": benchmark.model, "seeds": seeds, "machine": _machine(), "remarks": list(REMARKS)}
        for part in parts:
            if part != "times":
                found[part] = getattr(benchmark, part)()
                _write(file, found)
                show(part, found[part])
        if real:
            found["known"] = benchmark.real(real)
            _write(file, found)
            show("known", found["known"])
    if "times" in parts:
        timed = [measure_apart(size, 0) for size in sorted({*sizes, *([_LARGE] if large else [])})]
        found["times"] = [asdict(one) for one in timed]
        _write(file, found)
        file.with_suffix(".svg").write_text(_plot(timed), encoding="utf-8")
        show("times", found["times"])
    for remark in REMARKS:
        click.echo(f"* {remark}")


def _write(file: Path, found: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _machine() -> dict[str, Any]:
    packages = ("numpy", "scikit-learn", "onnxruntime", "bertopic", "umap-learn", "hdbscan")
    modules = ("numpy", "sklearn", "onnxruntime", "bertopic", "umap", "hdbscan")
    return {
        "processors": processor_share(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        **{name: version(name) for name, module in zip(packages, modules, strict=True) if installed(module)},
    }


def _plot(timed: Sequence[Timing]) -> str:
    return plot(
        [one.comments for one in timed],
        {
            "embedding and tags": [one.embedding_seconds for one in timed],
            "clustering": [one.clustering_seconds for one in timed],
        },
        f"Time against size, on {processor_share()} processors",
    )


def show(part: str, figures: Any) -> None:
    """Print one part."""
    click.echo(f"\n{part}")
    for line in _lines(part, figures):
        click.echo("  " + line)


def _lines(part: str, figures: Any) -> list[str]:
    if part in ("topics", "known"):
        lines = [f"{figures['comments']} comments"]
        for row in figures["matches"]:
            lines.append(
                f"{row['method']:52} {row.get('level', ''):9} {row.get('outside', ''):14}"
                f" NMI {_range(row['mutual_information'])}  AMI {_range(row['adjusted_information'])}"
                f"  ARI {_range(row['adjusted_rand'])}"
                f"  groups {row['groups']['mean']:.0f}  in none {row['share_outside']['mean']:.0%}"
            )
        for row in figures.get("labels", ()):
            lines.append(
                f"{row['method']:52} {row['level']:9} labels {row['labels']['mean']:.0f}"
                f"  NPMI {_range(row['coherence'])}  of stems {_range(row['coherence_of_stems'])}"
                f"  distinct words {_range(row['diversity'])}"
                f"  stop words {row['stop_words']['mean']:.0%}  words {row['words']['mean']:.1f}"
            )
        for measure, ahead in figures.get("margins", {}).items():
            lines += [f"{OURS} above {name}: {by:+.3f} {MARGINS[measure]} by sub-topics" for name, by in ahead.items()]
        return lines + (_lines("minorities", figures["minorities"]) if "minorities" in figures else [])
    if part == "campaigns":
        planted, written = figures["planted"], figures["written"]
        return [
            f"written by authors: precision {written['precision']:.3f}  recall {written['recall']:.3f}"
            f"  of {written['true']} pairs",
            f"planted, {_CHANGED:.0%} of words changed: precision {_range(planted['precision'])}"
            f"  recall {_range(planted['recall'])} (equal {_range(planted['recall_exact'])},"
            f" changed {_range(planted['recall_edited'])})  of {planted['true']['mean']:.0f} pairs",
        ]
    if part == "minorities":
        return [
            f"{row['method']} in {row['crowd']}, seed {row['seed']}: {row['surfaced']} of the planted groups"
            + (f", {row['listed']} listed, in none {row['share_outside']:.0%}" if "listed" in row else "")
            + (f", missed {', '.join(row['missed'])}" if row.get("missed") else "")
            for row in figures
        ]
    return [
        f"{row['comments']:7,} comments ({row['arguments']:,} arguments): embedding {row['embedding_seconds']:.1f} s"
        f" (processors {row['embedding_processor_seconds']:.1f} s), clustering {row['clustering_seconds']:.1f} s"
        f" (processors {row['clustering_processor_seconds']:.1f} s), peak {row['peak_mebibytes']:,.0f} MiB"
        for row in figures
    ]


def _range(values: Mapping[str, float]) -> str:
    """The mean, and lowest and highest where they differ."""
    if values["low"] == values["high"]:
        return f"{values['mean']:.3f}"
    return f"{values['mean']:.3f} ({values['low']:.3f} to {values['high']:.3f})"


if __name__ == "__main__":
    main()
