"""Key phrases and titles: class-based TF-IDF over phrases, counted by stems, shown as people wrote them.

A phrase is one to three words that carry a subject, with at most one other word between two of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.clustering.reading import Words
from models.clustering.records import Phrase
from models.clustering.topics import Numbers

Keys = tuple[str, ...]

_MOST_WORDS = 3
_READ = 200
# A longer phrase says more than its words: its weight is raised.
_LENGTH_WEIGHT = (0.0, 1.0, 1.7, 2.1)
_CONSIDERED = 60
# A phrase is said by so large a share of its group, or it names a few of its comments alone.
_LEAST_SHARE = 0.05
# How much a phrase gains by standing in the same comments as those before it.
_TOGETHER = 2.0
_IN_TITLE = 2


@dataclass(frozen=True)
class PhraseCounts:
    """Which phrase stands in which argument.

    Attributes:
        words: of each argument.
        keys: stems of each phrase that stands in at least two arguments, or of every phrase if none does.
        lengths: words of each phrase, shape ``(phrases,)``.
        matrix: shape ``(arguments, phrases)``, ones and zeros.
    """

    words: Sequence[Words]
    keys: Sequence[Keys]
    lengths: Numbers
    matrix: sparse.csr_array


def phrases_in(words: Words) -> Iterator[tuple[Keys, int, int]]:
    """Stems, first and last place of every phrase of a comment."""
    keys, forms = words.keys[:_READ], words.forms[:_READ]
    for start, key in enumerate(keys):
        if not key:
            continue
        found: list[str] = [key]
        yield (key,), start, start
        gap = 0
        for place in range(start + 1, len(keys)):
            if not forms[place]:
                break
            if keys[place]:
                found.append(keys[place])
                gap = 0
                yield tuple(found), start, place
                if len(found) == _MOST_WORDS:
                    break
            else:
                gap += 1
                if gap > 1:
                    break


def count_phrases(words: Sequence[Words]) -> PhraseCounts:
    """Count the phrases of arguments."""
    columns: dict[Keys, int] = {}
    found = [
        sorted(
            {columns.setdefault(keys, len(columns)) for keys, _, _ in phrases_in(one) if len(set(keys)) == len(keys)}
        )
        for one in words
    ]
    sizes = np.array([len(one) for one in found], np.int64)
    flat = np.fromiter((column for one in found for column in one), np.int64, int(sizes.sum()))
    matrix = sparse.csr_array(
        (np.ones(len(flat), np.float32), flat, np.r_[0, np.cumsum(sizes)]), shape=(len(words), len(columns))
    )
    frequent = np.flatnonzero(np.bincount(flat, minlength=len(columns)) >= 2)
    if not len(frequent):
        frequent = np.arange(len(columns))
    names = list(columns)
    # In the order of their names, so that ties come out the same in whatever order the comments are.
    frequent = np.array(sorted(frequent.tolist(), key=names.__getitem__), np.int64)
    keys = [names[column] for column in frequent.tolist()]
    lengths = np.array([len(one) for one in keys], np.int64)
    return PhraseCounts(words, keys, lengths, matrix[:, frequent])


def key_phrases(
    counts: PhraseCounts, groups: Sequence[Numbers], voices: Numbers, wanted: int
) -> list[tuple[Phrase, ...]]:
    """What each group says that its siblings do not, strongest first.

    Args:
        counts: of the phrases.
        groups: arguments of each group; siblings.
        voices: of each argument, shape ``(arguments,)``.
        wanted: phrases a group.
    """
    if not counts.keys or not groups:
        return [() for _ in groups]
    sums = np.stack([np.asarray(counts.matrix[group].sum(axis=0)).ravel() for group in groups])
    everywhere = sums.sum(axis=0)
    # c-TF-IDF (Grootendorst 2022): a group is one document; here a phrase counts once an argument.
    rarity = np.log1p(sums.sum() / len(groups) / np.maximum(everywhere, 1))
    total = sum(len(group) for group in groups)
    found = []
    for group, row in zip(groups, sums, strict=True):
        share = row / max(len(group), 1)
        elsewhere = (everywhere - row) / max(total - len(group), 1)
        # What all siblings say as often does not name this one.
        own = np.clip(1 - elsewhere / np.maximum(share, 1e-9), 0.01, 1)
        weights = share * rarity * own * np.array(_LENGTH_WEIGHT)[counts.lengths]
        weights[row < max(2 if len(group) > 3 else 1, _LEAST_SHARE * len(group))] = 0
        order = np.lexsort((np.arange(len(weights)), -weights))[:_CONSIDERED]
        order = order[weights[order] > 0]
        apart = _unlike([int(column) for column in order], counts.keys, row)
        chosen = _together(apart, weights, counts.matrix[:, apart], wanted)
        holding = counts.matrix[group][:, chosen].toarray() > 0 if chosen else np.zeros((len(group), 0), bool)
        forms = _forms(counts, group[holding.any(axis=1)], chosen)
        top = max((float(weights[column]) for column in chosen), default=1.0)
        said = dict(zip(chosen, (voices[group] @ holding).tolist(), strict=True))
        found.append(
            tuple(Phrase(forms[column], round(float(weights[column]) / top, 4), said[column]) for column in chosen)
        )
    return found


def _unlike(order: Sequence[int], keys: Sequence[Keys], row: NDArray[np.float32]) -> list[int]:
    """The strongest phrases, none inside another, and none of the same words."""
    chosen: list[int] = []
    for column in order:
        own = set(keys[column])
        # A word gives way to a longer phrase that holds it in most of its places.
        if any(own < set(keys[other]) and row[other] >= 0.6 * row[column] for other in order):
            continue
        if all(not own <= set(keys[other]) and not own >= set(keys[other]) for other in chosen):
            chosen.append(column)
    return chosen


def _together(
    columns: Sequence[int], weights: NDArray[np.float32], holding: sparse.csr_array, wanted: int
) -> list[int]:
    """Of phrases, strongest first, so many that are strong and stand in the same comments.

    Args:
        columns: the phrases.
        weights: of all phrases.
        holding: shape ``(arguments, columns)``, ones and zeros.
        wanted: how many.
    """
    if not columns:
        return []
    both = (holding.T @ holding).toarray()
    each = np.diag(both)
    # By the geometric mean, so that a phrase of two comments does not win by standing where a frequent one does.
    shared = both / np.sqrt(each[:, None] * each[None])
    strengths = weights[list(columns)]
    chosen = [0]
    while len(chosen) < min(wanted, len(columns)):
        scores = strengths * (1 + _TOGETHER * shared[chosen].mean(axis=0))
        scores[chosen] = -np.inf
        chosen.append(int(scores.argmax()))
    return [columns[place] for place in chosen]


def _forms(counts: PhraseCounts, holding: Numbers, chosen: Sequence[int]) -> dict[int, str]:
    """The form in which each phrase stands most often; the shorter, then the first one among equals."""
    wanted = {counts.keys[column]: column for column in chosen}
    seen: dict[int, Counter[str]] = {column: Counter() for column in chosen}
    for argument in holding.tolist():
        words = counts.words[argument]
        for keys, start, end in phrases_in(words):
            if keys in wanted:
                seen[wanted[keys]][_shown(words.forms[start : end + 1])] += 1
    return {
        column: min(forms, key=lambda form, forms=forms: (-forms[form], len(form), form))  # type: ignore[misc]
        for column, forms in seen.items()
    }


def _shown(forms: Sequence[str]) -> str:
    """A phrase without the conjunction that grew onto its article."""
    text = " ".join(forms)
    return text[1:] if text.startswith(("وال", "فال", "ولل")) and len(forms[0]) > 4 else text


def title_of(phrases: Sequence[Phrase], quote: str, theme: str = "", above: Sequence[Phrase] = ()) -> str:
    """One readable line.

    Args:
        phrases: of the group, strongest first.
        quote: its medoid, where there is no phrase.
        theme: title of the label that most of its comments carry, if there is one.
        above: phrases of the topic that it is a part of: the two do not have the same title.
    """
    texts = [phrase.text for phrase in phrases]
    if len(texts) > _IN_TITLE and set(texts[:_IN_TITLE]) == {phrase.text for phrase in above[:_IN_TITLE]}:
        del texts[_IN_TITLE - 1]
    said = "، ".join(texts[:_IN_TITLE])
    if not said:
        said = " ".join(quote.split()[:8])
    return f"{theme}: {said}" if theme and said else said or theme
