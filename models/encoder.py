"""Texts to the states of their tokens, window by window, on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.runtime import Runtime, choose_runtime
from models.tokenizer import Window, WindowTokenizer
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
    """What a tagger needs of an encoder.

    Attributes:
        dimension: of the states.
        streams: windows that are best read at the same time.
        runtime: how it runs on this machine, where that was a choice.
    """

    dimension: int
    streams: int
    runtime: Runtime | None = None

    def windows(self, text: str) -> Sequence[Window]:
        """Cut a normalised text into windows."""
        ...

    def states(self, window: Window, *, alone: bool = True) -> NDArray[np.float32]:
        """The states of a window's tokens, shape ``(tokens, dimension)``; called from several threads.

        Args:
            window: of :meth:`windows`.
            alone: no other window is read, so that this one may use all processors. The states are the same.
        """
        ...

    def encode(self, text: str) -> Iterator[EncodedWindow]:
        """Encode a normalised text window by window, so that a long one never lies in memory whole."""
        for window in self.windows(text):
            yield EncodedWindow(self.states(window), window.token_spans, window.span)


class OnnxEncoder(Encoder):
    """A BERT encoder as a graph of 8-bit products.

    Every window is a run of its own, so that a text gets the same states whatever stands beside it in a batch, and
    nothing is padded. Several windows run at the same time, each on
    one thread; a single one runs on all of them.

    Args:
        graph: the ``.onnx`` file; its weights lie beside it in safetensors.
        tokenizer: cuts texts into windows.
        runtime: threads and instructions; chosen by the processor if not given.

    Raises:
        BundleError: the runtime cannot open the graph.
    """

    def __init__(self, graph: Path, tokenizer: WindowTokenizer, runtime: Runtime | None = None) -> None:
        self.runtime: Runtime = runtime or choose_runtime()
        self.streams = self.runtime.threads
        self._tokenizer = tokenizer
        self._alone = _open(graph, self.runtime, self.streams)
        # Opened now: another bundle may lie there later.
        self._beside = _open(graph, self.runtime, 1) if self.streams > 1 else self._alone
        self.dimension = int(self._alone.get_outputs()[0].shape[-1])

    def windows(self, text: str) -> Sequence[Window]:
        """Cut a normalised text into windows."""
        return self._tokenizer.windows(text)

    def states(self, window: Window, *, alone: bool = True) -> NDArray[np.float32]:
        """The states of a window's tokens."""
        session = self._alone if alone else self._beside
        states: NDArray[np.float32] = session.run(None, {"token_ids": window.token_ids[None]})[0][0]
        return states


def _open(graph: Path, runtime: Runtime, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for name, value in runtime.entries.items():
        options.add_session_config_entry(name, value)
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no public base
        raise BundleError(f"{graph} cannot be opened: {error}", expected="a graph of this version") from error
