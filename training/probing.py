"""Heads first: a linear probe on the frozen encoder is where fine-tuning starts.

Fine-tuning from random heads first distorts what the encoder knows; starting from a fitted probe keeps it
(Kumar et al., 2022, https://arxiv.org/abs/2202.10054).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from datasets import Dataset

from models.tokenizer import Window
from training.config import TrainingConfig
from training.loop import collate, has_bfloat16, single_examples
from training.network import Network, masked_loss

_STEPS = 300
_RATE = 0.02


def fit_heads(
    network: Network, dataset: Dataset, windows: Sequence[Window], config: TrainingConfig, *, pad: int
) -> None:
    """Standardise the embeddings of the training texts and fit the heads to them, the encoder frozen.

    Args:
        network: encoder and untrained heads; changed in place.
        dataset: labels, see :func:`training.corpus.as_dataset`.
        windows: one for each row.
        config: the run.
        pad: id of the padding token.
    """
    embeddings = embed_windows(network, dataset, windows, pad=pad)
    network.centre.copy_(embeddings.mean(0))
    network.scale.copy_(embeddings.std(0).clamp(min=1e-6))
    everything = collate(dataset, single_examples(windows), network.taxonomy, pad)
    optimizer = torch.optim.AdamW(network.heads.parameters(), lr=_RATE, weight_decay=config.probe_decay)
    network.train()
    for step in range(_STEPS):
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
        logits = network.classify(embeddings[:, None], torch.ones(len(embeddings), 1))
        loss = masked_loss(logits, everything.truth, everything.known, config.level_weight)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()


def embed_windows(network: Network, dataset: Dataset, windows: Sequence[Window], *, pad: int) -> torch.Tensor:
    """Means over the tokens of windows by the encoder as it is, shape ``(windows, hidden)``."""
    device = next(network.parameters()).device
    examples = single_examples(windows)
    order = sorted(range(len(windows)), key=lambda row: len(windows[row].token_ids))
    embeddings = torch.zeros(len(windows), network.encoder.config.hidden_size)
    network.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            batch = collate(dataset, [examples[row] for row in rows], network.taxonomy, pad)
            states = network.states(batch.token_ids.to(device), batch.attention_mask.to(device)).float().cpu()
            mask = batch.attention_mask[..., None]
            embeddings[rows] = (states * mask).sum(1) / mask.sum(1)
    return embeddings.clone()
