"""Speed of the default bundle beside the same encoder in plain PyTorch, measured in turns in one process.

Run with ``make bench``. Figures are ratios: the machine's own speed cancels out.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from models.bundle import DEFAULT_BUNDLE, load_tagger
from nlp.records import Document
from training.config import load_config
from training.corpus import read_splits
from training.network import EMBEDDED, load_base

_ROUNDS = 5
_TEXTS = 48


def main() -> None:
    """Print medians and ratios for a batch and for one comment at a time."""
    tagger = load_tagger(DEFAULT_BUNDLE)
    model, tokenizer = load_base(EMBEDDED)
    model.eval()
    config = load_config()
    texts = [text.text for text in read_splits(Path("data/corpus"), tagger.taxonomy).test][:_TEXTS]

    def ours(some: list[str]) -> None:
        tagger.classify([Document(str(place), text) for place, text in enumerate(some)])

    def theirs(some: list[str]) -> None:
        inputs = tokenizer(
            [f"{config.prefix} {text}" for text in some],
            padding=True,
            truncation=True,
            max_length=config.window,
            return_tensors="pt",
            return_token_type_ids=False,
        )
        with torch.inference_mode():
            model(**inputs)

    shortest = sorted(texts, key=len)[:8]
    for name, batches in (("batch", [texts]), ("one text at a time", [[text] for text in shortest])):
        seconds: dict[str, list[float]] = {"ours": [], "PyTorch float32": []}
        for _ in range(_ROUNDS):
            for system, run in (("ours", ours), ("PyTorch float32", theirs)):
                seconds[system].append(_timed(run, batches))
        medians = {system: statistics.median(values) for system, values in seconds.items()}
        count = sum(map(len, batches))
        for system, values in seconds.items():
            spread = (max(values) - min(values)) / medians[system]
            sys.stdout.write(
                f"{name:20} {system:16} {count / medians[system]:8.1f} texts/s  spread {spread:.0%}  "
                f"{medians['PyTorch float32'] / medians[system]:.2f}x\n"
            )


def _timed(run: Callable[[list[str]], None], batches: list[list[str]]) -> float:
    start = time.perf_counter()
    for batch in batches:
        run(batch)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
