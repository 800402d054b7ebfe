"""The training loop: a generator of step reports. It never prints, and a run that was cut off goes on."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.tokenizer import Window, WindowTokenizer
from nlp.errors import TrainingError
from nlp.taxonomy import Taxonomy
from training.config import TrainingConfig
from training.distillation import Teacher
from training.network import Network, masked_loss

_CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class StepReport:
    """One step of training.

    Attributes:
        step: counted from 1.
        steps: in the whole run.
        loss: of this step's batch.
        learning_rate: of the heads, after warm-up and decay.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float


@dataclass(frozen=True)
class Batch:
    """Padded windows with the labels of their texts; levels as in :func:`training.corpus.as_dataset`."""

    token_ids: Tensor
    attention_mask: Tensor
    truth: dict[str, Tensor]
    known: dict[str, Tensor]


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch, and ask torch for deterministic kernels."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # No kernel here reads memory that it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products are done in hardware here."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def make_batches(lengths: Sequence[int], batch_tokens: int, generator: random.Random) -> list[list[int]]:
    """Group rows of like length into batches of at most ``batch_tokens`` tokens with padding, in random order."""
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row] + generator.uniform(-8, 8), row))
    batches: list[list[int]] = [[]]
    longest = 0
    for row in order:
        longest = max(longest, lengths[row])
        if batches[-1] and longest * (len(batches[-1]) + 1) > batch_tokens:
            batches.append([])
            longest = lengths[row]
        batches[-1].append(row)
    generator.shuffle(batches)
    return [batch for batch in batches if batch]


@dataclass(frozen=True)
class Example:
    """What one row of a batch shows: a text, or two texts one behind the other.

    Attributes:
        window: their tokens.
        rows: which texts they are; the example has the labels of all of them.
    """

    window: Window
    rows: tuple[int, ...]


def single_examples(windows: Sequence[Window]) -> list[Example]:
    """Every text alone, in order."""
    return [Example(window, (row,)) for row, window in enumerate(windows)]


def make_examples(
    windows: Sequence[Window], cutter: WindowTokenizer, joined: float, generator: random.Random
) -> list[Example]:
    """One epoch: every text once, a share of them in random pairs as far as a window holds both."""
    order = list(range(len(windows)))
    generator.shuffle(order)
    paired = int(joined * len(order)) // 2
    examples = [Example(windows[row], (row,)) for row in order[2 * paired :]]
    for first, second in zip(order[:paired], order[paired : 2 * paired], strict=True):
        window = cutter.joined(windows[first], windows[second])
        if window is None:
            examples += [Example(windows[first], (first,)), Example(windows[second], (second,))]
        else:
            examples.append(Example(window, (first, second)))
    return examples


def collate(dataset: Dataset, examples: Sequence[Example], taxonomy: Taxonomy, pad: int) -> Batch:
    """Pad the windows of some examples and gather their labels; a level counts if all their texts are annotated."""
    longest = max(len(example.window.token_ids) for example in examples)
    token_ids = torch.full((len(examples), longest), pad, dtype=torch.long)
    attention_mask = torch.zeros((len(examples), longest), dtype=torch.long)
    for place, example in enumerate(examples):
        length = len(example.window.token_ids)
        token_ids[place, :length] = torch.from_numpy(example.window.token_ids)
        attention_mask[place, :length] = 1
    records: dict[str, Any] = dataset[[row for example in examples for row in example.rows]]
    starts = np.cumsum([0, *(len(example.rows) for example in examples[:-1])])

    def over_texts(values: list[Any], reduce: np.ufunc) -> Tensor:
        return torch.from_numpy(reduce.reduceat(np.array(values, np.float32), starts))

    names = [level.name for level in taxonomy.levels]
    return Batch(
        token_ids,
        attention_mask,
        {name: over_texts(records[name], np.maximum) for name in names},
        {name: over_texts(records[f"{name}_known"], np.minimum) for name in names},
    )


def parameter_groups(network: Network, config: TrainingConfig) -> list[dict[str, Any]]:
    """Parameters with their learning rates: lower layers slower, heads faster, no decay on norms and biases."""
    depth = network.encoder.config.num_hidden_layers
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        decay = 0.0 if parameter.ndim == 1 else config.weight_decay
        if name.startswith(("heads.", "queries.")):
            rate = config.head_learning_rate
        else:
            layer = int(name.split("layer.")[1].split(".")[0]) + 1 if ".layer." in name else 0
            rate = config.learning_rate * config.layer_decay ** (depth - layer)
        groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": parameters, "lr": rate, "weight_decay": decay} for (rate, decay), parameters in groups.items()]


