"""Whether the evidence of a tag carries it: how far the tag falls without its sentences, beside other sentences.

The comprehensiveness of DeYoung et al. (2020), https://arxiv.org/abs/1911.03429, beside the same for random
sentences of equal length. The sentences are cut out of the raw text and the rest is classified anew, so that evidence
is held to what the whole tagger does, not to the sums it was chosen by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.tagger import Options, Tagger
from nlp.records import Classification, Document, Span
from nlp.sentences import split_sentences
from training.bootstrap import RESAMPLES
from training.metrics import rounded

_FEWEST_SENTENCES = 3
# Random orders tried for each draw that is kept.
_TRIES = 8
# A mean fall below this is none: probabilities are reported to four digits.
_LEAST_FALL = 1e-3


@dataclass(frozen=True)
class Faithfulness:
    """What the evidence of one level's tags carries.

    Attributes:
        level: of the taxonomy.
        tags: how many were measured.
        texts: how many texts gave them.
        whole: tags not measured, because their evidence is the whole text.
        without: tags not measured, because they have no evidence.
        by_evidence: mean fall of a tag's probability without its evidence, in ``[-1, 1]``; ``None`` without tags.
        by_others: mean fall without random other sentences of equal length; ``None`` without tags.
        ratio: of the two means, the lower one counted as at least 0.001; ``None`` where neither reaches that.
        interval: 95% bootstrap interval of the ratio over texts; ``None`` where it is undefined.
    """

    level: str
    tags: int
    texts: int
    whole: int
    without: int
    by_evidence: float | None
    by_others: float | None
    ratio: float | None
    interval: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Rounded to four digits, for JSON."""
        item = rounded(self)
        item["interval"] = None if self.interval is None else [round(end, 4) for end in self.interval]
        return item


@dataclass(frozen=True)
class _Cut:
    """One tag, and what remains of its text.

    Attributes:
        text: place of the text.
        level: of the tag.
        column: of the tag in its level.
        score: the tag's probability in the whole text.
        has_evidence: whether the tag came with any.
        without_evidence: the text without the tag's evidence.
        without_others: the text without as much else, once a draw; empty where the tag cannot be measured.
    """

    text: int
    level: str
    column: int
    score: float
    has_evidence: bool
    without_evidence: str
    without_others: tuple[str, ...]


def faithfulness(tagger: Tagger, texts: Sequence[str], seed: int, draws: int = 5) -> tuple[Faithfulness, ...]:
    """Measure the evidence of every tag of the texts that have three sentences or more.

    Args:
        tagger: to be measured.
        texts: raw; shorter ones are left out.
        seed: of the random sentences and the bootstrap.
        draws: random sets of other sentences for a tag, at most; texts with few sentences have fewer.

    Returns:
        One for each level of the taxonomy.

    Raises:
        MusannifError: a text cannot be classified.
    """
    cuts = []
    for place, text in enumerate(texts):
        sentences = split_sentences(text)
        if len(sentences) >= _FEWEST_SENTENCES:
            cuts += _cuts(tagger, place, text, sentences, seed, draws)
    measured = [cut for cut in cuts if cut.without_others]
    remains = list(dict.fromkeys(rest for cut in measured for rest in (cut.without_evidence, *cut.without_others)))
    scores = tagger.scores(remains)
    rows = {rest: row for row, rest in enumerate(remains)}

    def fall(cut: _Cut, rest: str) -> float:
        return cut.score - float(scores[cut.level][rows[rest], cut.column])

    found = []
    for level in (level.name for level in tagger.taxonomy.levels):
        own = [cut for cut in measured if cut.level == level]
        by_evidence = np.array([fall(cut, cut.without_evidence) for cut in own])
        by_others = np.array([np.mean([fall(cut, rest) for rest in cut.without_others]) for cut in own])
        sources = np.array([cut.text for cut in own], np.int64)
        all_tags = [cut for cut in cuts if cut.level == level]
        found.append(
            Faithfulness(
                level=level,
                tags=len(own),
                texts=len(np.unique(sources)),
                whole=sum(cut.has_evidence and not cut.without_others for cut in all_tags),
                without=sum(not cut.has_evidence for cut in all_tags),
                by_evidence=float(by_evidence.mean()) if own else None,
                by_others=float(by_others.mean()) if own else None,
                ratio=fall_ratio(float(by_evidence.mean()), float(by_others.mean())) if own else None,
                interval=_interval(by_evidence, by_others, sources, seed),
            )
        )
    return tuple(found)


