"""Text to token windows, by a ``tokenizer.json`` of Hugging Face ``tokenizers``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from nlp.errors import BundleError
from nlp.records import Span


@dataclass(frozen=True)
class Window:
    """A run of tokens that the encoder takes in one pass.

    Attributes:
        token_ids: int64, shape ``(n,)``, with the special tokens and the encoder's prefix.
        token_spans: int64, shape ``(n, 2)``: start and end of each token's characters; empty for special tokens and
            the prefix.
        span: the characters of the tokenised text that the window covers.
    """

    token_ids: NDArray[np.int64]
    token_spans: NDArray[np.int64]
    span: Span


class WindowTokenizer:
    """Cuts a text of any length into overlapping windows of at most ``most_tokens`` tokens.

    Args:
        tokenizer: its post-processor adds the special tokens.
        prefix: word that the encoder expects before every window (``query:`` for e5), or empty.
        most_tokens: window length, special tokens and prefix included; at most the encoder's position limit.
        overlap: tokens that neighbouring windows share.
    """

    def __init__(self, tokenizer: Tokenizer, *, prefix: str, most_tokens: int, overlap: int) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        framed = tokenizer.encode("x").ids
        bare = tokenizer.encode("x", add_special_tokens=False).ids
        first = framed.index(bare[0])
        self._before = framed[:first] + tokenizer.encode(prefix.rstrip(), add_special_tokens=False).ids
        self._after = framed[first + len(bare) :]
        self._content = most_tokens - len(self._before) - len(self._after)
        if not 0 <= overlap < self._content:
            raise ValueError(f"overlap {overlap} must be below the window's content of {self._content} tokens")
        self._step = self._content - overlap

    @classmethod
    def from_file(cls, path: Path, *, prefix: str, most_tokens: int, overlap: int) -> WindowTokenizer:
        """Open a ``tokenizer.json``.

        Raises:
            BundleError: the file is not a tokenizer.
        """
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise BundleError(f"{path} is not a tokenizer: {error}", expected="a tokenizer.json") from error
        return cls(tokenizer, prefix=prefix, most_tokens=most_tokens, overlap=overlap)

    def joined(self, first: Window, second: Window) -> Window | None:
        """The window of two texts, one after the other; ``None`` if it would be longer than a window may be.

        Its spans are those of each in its own text.
        """
        end, start = len(first.token_ids) - len(self._after), len(self._before)
        if end + len(second.token_ids) - start > self._content + len(self._before) + len(self._after):
            return None
        return Window(
            np.concatenate([first.token_ids[:end], second.token_ids[start:]]),
            np.concatenate([first.token_spans[:end], second.token_spans[start:]]),
            first.span,
        )

    def windows(self, text: str) -> list[Window]:
        """Cut a normalised text into windows; a text without tokens has none."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ids, offsets = encoding.ids, encoding.offsets
        found = []
        for start in range(0, max(1, len(ids)), self._step):
            end = min(start + self._content, len(ids))
            if start < end:
                first, last = offsets[start][0], offsets[end - 1][1]
                token_ids = np.array(self._before + ids[start:end] + self._after, np.int64)
                spans = [(first, first)] * len(self._before) + offsets[start:end] + [(last, last)] * len(self._after)
                found.append(Window(token_ids, np.array(spans, np.int64), Span(first, last)))
            if end == len(ids):
                break
        return found