def rate_factor(step: int, steps: int, warmup: float) -> float:
    """Share of the learning rate at a step counted from 0: linear warm-up, then linear decay to 0."""
    rising = max(1, math.ceil(warmup * steps))
    return min((step + 1) / rising, (steps - step) / max(1, steps - rising))


def train(
    network: Network,
    dataset: Dataset,
    windows: Sequence[Sequence[Window]],
    cutter: WindowTokenizer,
    config: TrainingConfig,
    run: Path,
    *,
    pad: int,
    identity: str,
    commit: str | None = None,
    teacher: Teacher | None = None,
    checkpoint_every: int = 100,
) -> Iterator[StepReport]:
    """Fine-tune a network in place.

    AdamW with linear warm-up and decay, gradient clipping, bfloat16 where the processor has it. Every
    ``checkpoint_every`` steps the whole state is saved in ``run``; a run that finds such a state goes on from it
    and ends with the same weights as one that was never cut off.

    Args:
        network: encoder and heads.
        dataset: labels, see :func:`training.corpus.as_dataset`.
        windows: for each epoch, the window that it shows of each row.
        cutter: made the windows, and joins them.
        config: the run.
        run: folder for the checkpoint.
        pad: id of the padding token.
        identity: of configuration and data; a checkpoint of another identity is not resumed.
        commit: at which the run began; checkpoints keep it, see :func:`checkpoint_commit`.
        teacher: what the network is to become like, if it was cut from another.
        checkpoint_every: steps between checkpoints.

    Yields:
        A report after each step.

    Raises:
        TrainingError: the loss is no longer a number, or the checkpoint is of another run.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bfloat16 = has_bfloat16(device)
    network.to(device).train()
    if teacher:
        teacher.network.to(device).eval()
    groups = parameter_groups(network, config)
    optimizer = torch.optim.AdamW(groups, fused=True)
    rates = [group["lr"] for group in optimizer.param_groups]
    schedule: list[list[Example]] = []
    for epoch, shown in enumerate(windows):
        generator = random.Random(f"{config.seed}:{epoch}")
        examples = make_examples(shown, cutter, config.joined, generator)
        lengths = [len(example.window.token_ids) for example in examples]
        for places in make_batches(lengths, config.batch_tokens, generator):
            schedule.append([examples[place] for place in places])
    done = _resume(run / _CHECKPOINT, identity, network, optimizer)
    for step, chosen in enumerate(schedule[done:], done):
        factor = rate_factor(step, len(schedule), config.warmup)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        batch = collate(dataset, chosen, network.taxonomy, pad)
        token_ids, attention_mask = batch.token_ids.to(device), batch.attention_mask.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            states = network.all_states(token_ids, attention_mask)
            logits = network.classify(states[-1].float(), attention_mask)
            on_cpu = {name: values.float().cpu() for name, values in logits.items()}
            taught = teacher.loss(token_ids, attention_mask, states, on_cpu, config.level_weight) if teacher else None
        loss = masked_loss(on_cpu, batch.truth, batch.known, config.level_weight)
        if taught is not None:
            loss = config.distillation.labels * loss + taught
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss is {loss.item()} at step {step + 1}", remedy="lower the learning rate")
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
        optimizer.step()
        if (step + 1) % checkpoint_every == 0:
            metadata = {"step": str(step + 1), "identity": identity, "commit": commit or ""}
            _save(run / _CHECKPOINT, metadata, network, optimizer)
        yield StepReport(step + 1, len(schedule), float(loss.detach()), config.head_learning_rate * factor)
    network.to("cpu").eval()


def has_checkpoint(run: Path) -> bool:
    """Whether the folder holds the state of a run that was cut off."""
    return (run / _CHECKPOINT).exists()


def checkpoint_commit(run: Path) -> str | None:
    """Commit at which the run began whose state the folder holds; ``None`` if it began outside git."""
    with safe_open(run / _CHECKPOINT, framework="pt") as file:
        commit: str = file.metadata().get("commit", "")
    return commit or None


def _save(path: Path, metadata: dict[str, str], network: Network, optimizer: torch.optim.AdamW) -> None:
    """Write the state whole or not at all."""
    tensors = {f"network.{name}": value.contiguous() for name, value in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    tensors["random"] = torch.get_rng_state()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata=metadata)
    partial.replace(path)


def _resume(path: Path, identity: str, network: Network, optimizer: torch.optim.AdamW) -> int:
    """Load a saved state, if there is one; returns the number of steps it has behind it."""
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    if metadata["identity"] != identity:
        raise TrainingError(
            f"{path} belongs to a run with other settings or data",
            expected="the checkpoint of this run",
            remedy="give another run folder, or delete the checkpoint",
        )
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    network.load_state_dict({name.removeprefix("network."): v for name, v in tensors.items() if name[:3] == "net"})
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    torch.set_rng_state(tensors["random"])
    return int(metadata["step"])
