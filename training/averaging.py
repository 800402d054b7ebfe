"""The mean of the weights of several runs that began from one base: as fast as one model, and nearly as good as all.

"Model soup" after Wortsman et al. (2022), https://arxiv.org/abs/2203.05482.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from nlp.errors import TrainingError
from nlp.taxonomy import load_taxonomy
from training.runs import Run, load_network, save_run

# Runs whose networks may differ in these settings alone can be averaged.
_FREE = {"seed", "share"}
# What is kept of each run that went into the mean.
_PARENT = ("seed", "data_sha256", "git_commit", "texts", "seconds")


def average_runs(runs: Sequence[Run], folder: Path) -> Run:
    """Write the run whose network is the mean of those of other runs.

    Settings, corpus, taxonomy and tokenizer are those of the first run: on its held-out parts the bundle will be
    calibrated and measured.

    Args:
        runs: two or more, of one base and one set of settings; seeds may differ, and so may the state of the corpus.
        folder: of the new run.

    Raises:
        TrainingError: the runs are of different settings, or one has learned what the first holds out.
    """
    if len(runs) < 2:
        raise TrainingError(f"{len(runs)} run to average", expected="two or more")
    first = runs[0]
    taxonomy = load_taxonomy(first.taxonomy)
    splits = first.splits(taxonomy)
    held_out = {text.group for text in (*splits.validation, *splits.test)}
    for run in runs[1:]:
        ours, theirs = (one.config.model_dump(exclude=_FREE) for one in (first, run))
        if differing := sorted(name for name in ours if ours[name] != theirs[name]):
            raise TrainingError(
                f"{run.folder} was trained with another {', '.join(differing)} than {first.folder}",
                expected=f"runs that differ in {' and '.join(sorted(_FREE))} alone",
            )
        if leaked := sorted({text.group for text in run.splits(load_taxonomy(run.taxonomy)).train} & held_out):
            raise TrainingError(
                f"{run.folder} has learned {len(leaked)} groups that {first.folder} holds out, such as {leaked[0]!r}",
                expected="corpora whose held-out parts have stayed held out",
            )
    networks = [load_network(run, taxonomy) for run in runs]
    states = [network.state_dict() for network in networks]
    network = networks[0]
    network.load_state_dict(
        {
            name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
            for name, value in states[0].items()
        }
    )
    provenance = {
        **first.provenance,
        "averaged": [{name: run.provenance[name] for name in _PARENT} for run in runs],
        "seconds": sum(run.provenance["seconds"] for run in runs),
    }
    averaged = Run(folder, first.config, provenance, first.corpus, first.taxonomy)
    save_run(averaged, network, PreTrainedTokenizerFast.from_pretrained(first.folder / "network"))
    return averaged
