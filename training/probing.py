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
from training.loop import collate, has_bfloat16
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
    everything = collate(dataset, windows, range(len(windows)), network.taxonomy, pad)
    optimizer = torch.optim.AdamW(network.heads.parameters(), lr=_RATE, weight_decay=config.probe_decay)
    network.train()
    for step in range(_STEPS):
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
        logits = network.classify(embeddings)
        loss = masked_loss(network.taxonomy, logits, everything.truth, everything.known, config.level_weight)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()


def embed_windows(network: Network, dataset: Dataset, windows: Sequence[Window], *, pad: int) -> torch.Tensor:
    """Embeddings of windows by the encoder as it is, shape ``(windows, hidden)``."""
    device = next(network.parameters()).device
    order = sorted(range(len(windows)), key=lambda row: len(windows[row].token_ids))
    embeddings = torch.zeros(len(windows), network.encoder.config.hidden_size)
    network.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            batch = collate(dataset, windows, rows, network.taxonomy, pad)
            found = network.embed(batch.token_ids.to(device), batch.attention_mask.to(device))
            embeddings[rows] = found.float().cpu()
    return embeddings.clone()
