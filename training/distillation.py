"""Distillation: a network with fewer layers learns to give the states and probabilities of the one it was cut from.

States of intermediate layers after Jiao et al., 2020 (TinyBERT), https://arxiv.org/abs/1909.10351; probabilities after
Hinton et al., 2015, https://arxiv.org/abs/1503.02531.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertModel

from nlp.errors import TrainingError
from training.config import DistillationConfig
from training.network import Network


def kept_layers(depth: int, layers: int) -> tuple[int, ...]:
    """Which of ``depth`` layers, counted from 0, a network of ``layers`` keeps: evenly spaced, the last among them.

    Raises:
        TrainingError: there are not so many.
    """
    if not 1 <= layers <= depth:
        raise TrainingError(f"{layers} layers to keep of {depth}", expected=f"1 to {depth}", remedy="mend 'layers'")
    return tuple((place + 1) * depth // layers - 1 for place in range(layers))


def cut_layers(encoder: BertModel, kept: Sequence[int]) -> BertModel:
    """A copy of an encoder with some of its layers, which learns without dropout."""
    config = copy.deepcopy(encoder.config)
    config.num_hidden_layers = len(kept)
    config.hidden_dropout_prob = 0.0
    student = BertModel(config, add_pooling_layer=False)
    student.embeddings.load_state_dict(encoder.embeddings.state_dict())
    for place, layer in enumerate(kept):
        student.encoder.layer[place].load_state_dict(encoder.encoder.layer[layer].state_dict())
    return student


@dataclass(frozen=True)
class Teacher:
    """The network that is copied.

    Attributes:
        network: it, unchanged by what it teaches.
        kept: the layer, counted from 0, that each layer of the student starts from and should equal.
        weight: of each part of the loss.
    """

    network: Network
    kept: tuple[int, ...]
    weight: DistillationConfig

    def loss(
        self,
        token_ids: Tensor,
        attention_mask: Tensor,
        states: Sequence[Tensor],
        logits: Mapping[str, Tensor],
        level_weight: Mapping[str, float],
    ) -> Tensor:
        """How far a student is from its teacher on one batch, weighted, on the processor.

        Args:
            token_ids: shape ``(rows, length)``.
            attention_mask: of the same shape; 0 where padded.
            states: the student's, layer by layer, the embeddings first, each of shape ``(rows, length, hidden)``.
            logits: the student's, by level, shape ``(rows, labels)``.
            level_weight: of each level in the loss.
        """
        with torch.no_grad():
            taught = self.network.all_states(token_ids, attention_mask)
            answers = self.network.classify(taught[-1].float(), attention_mask)
        seen = attention_mask.bool()
        pairs = [(states[place + 1][seen], taught[layer + 1][seen]) for place, layer in enumerate(self.kept)]
        total = self.weight.states * torch.stack([unexplained(*pair) for pair in pairs]).mean().cpu()
        for name, values in logits.items():
            soft = answers[name].float().cpu().sigmoid()
            losses = nn.functional.binary_cross_entropy_with_logits(values, soft, reduction="none").sum(1)
            total = total + self.weight.probabilities * level_weight.get(name, 1.0) * losses.mean()
        return total


def unexplained(student: Tensor, teacher: Tensor) -> Tensor:
    """The share of the variance of a teacher's states that a student leaves open; both ``(tokens, hidden)``."""
    student, teacher = student.float(), teacher.float()
    return (student - teacher).square().mean() / teacher.var(dim=0).mean()
