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

# On Windows the environment does not say it; see models/__init__.py.
onnxruntime.disable_telemetry_events()


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
        streams: calls of :meth:`states` that are best made at the same time.
        runtime: how it runs on this machine, where that was a choice.
    """

    dimension: int
    streams: int
    runtime: Runtime | None = None

    def windows(self, text: str) -> Sequence[Window]:
        """Cut a normalised text into windows."""
        ...

    def states(self, windows: Sequence[Window], *, alone: bool = True) -> Sequence[NDArray[np.float32]]:
        """The states of the tokens of each window, shape ``(tokens, dimension)``; called from several threads.

        Args:
            windows: of :meth:`windows`, all of so many tokens. Each gets the states that it gets by itself.
            alone: no other call is made, so that this one may use all processors. The states are the same.
        """
        ...

    def encode(self, text: str) -> Iterator[EncodedWindow]:
        """Encode a normalised text window by window, so that a long one never lies in memory whole."""
        for window in self.windows(text):
            yield EncodedWindow(self.states([window])[0], window.token_spans, window.span)


class OnnxEncoder(Encoder):
    """A BERT encoder as a graph of 8-bit products.

    Only windows of the same length are run together and nothing is padded, so that a text gets the same states whatever
    stands beside it in a batch. Several runs go on at the same time, each on one thread; a single one has all of them.

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

    def states(self, windows: Sequence[Window], *, alone: bool = True) -> Sequence[NDArray[np.float32]]:
        """The states of the tokens of each window."""
        session = self._alone if alone else self._beside
        rows = np.stack([window.token_ids for window in windows])
        # A copy of each, so that none keeps the others in memory.
        return [row.copy() for row in session.run(None, {"token_ids": rows})[0]]


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
