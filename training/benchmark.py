"""Speed of a bundle beside what a user would run in its place, measured in turns. Run with ``make bench``.

Figures are ratios: the machine's own speed cancels out. They are written to ``docs/benchmark.json`` with a plot, and
each run leaves a line in a history, so that a regression is seen.
"""

from __future__ import annotations

import json
import platform
import random
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
from transformers import BertConfig

from models.bundle import DEFAULT_BUNDLE, load_tagger, write_json
from models.processors import instructions
from models.tagger import Tagger
from models.tokenizer import WindowTokenizer
from nlp.records import Classification, Document, LabelledText
from training.corpus import read_splits
from training.memory import measure_many, measure_start
from training.network import open_bundle_encoder
from training.opponents import float_tagger, hugging_face_pipeline, sentence_transformer
from training.peaks import encoder_operations, peak_operations, peak_products
from training.speed_plot import draw_bars
from training.timing import Times, fit_line, in_turns, seconds_of

_OURS, _HUGGING_FACE, _FLOATS = "Musannif", "Hugging Face pipeline, fp32", "ONNX Runtime, fp32"
_COMMENTS = 64
_COMMENT_TOKENS = 40
_WORDS = (20, 50, 100, 200, 500, 1000, 2000, 5000)


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), default=DEFAULT_BUNDLE, help="The bundle to measure.")
@click.option("--teacher", type=click.Path(path_type=Path), help="Bundle whose encoder others run; the same if absent.")
@click.option("--corpus", type=click.Path(path_type=Path), default=Path("data/corpus"), help="Where texts come from.")
@click.option("--texts", "count", type=click.IntRange(8), default=2000, help="Mixed texts of the batch.")
@click.option("--rounds", type=click.IntRange(1), default=7, help="Of each system, in turns.")
@click.option("--comments", type=int, default=0, help="Also so many comments of 40 tokens in one run, for its memory.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("docs"), help="Folder of the figures.")
def main(
    bundle: Path, teacher: Path | None, corpus: Path, count: int, rounds: int, comments: int, output: Path
) -> None:
    """Measure, print, and keep the figures."""
    tagger = load_tagger(bundle)
    pool = read_splits(corpus, tagger.taxonomy)
    texts = _mixed([*pool.test, *pool.validation, *pool.train], count)
    figures: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": tagger.name,
        "machine": {
            "processor": _processor(),
            "instructions": instructions(),
            "python": platform.python_version(),
            "runtime": str(tagger.encoder.runtime),
        },
        "texts": len(texts),
        "rounds": rounds,
    }
    with tempfile.TemporaryDirectory() as folder:
        figures |= _beside_others(tagger, bundle, teacher or bundle, texts, rounds, Path(folder))
    figures["lengths"] = _lengths(tagger, texts, rounds)
    figures["start"] = _start(bundle, rounds)
    if comments:
        figures["many"] = measure_many(bundle, _comments(tagger, [text.text for text in texts]), comments)
    _keep(figures, output)
    click.echo(json.dumps(figures, ensure_ascii=False, indent=1))


def _beside_others(
    tagger: Tagger, bundle: Path, teacher: Path, texts: Sequence[LabelledText], rounds: int, folder: Path
) -> dict[str, Any]:
    """Batch and single comments of all systems, the peak of the machine, and whether the tags are those of floats."""
    settings = json.loads((teacher / "encoder.json").read_text(encoding="utf-8"))
    model, tokenizer = open_bundle_encoder(teacher)
    model.eval()
    labels = sum(len(level.labels) for level in tagger.taxonomy.levels)
    cutter = WindowTokenizer.from_file(
        teacher / "tokenizer.json",
        prefix=settings["prefix"],
        most_tokens=settings["window"],
        overlap=settings["overlap"],
    )
    (folder / "onnx").mkdir()
    floats = float_tagger(load_tagger(teacher), model, cutter, folder / "onnx")
    systems: dict[str, Callable[[Sequence[str]], object]] = {
        _OURS: partial(_classify, tagger),
        _HUGGING_FACE: hugging_face_pipeline(model, tokenizer, labels, settings["window"]),
        _FLOATS: partial(_classify, floats),
    }
    if sentences := sentence_transformer(model, tokenizer, folder / "sentences"):
        systems["sentence-transformers, fp32"] = sentences
    raw = [text.text for text in texts]
    windows = [window for text in raw for window in tagger.encoder.windows(tagger.recipe(text))]
    tokens = sum(len(window.token_ids) for window in windows)
    short = _comments(tagger, raw)
    batch: dict[str, list[float]] = {name: [] for name in systems}
    single: dict[str, list[float]] = {name: [] for name in systems}
    peaks = peak_products()
    best: dict[str, list[float]] = {name: [] for name in peaks}
    for run in systems.values():
        run(raw[:_COMMENTS])
    for _ in range(rounds):
        for name, run in systems.items():
            batch[name].append(seconds_of(partial(run, raw)))
            single[name] += [seconds_of(partial(run, [text])) for text in short]
        for name, seconds in in_turns(peaks, 3):
            best[name].append(seconds)
    config = BertConfig(**json.loads((bundle / "encoder.json").read_text(encoding="utf-8"))["network"])
    operations = sum(encoder_operations(config, len(window.token_ids)) for window in windows)
    medians = {name: statistics.median(seconds) for name, seconds in batch.items()}
    comment = {name: Times(tuple(seconds)) for name, seconds in single.items()}
    rate = operations / medians[_OURS]
    return {
        "tokens": tokens,
        "batch": {
            name: {
                "texts_per_second": Times(tuple(seconds)).rates(len(raw)),
                "tokens_per_second": round(tokens / medians[name]),
                "ratio": round(medians[_HUGGING_FACE] / medians[name], 2),
            }
            for name, seconds in batch.items()
        },
        "one_comment": {
            name: {
                "p50_ms": round(1e3 * times.median, 2),
                "p99_ms": round(1e3 * times.percentile(99), 2),
                "ratio": round(comment[_HUGGING_FACE].median / times.median, 2),
            }
            for name, times in comment.items()
        },
        "peak": {
            name: {
                "operations_per_second": round(peak_operations() / statistics.median(seconds)),
                "share": round(rate * statistics.median(seconds) / peak_operations(), 4),
            }
            for name, seconds in best.items()
        },
        "agreement": _agreement(tagger, floats, raw),
    }


