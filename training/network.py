"""The network that is trained: a Hugging Face BERT encoder and, for every label, its own attention over the tokens.

Label-wise attention after Mullenbach et al. (2018), https://arxiv.org/abs/1802.05695.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.numpy import load_file
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast
from transformers.models.bert.modeling_bert import BertSelfAttention

from models.bundle import MANIFEST, verify_bundle
from nlp.errors import BaseModelError
from nlp.taxonomy import Taxonomy
from training.base import packaged_weights, trim, untrimmed_base
from training.graph import restore_encoder

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
        # Plain attention without dropout trains half as fast again on a processor as fused attention with it.
        encoder.set_attn_implementation("eager")
        for module in encoder.modules():
            if isinstance(module, BertSelfAttention):
                module.dropout.p = 0.0
        self.encoder = encoder
        self.taxonomy = taxonomy
        self.dropout = nn.Dropout(dropout)
        hidden = encoder.config.hidden_size
        self.heads = nn.ModuleDict({level.name: nn.Linear(hidden, len(level.labels)) for level in taxonomy.levels})
        # Queries of zeros look at all tokens alike: training starts from mean pooling.
        self.queries = nn.ParameterDict(
            {level.name: nn.Parameter(torch.zeros(len(level.labels), hidden)) for level in taxonomy.levels}
        )
        for level in taxonomy.levels:
            head = self.head(level.name)
            nn.init.zeros_(head.weight)
            # Labels are rare: start from a probability of about 5%.
            nn.init.constant_(head.bias, -3.0)
        # Embeddings of e5 lie in a narrow cone: the heads see them standardised.
        self.centre = nn.Buffer(torch.zeros(hidden))
        self.scale = nn.Buffer(torch.ones(hidden))

    def head(self, level: str) -> nn.Linear:
        """The linear head of a level."""
        head = self.heads[level]
        assert isinstance(head, nn.Linear)
        return head

    def states(self, token_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The last layer, shape ``(rows, length, hidden)``, of ids of shape ``(rows, length)``."""
        return self.all_states(token_ids, attention_mask)[-1]

    def all_states(self, token_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """The embeddings and every layer, each like :meth:`states`."""
        found: tuple[Tensor, ...] = self.encoder(
            input_ids=token_ids, attention_mask=attention_mask, output_hidden_states=True
        ).hidden_states
        return found

    def forward(self, token_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Logits by level, shape ``(rows, labels)``."""
        return self.classify(self.states(token_ids, attention_mask).float(), attention_mask)

    def classify(self, states: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Logits by level of token states, shape ``(rows, length, hidden)``.

        Each label attends to the tokens by its query and reads what it finds by its row of the head.
        """
        standardised = (states - self.centre) / self.scale
        # One mask a row, as if the pooled vector were dropped out.
        standardised = standardised * self.dropout(torch.ones_like(standardised[:, :1]))
        hidden_tokens = (attention_mask == 0)[..., None]
        logits = {}
        for name in (level.name for level in self.taxonomy.levels):
            scores = standardised @ self.queries[name].T / math.sqrt(standardised.shape[-1])
            attention = scores.masked_fill(hidden_tokens, -torch.inf).softmax(1)
            logits[name] = (attention * (standardised @ self.head(name).weight.T)).sum(1) + self.head(name).bias
        return logits

    def folded_heads(self) -> dict[str, Tensor]:
        """``<level>.weight``, ``.bias`` and ``.query`` of heads that take token states as they come."""
        folded = {}
        for name in (level.name for level in self.taxonomy.levels):
            head = self.head(name)
            weight = head.weight.detach() / self.scale
            folded[f"{name}.weight"] = weight.contiguous()
            folded[f"{name}.bias"] = head.bias.detach() - weight @ self.centre
            folded[f"{name}.query"] = (self.queries[name].detach() / self.scale).contiguous()
        return folded

    def load_heads(self, folded: Mapping[str, Tensor]) -> None:
        """Take heads as :meth:`folded_heads` gives them."""
        for level in self.taxonomy.levels:
            head = self.head(level.name)
            head.weight.data, head.bias.data = folded[f"{level.name}.weight"], folded[f"{level.name}.bias"]
            self.queries[level.name].data = folded[f"{level.name}.query"]


def masked_loss(
    logits: Mapping[str, Tensor],
    truth: Mapping[str, Tensor],
    known: Mapping[str, Tensor],
    weight: Mapping[str, float],
) -> Tensor:
    """Binary cross-entropy summed over the labels of a level, mean over the texts annotated on it, then weighted.

    Args:
        logits: by level, shape ``(rows, labels)``.
        truth: 0 and 1, same shapes.
        known: by level, shape ``(rows,)``: whether the row is annotated.
        weight: of each level.
    """
    total = torch.zeros(())
    for name, values in logits.items():
        losses = nn.functional.binary_cross_entropy_with_logits(values, truth[name], reduction="none").sum(1)
        total = total + weight.get(name, 1.0) * (losses * known[name]).sum() / known[name].sum().clamp(min=1)
    return total


def is_bundle(base: str) -> bool:
    """Whether a base is the folder of a bundle."""
    return (Path(base) / MANIFEST).is_file()


def open_bundle_encoder(folder: Path) -> tuple[BertModel, PreTrainedTokenizerFast]:
    """The encoder of a bundle, its 8-bit weights as floats, and its tokenizer.

    Raises:
        BundleError: the bundle is missing, incomplete or altered.
    """
    verify_bundle(folder)
    settings = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    config = BertConfig(**settings["network"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        model_max_length=config.max_position_embeddings,
        pad_token=settings["pad_token"],
    )
    return restore_encoder(load_file(folder / "encoder.safetensors"), config), tokenizer


def load_base(base: str) -> tuple[BertModel, PreTrainedTokenizerFast]:
    """Open the base encoder and its tokenizer.

    Args:
        base: ``embedded``, a bundle, another folder, or a Hugging Face id (looked for in the local cache first).

    Raises:
        BaseModelError: it cannot be opened, or is no BERT encoder with a fast tokenizer.
    """
    if base == EMBEDDED:
        model, _, vocabulary = untrimmed_base(packaged_weights())
        return trim(model, vocabulary)
    if is_bundle(base):
        return open_bundle_encoder(Path(base))
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