def fall_ratio(by_evidence: float, by_others: float) -> float | None:
    """How many times further a tag falls without its evidence; ``None`` where it does not fall either way.

    Where other sentences carry nothing, or speak against the tag, their fall counts as 0.001: the ratio is then at
    least what is said.
    """
    if max(by_evidence, by_others) < _LEAST_FALL:
        return None
    return by_evidence / max(by_others, _LEAST_FALL)


def _cuts(tagger: Tagger, place: int, text: str, sentences: Sequence[Span], seed: int, draws: int) -> list[_Cut]:
    """What remains of one text for each of its tags."""
    result = tagger.classify([Document(str(place), text)], Options(evidence=True))[0]
    if not isinstance(result, Classification):
        raise result.error
    found = []
    for level, tags in result.tags.items():
        for tag in tags:
            evidence = frozenset(one.span for one in tag.evidence or ())
            others = [sentence for sentence in sentences if sentence not in evidence]
            # The same evidence meets the same other sentences, whichever tag it carries.
            random = Random(f"{seed} {sorted((span.start, span.end) for span in evidence)} {text}")
            found.append(
                _Cut(
                    text=place,
                    level=level,
                    column=tagger.taxonomy.level(level).index[tag.id],
                    score=tag.score,
                    has_evidence=bool(evidence),
                    without_evidence=_without(text, evidence),
                    without_others=tuple(
                        _without(text, drawn) for drawn in _draw(others, _length(evidence), random, draws)
                    ),
                )
            )
    return found


def _draw(others: Sequence[Span], length: int, random: Random, draws: int) -> list[frozenset[Span]]:
    """Different sets of sentences, those nearest to a length in characters out of some random ones.

    There are none where there are no other sentences, or where the length is 0.
    """
    if not others or not length:
        return []
    found: dict[frozenset[Span], int] = {}
    for _ in range(draws * _TRIES):
        order = random.sample(others, len(others))
        totals = np.cumsum([span.end - span.start for span in order])
        gaps = np.abs(totals - length)
        count = int(np.argmin(gaps)) + 1
        found.setdefault(frozenset(order[:count]), int(gaps[count - 1]))
    return sorted(found, key=lambda drawn: (found[drawn], sorted((span.start, span.end) for span in drawn)))[:draws]


def _length(spans: frozenset[Span]) -> int:
    return sum(span.end - span.start for span in spans)


def _without(text: str, spans: frozenset[Span]) -> str:
    for span in sorted(spans, key=lambda span: -span.start):
        text = text[: span.start] + text[span.end :]
    return text


def _interval(
    by_evidence: NDArray[np.float64], by_others: NDArray[np.float64], sources: NDArray[np.int64], seed: int
) -> tuple[float, float] | None:
    """95% percentile interval of the ratio, texts drawn again and again; ``None`` if it is ever undefined.

    Tags of one text stand and fall together, so texts are drawn and not tags.
    """
    texts, owners = np.unique(sources, return_inverse=True)
    if not len(texts):
        return None
    sizes = np.bincount(owners)
    sums = np.stack([np.bincount(owners, falls) for falls in (by_evidence, by_others)])
    generator = np.random.default_rng(seed)
    ratios = []
    for _ in range(RESAMPLES):
        times = generator.multinomial(len(texts), np.full(len(texts), 1 / len(texts)))
        ratio = fall_ratio(*map(float, sums @ times / (sizes @ times)))
        if ratio is None:
            return None
        ratios.append(ratio)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)
