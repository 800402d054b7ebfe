"""The tagger: raw text in, calibrated tags out. It composes the stages; the logic is theirs."""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TypeVar

import numpy as np

from models.calibration import Calibration, Logits, Thresholds
from models.encoder import EncodedWindow, Encoder
from models.evidence import LeftOut, choose_evidence, leave_out, probability_drops
from models.heads import AttentionHead, Bools, Floats, join_heads, probabilities, split_columns
from models.lexicon import Lexicon
from models.places import Reading, choose_places, read_sections
from models.pooling import pool_windows, pooled_scores, stack_windows
from models.scheduling import Part, run_in_order
from models.tokenizer import Window
from nlp.errors import MusannifError
from nlp.normalise import Recipe
from nlp.reading import MOST_CHARACTERS, check_text
from nlp.records import Classification, Document, Failure, Tag
from nlp.sections import split_sections
from nlp.sentences import split_sentences
from nlp.taxonomy import Level, Taxonomy

R = TypeVar("R")

# Texts whose tags are remembered within a call, for those that come again.
_RECENT = 1024


@dataclass(frozen=True)
class Options:
    """What a caller asks for.

    Attributes:
        axes: ids of the axes to answer; all of them if empty.
        top_k: at most so many tags a level.
        min_score: no tag below this probability, whatever its threshold.
        all_scores: also give the probability of every label.
        evidence: also give the sentences that carry each tag.
        most_characters: longer texts are refused.
        embedding: also give the embedding of the text.
    """

    axes: tuple[str, ...] = ()
    top_k: int | None = None
    min_score: float = 0.0
    all_scores: bool = False
    evidence: bool = False
    most_characters: int = MOST_CHARACTERS
    embedding: bool = False


@dataclass(frozen=True)
class _Read:
    """What a window says: calibrated logits by level, one row; the rest where it is asked for."""

    logits: Mapping[str, Floats]
    left: LeftOut | None
    reading: Reading | None
    embedding: Floats | None


@dataclass(eq=False)
class _Outcome:
    """Of one text, when it is there."""

    answer: Classification | None = None
    error: MusannifError | None = None