def _classify(tagger: Tagger, texts: Sequence[str]) -> object:
    return tagger.classify([Document(str(place), text) for place, text in enumerate(texts)])


def _mixed(texts: Sequence[LabelledText], count: int) -> list[LabelledText]:
    """So many different texts, comments and case studies as they come."""
    different = list({text.text: text for text in texts}.values())[: 2 * count]
    random.Random(0).shuffle(different)
    return different[:count]


def _comments(tagger: Tagger, texts: Sequence[str]) -> list[str]:
    """The texts that are nearest to a comment in length."""

    def distance(text: str) -> int:
        return abs(sum(len(one.token_ids) for one in tagger.encoder.windows(tagger.recipe(text))) - _COMMENT_TOKENS)

    return sorted(texts, key=distance)[:_COMMENTS]


def _agreement(tagger: Tagger, other: Tagger, texts: Sequence[str]) -> dict[str, float]:
    """How far two taggers give the same tags."""
    documents = [Document(str(place), text) for place, text in enumerate(texts)]
    both = either = equal = decisions = 0
    labels = sum(len(level.labels) for level in tagger.taxonomy.levels)
    for ours, theirs in zip(tagger.stream(documents), other.stream(documents), strict=True):
        first, second = _tags(ours), _tags(theirs)
        both += len(first & second)
        either += len(first | second)
        equal += first == second
        decisions += labels - len(first ^ second)
    return {
        "decisions": round(decisions / (labels * len(texts)), 5),
        "tags": round(both / max(1, either), 4),
        "texts": round(equal / len(texts), 4),
    }


def _tags(result: object) -> frozenset[tuple[str, str]]:
    assert isinstance(result, Classification)
    return frozenset((level, tag.id) for level, tags in result.tags.items() for tag in tags)


def _lengths(tagger: Tagger, texts: Sequence[LabelledText], rounds: int) -> dict[str, Any]:
    """Seconds of one document by its words, and how well a straight line describes them."""
    words = " ".join(text.text for text in texts).split()
    while len(words) < max(_WORDS):
        words += words
    documents = {str(count): partial(_classify, tagger, [" ".join(words[:count])]) for count in _WORDS}
    seconds: dict[str, list[float]] = {name: [] for name in documents}
    for name, one in in_turns(documents, rounds):
        seconds[name].append(one)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    line = fit_line(_WORDS, list(medians.values()))
    return {
        "seconds": {name: round(value, 4) for name, value in medians.items()},
        "ms_per_word": round(1e3 * line.slope, 4),
        "fit": round(line.fit, 5),
    }


def _start(bundle: Path, rounds: int) -> dict[str, float]:
    """From the start of a process to the tags of one short text, and the most memory that it held."""
    found = [measure_start(bundle) for _ in range(rounds)]
    return {
        "seconds": round(statistics.median(seconds for seconds, _ in found), 3),
        "most_mib": round(max(memory for _, memory in found)),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _keep(figures: Mapping[str, Any], folder: Path) -> None:
    """Write the figures, the plot, and one line of history."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "benchmark.json", figures)
    rates = {name: one["texts_per_second"] for name, one in figures["batch"].items()}
    bars = {name: (rate["median"], rate["slowest"], rate["fastest"]) for name, rate in rates.items()}
    plot = draw_bars(f"{figures['texts']} mixed texts, {figures['machine']['processor']}", "texts/s", bars)
    (folder / "benchmark.svg").write_text(plot, encoding="utf-8")
    line = {
        "at": figures["at"],
        "model": figures["model"],
        "instructions": figures["machine"]["instructions"],
        "batch_ratio": figures["batch"][_OURS]["ratio"],
        "comment_ratio": figures["one_comment"][_OURS]["ratio"],
        "texts_per_second": rates[_OURS]["median"],
        "p50_ms": figures["one_comment"][_OURS]["p50_ms"],
        "int8_share": figures["peak"].get("int8", {}).get("share"),
        "agreement": figures["agreement"]["decisions"],
        "start_seconds": figures["start"]["seconds"],
        "start_mib": figures["start"]["most_mib"],
    }
    with (folder / "benchmark-history.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
