"""Near-duplicates: comments that say the same in the same words, or lightly edited ones, are one argument.

Candidates come from MinHash signatures in bands (Broder 1997; Leskovec et al., Mining of Massive Datasets, chapter 3)
and are then compared word by word, so that what is called a copy is one. Time grows with the number of comments, not
with its square.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from models.clustering.reading import Words
from nlp.stopwords import stop_words

_BANDS, _ROWS = 32, 3
# Shorter comments are copies only if they are equal: in four words, one changed word changes what is said.
_SHORTEST = 5
# Words in common, in order, of two comments: a fifth of the words of each may be changed, in different places.
_COMMON_LONG, _COMMON_SHORT, _LONG = 0.6, 0.75, 10
# Signatures that agree less than this are not looked at word by word.
_PROMISING = 0.3
_COMPARED = 600


@dataclass(frozen=True)
class Arguments:
    """Which comments say the same.

    Attributes:
        owner: int64, shape ``(comments,)``: number of each comment's argument.
        speaker: int64, shape ``(arguments,)``: the comment that stands for each argument.
        similarity: float, shape ``(comments,)``: words in common with that comment, in ``[0, 1]``.
        exact: bool, shape ``(comments,)``: the same words as that comment.
    """

    owner: NDArray[np.int64]
    speaker: NDArray[np.int64]
    similarity: NDArray[np.float64]
    exact: NDArray[np.bool_]

    @property
    def voices(self) -> NDArray[np.int64]:
        """Comments of each argument, shape ``(arguments,)``."""
        return np.bincount(self.owner, minlength=len(self.speaker))


def common_words(one: Sequence[str], other: Sequence[str]) -> float:
    """Share of words that two comments have in common, in order, in ``[0, 1]``."""
    if one == other:
        return 1.0
    one, other = one[:_COMPARED], other[:_COMPARED]
    total = len(one) + len(other)
    least = _least_common(one, other)
    if 2 * (Counter(one) & Counter(other)).total() < least * total:
        return 0.0
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def find_arguments(words: Sequence[Words], texts: Sequence[str]) -> Arguments:
    """Group comments that say the same.

    Args:
        words: of each comment.
        texts: of each comment; those without words are the same only if their signs are.
    """
    spoken = [one.spoken or ("", text.strip()) for one, text in zip(words, texts, strict=True)]
    first: dict[tuple[str, ...], int] = {}
    exact_owner = np.array([first.setdefault(one, len(first)) for one in spoken], np.int64)
    distinct = list(first)
    weights = np.bincount(exact_owner, minlength=len(distinct))
    groups = _group_edited(distinct, weights)
    first_voice = np.unique(exact_owner, return_index=True)[1]
    speaker = first_voice[[group[0] for group in groups]]
    group_of = np.empty(len(distinct), np.int64)
    similarity = np.ones(len(distinct))
    for number, group in enumerate(groups):
        for place in group:
            group_of[place] = number
            if place != group[0]:
                similarity[place] = common_words(distinct[group[0]], distinct[place])
    is_first = np.zeros(len(distinct), bool)
    is_first[[group[0] for group in groups]] = True
    return Arguments(group_of[exact_owner], speaker, similarity[exact_owner], is_first[exact_owner])


def _least_common(one: Sequence[str], other: Sequence[str]) -> float:
    return _COMMON_LONG if min(len(one), len(other)) >= _LONG else _COMMON_SHORT


def _group_edited(distinct: Sequence[tuple[str, ...]], weights: NDArray[np.int64]) -> list[list[int]]:
    """Groups of distinct texts; the first of each stands for it. Groups come in the order of their first text."""
    links: dict[int, set[int]] = defaultdict(set)
    for one, other in _candidates(distinct):
        if common_words(distinct[one], distinct[other]) >= _least_common(distinct[one], distinct[other]):
            links[one].add(other)
            links[other].add(one)
    taken = np.zeros(len(distinct), bool)
    groups = []
    # The text with most voices behind it and most like it speaks first and takes what is like it; what is only like
    # something like it must be compared with it too, so that no chain of small edits joins two different texts.
    order = sorted(links, key=lambda place: (-weights[place] - sum(weights[list(links[place])]), place))
    for place in order:
        if taken[place]:
            continue
        taken[place] = True
        group, seen, front = [place], {place}, sorted(links[place])
        while front:
            near = front.pop(0)
            if near in seen or taken[near]:
                continue
            seen.add(near)
            if common_words(distinct[place], distinct[near]) >= _least_common(distinct[place], distinct[near]):
                taken[near] = True
                group.append(near)
                front += sorted(links[near] - seen)
        groups.append(group)
    groups += [[place] for place in np.flatnonzero(~taken).tolist()]
    return sorted(groups, key=lambda group: group[0])


def _candidates(distinct: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, int]]:
    """Pairs of texts that may be copies, each once."""
    long = np.array([place for place, one in enumerate(distinct) if len(one) >= _SHORTEST], np.int64)
    if len(long) < 2:
        return
    signatures = _signatures([distinct[place] for place in long])
    count = len(long)
    promising = []
    for band in range(_BANDS):
        part = signatures[:, band * _ROWS : (band + 1) * _ROWS]
        order = np.lexsort((np.arange(count), *part.T))
        ordered = part[order]
        begins = np.r_[True, np.any(ordered[1:] != ordered[:-1], axis=1)]
        start = np.maximum.accumulate(np.where(begins, np.arange(count), 0))
        for before in (start, start + 1, np.arange(count) - 1, np.arange(count) - 2):
            # Each is compared with the first two of its bucket and the two that stand before it.
            real = np.flatnonzero((before >= start) & (before < np.arange(count)))
            one, other = order[before[real]], order[real]
            alike = (signatures[one] == signatures[other]).mean(axis=1) >= _PROMISING
            promising.append(np.minimum(one, other)[alike] * count + np.maximum(one, other)[alike])
    found = np.unique(np.concatenate(promising))
    for one, other in zip(long[found // count].tolist(), long[found % count].tolist(), strict=True):
        yield one, other


def _signatures(texts: Sequence[tuple[str, ...]]) -> NDArray[np.uint32]:
    """MinHash signatures of the sets of words that carry a subject, shape ``(texts, bands * rows)``."""
    factors, shifts = np.random.default_rng(7).integers(1, 1 << 61, (2, _BANDS * _ROWS), dtype=np.uint64)
    hashes: dict[str, int] = {}
    found = np.empty((len(texts), _BANDS * _ROWS), np.uint32)
    for row, text in enumerate(texts):
        telling = set(text) - stop_words()
        for word in telling if len(telling) > _ROWS else set(text):
            if word not in hashes:
                hashes[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest())
        words = np.array([hashes[word] for word in (telling if len(telling) > _ROWS else set(text))], np.uint64)
        # Sums and products wrap around; the upper half of the bits is the hash (Dietzfelbinger 1996).
        found[row] = ((words[:, None] * factors + shifts) >> np.uint64(32)).min(axis=0)
    return found
