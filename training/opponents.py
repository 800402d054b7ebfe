"""What a user would run in our place: the same encoder in floats, in libraries that are at hand."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import BertForSequenceClassification, BertModel, PreTrainedTokenizerFast, pipeline

from models.encoder import OnnxEncoder
from models.tagger import Tagger
from models.tokenizer import WindowTokenizer
from training.graph import export_floats

Run = Callable[[Sequence[str]], object]

_BATCH = 32


def hugging_face_pipeline(model: BertModel, tokenizer: PreTrainedTokenizerFast, labels: int, window: int) -> Run:
    """The text classification pipeline in float32: texts in batches, padded and cut to one window."""
    config = type(model.config)(**{**model.config.to_dict(), "num_labels": labels})
    classifier = BertForSequenceClassification(config).eval()
    classifier.bert.load_state_dict(model.state_dict(), strict=False)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    run = pipeline("text-classification", model=classifier, tokenizer=tokenizer, device=torch.device("cpu"))
    options = {"top_k": None, "function_to_apply": "sigmoid", "truncation": True, "max_length": window}
    return lambda texts: run(list(texts), batch_size=_BATCH, **options)


def sentence_transformer(model: BertModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Run | None:
    """Mean embeddings of sentence-transformers in float32; ``None`` where it is not installed."""
    if importlib.util.find_spec("sentence_transformers") is None:
        return None
    from sentence_transformers import SentenceTransformer

    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # A plain encoder: the library adds the mean over the tokens.
    embedder = SentenceTransformer(str(folder), device="cpu")
    return lambda texts: embedder.encode(list(texts), batch_size=_BATCH, show_progress_bar=False)


def float_tagger(tagger: Tagger, model: BertModel, cutter: WindowTokenizer, folder: Path) -> Tagger:
    """The same tagger with its encoder in float32 on ONNX Runtime: the measure of what 8 bits change."""
    export_floats(model, folder)
    return replace(tagger, name=f"{tagger.name} in float32", encoder=OnnxEncoder(folder / "encoder.onnx", cutter))
