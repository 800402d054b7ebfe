"""Texts to embeddings, one for each window, on ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.tokenizer import WindowTokenizer
from nlp.errors import BundleError
from nlp.records import Span


@dataclass(frozen=True)
class Encoded:
    """One encoded text.

    Attributes:
        embeddings: float32, shape ``(windows, dimension)``; no rows if the text has no token.
        spans: the characters of the text that each window covers.
    """

    embeddings: NDArray[np.float32]
    spans: tuple[Span, ...]


class Encoder(Protocol):
    """What a tagger needs of an encoder."""

    dimension: int

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Encode normalised texts, in order."""
        ...


def processor_share() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class OnnxEncoder:
    """A BERT encoder with mean pooling, as a graph of 8-bit products.

    Every window runs alone: its activations are quantised by their own range, so that a text gets the same
    embedding whatever stands beside it in a batch, and nothing is padded.

    Args:
        graph: the ``.onnx`` file; its weights lie beside it in safetensors.
        tokenizer: cuts texts into windows.
        threads: threads of one product; all processors of this process if not given.

    Raises:
        BundleError: the runtime cannot open the graph.
    """

    def __init__(self, graph: Path, tokenizer: WindowTokenizer, *, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or processor_share()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no public base
            raise BundleError(f"{graph} cannot be opened: {error}", expected="a graph of this version") from error
        self._tokenizer = tokenizer
        self.dimension = int(self._session.get_outputs()[0].shape[-1])

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Encode normalised texts, in order."""
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> Encoded:
        windows = self._tokenizer.windows(text)
        embeddings = np.zeros((len(windows), self.dimension), np.float32)
        for row, window in enumerate(windows):
            embeddings[row] = self._session.run(None, {"token_ids": window.token_ids[None]})[0][0]
        return Encoded(embeddings, tuple(window.span for window in windows))
