"""A training run: a folder that holds what was trained, on what, and with which settings.

run.json             configuration, provenance
checkpoint.safetensors  the state to resume from, while it lasts
network/             the trained encoder and its tokenizer, as from_pretrained opens them
heads.safetensors
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModel, BertModel, PreTrainedTokenizerFast

from models.bundle import read_manifest, write_json
from models.tokenizer import Window, WindowTokenizer
from nlp.errors import TrainingError
from nlp.normalise import find_recipe
from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy, load_taxonomy
from training.augmentation import epoch_windows
from training.config import TrainingConfig
from training.corpus import Splits, as_dataset, data_hash, read_splits, read_texts, sample_groups
from training.distillation import Teacher, cut_layers, kept_layers
from training.duplicates import near_duplicates
from training.loop import StepReport, checkpoint_commit, has_checkpoint, seed_everything, train
from training.network import Network, is_bundle, load_base
from training.probing import fit_heads


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where it lies.
        config: its settings.
        provenance: base, seed, data hash, git commit at which it began, numbers of texts; processor, threads and
            seconds of the last stretch of training.
        corpus: path of the corpus, to read the held-out parts again.
        taxonomy: path of the taxonomy.
    """

    folder: Path
    config: TrainingConfig
    provenance: dict[str, Any]
    corpus: Path
    taxonomy: Path

    def splits(self, taxonomy: Taxonomy) -> Splits:
        """The split that the run was trained on.

        Raises:
            TrainingError: the corpus is no longer the one of the run.
        """
        splits = read_splits(self.corpus, taxonomy)
        self._check_unchanged(splits.texts, "data_sha256", f"the corpus {self.corpus} has")
        return splits

    def added(self, taxonomy: Taxonomy) -> tuple[LabelledText, ...]:
        """The texts that the run learned from besides its corpus.

        Raises:
            TrainingError: they are no longer those of the run.
        """
        added = read_added(self.config, taxonomy)
        if self.config.added:
            self._check_unchanged(added, "added_sha256", f"what was added ({', '.join(self.config.added)}) has")
        return added

    def _check_unchanged(self, texts: Sequence[LabelledText], name: str, found: str) -> None:
        if (sha256 := data_hash(texts)) != (expected := self.provenance[name]):
            raise TrainingError(
                f"{found} hash {sha256[:12]}…",
                expected=f"{expected[:12]}…, that of the run",
                remedy="train again on the texts as they are now",
            )


def train_run(config: TrainingConfig, corpus: Path, taxonomy_path: Path, folder: Path) -> Iterator[StepReport]:
    """Train on the training part of a corpus and keep the result in a run folder.

    Yields:
        A report after each step. The run is complete when the iterator ends.
    """
    taxonomy = load_taxonomy(taxonomy_path)
    # The bundle is built of the same files, wherever that is done.
    config = config.model_copy(update={"added": tuple(str(Path(file).resolve()) for file in config.added)})
    parts = read_splits(corpus, taxonomy)
    replayed = sample_groups(parts.train, config.share)
    added = read_added(config, taxonomy)
    check_added(added, (*parts.validation, *parts.test))
    chosen = (*replayed, *added)
    if not chosen or not parts.validation:
        raise TrainingError(
            f"{len(chosen)} texts to train and {len(parts.validation)} to validate on",
            expected="some of each",
            remedy="give a larger corpus",
        )
    provenance = {
        "base": name_base(config.base),
        "seed": config.seed,
        "data_sha256": data_hash(parts.texts),
        "added_sha256": data_hash(added) if config.added else None,
        "texts": {
            "train": len(chosen),
            "added": len(added),
            "validation": len(parts.validation),
            "test": len(parts.test),
        },
    }
    identity = hashlib.sha256(f"{config.model_dump_json()}{provenance}".encode()).hexdigest()
    # A run goes on at whatever commit its files have come to, and keeps the one at which it began.
    commit = checkpoint_commit(folder) if has_checkpoint(folder) else git_commit(corpus)
    provenance["git_commit"] = commit
    seed_everything(config.seed)
    encoder, tokenizer = load_base(config.base)
    network = Network(encoder, taxonomy, config.dropout)
    teacher = None
    dataset = as_dataset(chosen, taxonomy, [1.0] * len(replayed) + [config.added_weight] * len(added))
    cutter = window_tokenizer(tokenizer, config)
    windows = first_windows(chosen, cutter, config)
    if is_bundle(config.base):
        heads = load_file(Path(config.base) / "heads.safetensors")
        network.load_heads(heads)
        if config.layers:
            kept = kept_layers(encoder.config.num_hidden_layers, config.layers)
            teacher = Teacher(network, kept, config.distillation)
            network = Network(cut_layers(encoder, kept), taxonomy, config.dropout)
            network.load_heads({name: values.clone() for name, values in heads.items()})
    elif config.layers:
        raise TrainingError(
            f"the base {config.base!r} has no heads to learn from",
            expected="a bundle as base of a network with fewer layers",
            remedy="train and build the teacher first, and give its bundle as 'base'",
        )
    elif not has_checkpoint(folder):
        fit_heads(network, dataset, windows, config, pad=tokenizer.pad_token_id)
    begun = time.monotonic()
    yield from train(
        network,
        dataset,
        [epoch_windows(chosen, windows, cutter, config, epoch) for epoch in range(config.epochs)],
        cutter,
        config,
        folder,
        pad=tokenizer.pad_token_id,
        identity=identity,
        commit=commit,
        teacher=teacher,
    )
    hardware = {"processor": processor_name(), "threads": torch.get_num_threads()}
    provenance |= {"hardware": hardware, "seconds": round(time.monotonic() - begun)}
    save_run(Run(folder, config, provenance, corpus, taxonomy_path), network, tokenizer)