@dataclass(frozen=True)
class Tagger:
    """Tags texts.

    Attributes:
        name: name and version of the model, for every answer.
        taxonomy: the labels.
        recipe: prepares the text as in training.
        encoder: texts to token states, window by window.
        heads: token states to logits, by level.
        lexicon: words to logits.
        calibration: weighs the two.
        thresholds: decisions.
    """

    name: str
    taxonomy: Taxonomy
    recipe: Recipe
    encoder: Encoder
    heads: Mapping[str, AttentionHead]
    lexicon: Lexicon
    calibration: Calibration
    thresholds: Thresholds

    def classify(
        self, documents: Sequence[Document], options: Options | None = None, *, streams: int | None = None
    ) -> list[Classification | Failure]:
        """Tag documents, in order. A document that cannot be tagged gives a failure; the others go on.

        Args:
            documents: in the order of the results.
            options: for all of them.
            streams: windows at a time; as many as the encoder has if not given. One, where several callers tag at the
                same time.

        Raises:
            TaxonomyError: ``options.axes`` names an axis that does not exist.
        """
        return list(self.stream(documents, options, streams=streams))

    def stream(
        self, documents: Iterable[Document | Failure], options: Options | None = None, *, streams: int | None = None
    ) -> Iterator[Classification | Failure]:
        """Tag documents as they come, in order and in bounded memory, however many there are.

        Every text gets the tags that it gets alone. One that is seen again soon is not tagged again.

        Args:
            documents: and failures, which stay in their places.
            options: for all of them.
            streams: windows at a time; as many as the encoder has if not given.

        Raises:
            TaxonomyError: ``options.axes`` names an axis that does not exist.
        """
        options = options or Options()
        levels = [level for axis in options.axes for level in self.taxonomy.axis(axis).levels]
        return self._stream(documents, levels or list(self.taxonomy.levels), options, streams or self.encoder.streams)

    def logits(self, texts: Sequence[str]) -> list[Logits]:
        """Uncalibrated logits of raw texts: for each text a row for each of its windows."""
        return [stack_windows(self.taxonomy, windows) for windows in self._windows_of(texts, self._read)]

    def scores(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Calibrated probabilities of raw texts, shape ``(texts, labels)`` by level."""
        return pooled_scores(self.taxonomy, self.calibration, self.logits(texts))

    @cached_property
    def _head(self) -> AttentionHead:
        return join_heads(self.taxonomy, self.heads)

    def _read(self, window: EncodedWindow, normalised: str) -> Logits:
        """What the two models say of one window, one row."""
        words = normalised[window.span.start : window.span.end]
        return Logits(
            split_columns(self.taxonomy, self._head(window.states)[None]),
            split_columns(self.taxonomy, self.lexicon(words)[None]),
        )

    def _calibrated(self, window: EncodedWindow, normalised: str) -> dict[str, Floats]:
        return self.calibration(self.taxonomy, self._read(window, normalised))

    def _parts(self, normalised: str, read: Callable[[EncodedWindow], R]) -> list[Part[Window, Floats, R]]:
        """One part for each window of a text: encode it, and read what is wanted of it."""

        def finish(window: Window, states: Floats) -> R:
            return read(EncodedWindow(states, window.token_spans, window.span))

        windows = self.encoder.windows(normalised)
        return [Part(len(window.token_ids), window, partial(finish, window)) for window in windows]

    def _windows_of(self, texts: Iterable[str], read: Callable[[EncodedWindow, str], R]) -> list[list[R]]:
        """What is read of each window of each raw text."""

        def parts(text: str) -> list[Part[Window, Floats, R]]:
            return self._parts(text, lambda window: read(window, text))

        tasks = run_in_order(map(parts, map(self.recipe, texts)), self.encoder.states, streams=self.encoder.streams)
        return [[future.result() for future in futures] for futures in tasks]

    def _stream(
        self, documents: Iterable[Document | Failure], levels: list[Level], options: Options, streams: int
    ) -> Iterator[Classification | Failure]:
        asked: deque[tuple[str, _Outcome]] = deque()

        def tasks() -> Iterator[list[Part[Window, Floats, _Read]]]:
            recent: OrderedDict[bytes, _Outcome] = OrderedDict()
            for document in documents:
                outcome, parts = _Outcome(), []
                try:
                    if isinstance(document, Failure):
                        raise document.error
                    check_text(document.text, options.most_characters)
                    key = hashlib.blake2b(document.text.encode(), digest_size=16).digest()
                    if key in recent:
                        outcome = recent[key]
                    else:
                        parts = self._text_parts(document.text, options)
                        recent[key] = outcome
                    recent.move_to_end(key)
                    if len(recent) > _RECENT:
                        recent.popitem(last=False)
                except MusannifError as error:
                    outcome.error = error
                asked.append((document.id, outcome))
                yield parts

        # Results come in the order of the tasks: the first of equal texts is answered before the others.
        for futures in run_in_order(tasks(), self.encoder.states, streams=streams):
            name, outcome = asked.popleft()
            if outcome.answer is None and outcome.error is None:
                try:
                    outcome.answer = self._answer([future.result() for future in futures], levels, options)
                except MusannifError as error:
                    outcome.error = error
            if outcome.answer is None:
                assert outcome.error is not None
                yield Failure(name, outcome.error)
            else:
                yield replace(outcome.answer, id=name)

    def _text_parts(self, text: str, options: Options) -> list[Part[Window, Floats, _Read]]:
        """What must be done to tag a text, one part for each of its windows."""
        sections = split_sections(text)
        aligned = self.recipe.align(text) if options.evidence or sections else None
        normalised = aligned.text if aligned else self.recipe(text)
        sentences = split_sentences(text) if options.evidence else ()

        def read(window: EncodedWindow) -> _Read:
            left = reading = None
            if aligned and options.evidence:
                left = leave_out(self.taxonomy, self._head, self.lexicon, window, aligned, sentences)
            if aligned and sections:
                reading = read_sections(self.taxonomy, self._head, window, aligned, sections)
            return _Read(
                self._calibrated(window, normalised),
                left,
                reading,
                window.embedding if options.embedding else None,
            )

        return self._parts(normalised, read)

    def _answer(self, windows: Sequence[_Read], levels: Sequence[Level], options: Options) -> Classification:
        """The tags of a text from what was read of its windows."""
        logits = [window.logits for window in windows]
        scores = probabilities(self.taxonomy, pool_windows(self.taxonomy, self.calibration, [logits]))
        given = self.thresholds.decide(self.taxonomy, scores)
        tags = _tags(levels, scores, given, options)
        if options.evidence:
            tags = self._with_evidence(tags, logits, [window.left for window in windows if window.left])
        readings = [window.reading for window in windows if window.reading]
        return Classification(
            id="",
            tags=self._with_sections(tags, logits, readings) if readings else tags,
            needs_review=bool(self.thresholds.confidence(self.taxonomy, scores)[0] < self.thresholds.review_confidence)
            or not np.any(scores[levels[0].name]),
            scores={
                level.name: dict(zip(level.ids, map(float, scores[level.name][0]), strict=True)) for level in levels
            }
            if options.all_scores
            else None,
            embedding=self._embedding([window.embedding for window in windows if window.embedding is not None])
            if options.embedding
            else None,
        )

    def _embedding(self, windows: Sequence[Floats]) -> tuple[float, ...]:
        """The mean of the windows' embeddings, of length 1; zeros for a text without any token."""
        mean = np.mean(windows, axis=0) if windows else np.zeros(self.encoder.dimension, np.float32)
        return tuple(map(float, mean / max(float(np.linalg.norm(mean)), 1e-12)))

    def _with_evidence(
        self, tags: Mapping[str, tuple[Tag, ...]], windows: Sequence[Mapping[str, Floats]], left: Sequence[LeftOut]
    ) -> dict[str, tuple[Tag, ...]]:
        """The same tags with the sentences that carry them, each from the window that speaks for it most clearly."""
        without = [self.calibration(self.taxonomy, one.logits) for one in left]

        def carried(level: Level, tag: Tag) -> Tag:
            place = level.index[tag.id]
            best = int(np.argmax([window[level.name][0, place] for window in windows]))
            drops = probability_drops(level, place, best, windows, without)
            return replace(tag, evidence=choose_evidence(left[best].sentences, drops))

        return {name: tuple(carried(self.taxonomy.level(name), tag) for tag in found) for name, found in tags.items()}

    def _with_sections(
        self, tags: Mapping[str, tuple[Tag, ...]], windows: Sequence[Mapping[str, Floats]], readings: Sequence[Reading]
    ) -> dict[str, tuple[Tag, ...]]:
        """The same tags with the sections in which they were found."""

        def located(level: Level, tag: Tag) -> Tag:
            place = level.index[tag.id]
            sections = choose_places(
                readings[0].sections,
                np.array([reading.places[level.name][place] for reading in readings]),
                np.array([window[level.name][0, place] for window in windows], np.float32),
                float(self.thresholds.by_level[level.name][place]),
                tag.score,
            )
            return replace(tag, sections=sections)

        return {name: tuple(located(self.taxonomy.level(name), tag) for tag in found) for name, found in tags.items()}


def _tags(
    levels: Sequence[Level], scores: Mapping[str, Floats], given: Mapping[str, Bools], options: Options
) -> dict[str, tuple[Tag, ...]]:
    """The labels given to one text that the options leave, by level; a child only with its parent."""
    tags: dict[str, tuple[Tag, ...]] = {}
    for level in levels:
        values = scores[level.name][0]
        left = given[level.name][0] & (values >= options.min_score)
        if level.parent is not None:
            parents = {tag.id for tag in tags[level.parent]}
            left &= np.array([label.parent in parents for label in level.labels])
        places = np.flatnonzero(left)
        order = places[np.argsort(-values[places], kind="stable")][: options.top_k]
        tags[level.name] = tuple(Tag(level.ids[place], float(values[place])) for place in order)
    return tags
