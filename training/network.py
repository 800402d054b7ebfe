"""The network that is trained: a Hugging Face BERT encoder, mean pooling, and one linear head a level."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, BertModel, PreTrainedTokenizerFast

from nlp.errors import BaseModelError
from nlp.taxonomy import Taxonomy
from training.base import packaged_weights, trim, untrimmed_base

EMBEDDED = "embedded"


class Network(nn.Module):
    """Token ids to probabilities, level by level.

    Args:
        encoder: the base.
        taxonomy: gives the heads and their hierarchy.
        dropout: before the heads.
    """

    def __init__(self, encoder: BertModel, taxonomy: Taxonomy, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.taxonomy = taxonomy
        self.dropout = nn.Dropout(dropout)
        hidden = encoder.config.hidden_size
        self.heads = nn.ModuleDict({level.name: nn.Linear(hidden, len(level.labels)) for level in taxonomy.levels})
        for level in taxonomy.levels:
            head = self.head(level.name)
            nn.init.zeros_(head.weight)
            # Labels are rare: start from a probability of about 5%, and of a quarter under a given parent.
            nn.init.constant_(head.bias, -3.0 if level.parent is None else -1.0)
        # Embeddings of e5 lie in a narrow cone: the heads see them standardised.
        self.centre = nn.Buffer(torch.zeros(hidden))
        self.scale = nn.Buffer(torch.ones(hidden))

    def head(self, level: str) -> nn.Linear:
        """The linear head of a level."""
        head = self.heads[level]
        assert isinstance(head, nn.Linear)
        return head

    def embed(self, token_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Mean of the last layer over real tokens, shape ``(rows, hidden)``, of ids of shape ``(rows, length)``."""
        hidden = self.encoder(input_ids=token_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None].to(hidden.dtype)
        pooled: Tensor = (hidden * mask).sum(1) / mask.sum(1)
        return pooled

    def forward(self, token_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Logits by level, shape ``(rows, labels)``; below the top they are conditional on the parent."""
        return self.classify(self.embed(token_ids, attention_mask).float())

    def classify(self, embeddings: Tensor) -> dict[str, Tensor]:
        """Logits by level of embeddings, shape ``(rows, hidden)``."""
        standardised = self.dropout((embeddings - self.centre) / self.scale)
        return {level.name: self.head(level.name)(standardised) for level in self.taxonomy.levels}

    def folded_heads(self) -> dict[str, Tensor]:
        """``<level>.weight`` and ``<level>.bias`` of heads that take embeddings as they come."""
        folded = {}
        for name in (level.name for level in self.taxonomy.levels):
            head = self.head(name)
            weight = head.weight.detach() / self.scale
            folded[f"{name}.weight"] = weight.contiguous()
            folded[f"{name}.bias"] = head.bias.detach() - weight @ self.centre
        return folded


def log_likelihoods(taxonomy: Taxonomy, logits: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """``log p`` and ``log (1 - p)`` of every label, by level, with the hierarchy multiplied in (no underflow)."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for level in taxonomy.levels:
        yes, no = nn.functional.logsigmoid(logits[level.name]), nn.functional.logsigmoid(-logits[level.name])
        if level.parent is not None:
            index = torch.tensor(level.parent_index)
            yes = yes + found[level.parent][0][:, index]
            no = torch.log1p(-torch.exp(yes.clamp(max=-1e-6)))
        found[level.name] = (yes, no)
    return found


def masked_loss(
    taxonomy: Taxonomy,
    logits: Mapping[str, Tensor],
    truth: Mapping[str, Tensor],
    known: Mapping[str, Tensor],
    weight: Mapping[str, float],
) -> Tensor:
    """Binary cross-entropy summed over the labels of a level, mean over the texts annotated on it, then weighted.

    Args:
        taxonomy: gives the hierarchy.
        logits: by level, shape ``(rows, labels)``.
        truth: 0 and 1, same shapes.
        known: by level, shape ``(rows,)``: whether the row is annotated.
        weight: of each level.
    """
    total = torch.zeros(())
    for name, (yes, no) in log_likelihoods(taxonomy, logits).items():
        losses = -(truth[name] * yes + (1 - truth[name]) * no).sum(1)
        total = total + weight.get(name, 1.0) * (losses * known[name]).sum() / known[name].sum().clamp(min=1)
    return total


def load_base(base: str) -> tuple[BertModel, PreTrainedTokenizerFast]:
    """Open the base encoder and its tokenizer.

    Args:
        base: ``embedded``, a folder, or a Hugging Face id (looked for in the local cache first).

    Raises:
        BaseModelError: it cannot be opened, or is no BERT encoder with a fast tokenizer.
    """
    if base == EMBEDDED:
        model, _, vocabulary = untrimmed_base(packaged_weights())
        return trim(model, vocabulary)
    try:
        model = AutoModel.from_pretrained(base, add_pooling_layer=False)
        tokenizer = AutoTokenizer.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise BaseModelError(
            f"the base {base!r} cannot be opened: {error}",
            expected=f"{EMBEDDED!r}, a folder written by save_pretrained, or a Hugging Face id",
            remedy="give a local folder where no hub can be reached" if not Path(base).is_dir() else "",
        ) from error
    if not isinstance(model, BertModel) or not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise BaseModelError(
            f"the base {base!r} is a {type(model).__name__} with a {type(tokenizer).__name__}",
            expected="a BertModel with a fast tokenizer",
        )
    return model, tokenizer