def read_added(config: TrainingConfig, taxonomy: Taxonomy) -> tuple[LabelledText, ...]:
    """The texts that a run learns from besides the corpus."""
    return tuple(text for file in config.added for text in read_texts(Path(file), taxonomy))


def check_added(added: Sequence[LabelledText], held_out: Sequence[LabelledText]) -> None:
    """Added texts must be new to the held-out parts: by id, by practice group, and by what they say.

    Raises:
        TrainingError: names those that are not.
    """
    ids, groups = {text.id for text in held_out}, {text.group for text in held_out}
    leaked = {text.id for text in added if text.id in ids or text.group in groups}
    if added and held_out:
        pairs = near_duplicates([text.text for text in (*held_out, *added)], start=len(held_out))
        leaked |= {added[pair.second - len(held_out)].id for pair in pairs if pair.first < len(held_out)}
    if leaked:
        raise TrainingError(
            f"{len(leaked)} added texts have the id, the group or nearly the words of held-out texts: "
            + ", ".join(sorted(leaked)),
            expected="texts of their own",
            remedy="leave them out: what a model is measured on cannot be learned",
        )


def name_base(base: str) -> str:
    """What a card says of a base: a bundle by its name, data and commit, anything else as it was given."""
    if not is_bundle(base):
        return base
    manifest = read_manifest(Path(base))
    data, commit = (str(manifest.training.get(key))[:12] for key in ("data_sha256", "git_commit"))
    return f"{manifest.model}, trained on data {data} at commit {commit}"


def window_tokenizer(tokenizer: PreTrainedTokenizerFast, config: TrainingConfig) -> WindowTokenizer:
    """The tokenizer of a base with the windows of a run."""
    return WindowTokenizer(
        Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()),
        prefix=config.prefix,
        most_tokens=min(config.window, tokenizer.model_max_length),
        overlap=config.overlap,
    )


def first_windows(texts: tuple[LabelledText, ...], cutter: WindowTokenizer, config: TrainingConfig) -> list[Window]:
    """The first window of each text, cut and normalised as in serving."""
    recipe = find_recipe(config.recipe)
    windows = [cutter.windows(recipe(text.text))[:1] for text in texts]
    without = [text.id for text, found in zip(texts, windows, strict=True) if not found]
    if without:
        raise TrainingError(f"no token is left of {without[:5]}", expected="texts with letters")
    return [found[0] for found in windows]


def save_run(run: Run, network: Network, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write a finished run into its folder."""
    network.encoder.save_pretrained(run.folder / "network")
    tokenizer.save_pretrained(run.folder / "network")
    save_file(network.folded_heads(), run.folder / "heads.safetensors")
    write_json(
        run.folder / "run.json",
        {
            "config": run.config.model_dump(),
            "provenance": run.provenance,
            "corpus": str(run.corpus.resolve()),
            "taxonomy": str(run.taxonomy.resolve()),
        },
    )


def open_run(folder: Path) -> Run:
    """Open a finished run.

    Raises:
        TrainingError: there is no finished run in the folder.
    """
    try:
        data = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return Run(
            folder=folder,
            config=TrainingConfig(**data["config"]),
            provenance=data["provenance"],
            corpus=Path(data["corpus"]),
            taxonomy=Path(data["taxonomy"]),
        )
    except (FileNotFoundError, json.JSONDecodeError, KeyError) as error:
        raise TrainingError(
            f"{folder} holds no finished run: {error}",
            expected="a run of musannif train",
            remedy="start it again: it resumes",
        ) from error


def load_network(run: Run, taxonomy: Taxonomy) -> Network:
    """The trained network of a run."""
    encoder: BertModel = AutoModel.from_pretrained(run.folder / "network", add_pooling_layer=False)
    network = Network(encoder, taxonomy, run.config.dropout)
    network.load_heads(load_file(run.folder / "heads.safetensors"))
    return network.eval()


def processor_name() -> str:
    """The accelerator in use, or the processor's model as the system names it."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def git_commit(place: Path) -> str | None:
    """Commit that the repository around a path stands at, with ``+changes`` if files differ; ``None`` outside git."""
    folder = place if place.is_dir() else place.parent
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"],  # noqa: S607
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip()
