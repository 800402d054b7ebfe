"""Texts to the states of their tokens, window by window, on ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
class EncodedWindow:
    """One encoded window of a text.

    Attributes:
        states: float32, shape ``(tokens, dimension)``: the last layer, special tokens included.
        token_spans: int64, shape ``(tokens, 2)``: start and end of the characters of each token; empty where a token is
            not of the text.
        span: the characters of the text that the window covers.
    """

    states: NDArray[np.float32]
    token_spans: NDArray[np.int64]
    span: Span

    @property
    def embedding(self) -> NDArray[np.float32]:
        """The mean of the states, shape ``(dimension,)``."""
        mean: NDArray[np.float32] = self.states.mean(axis=0)
        return mean


class Encoder(Protocol):
    """What a tagger needs of an encoder."""

    dimension: int

    def encode(self, text: str) -> Iterator[EncodedWindow]:
        """Encode a normalised text window by window, so that a long one never lies in memory whole."""
        ...


def processor_share() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class OnnxEncoder:
    """A BERT encoder as a graph of 8-bit products.

    Every window runs alone: its activations are quantised by their own range, so that a text gets the same
    states whatever stands beside it in a batch, and nothing is padded.

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

    def encode(self, text: str) -> Iterator[EncodedWindow]:
        """Encode a normalised text window by window."""
        for window in self._tokenizer.windows(text):
            states = self._session.run(None, {"token_ids": window.token_ids[None]})[0][0]
            yield EncodedWindow(states, window.token_spans, window.span)
