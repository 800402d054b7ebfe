"""From the comments of a consultation to its clustering: personal data is masked, texts are read, then grouped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np

from models.clustering.comparison import compare
from models.clustering.options import STEPS as GROUPING
from models.clustering.options import ClusterOptions, Progress
from models.clustering.records import Clustering, Comment, Comparison
from models.heads import Floats
from nlp.errors import ClusteringError, EmptyTextError
from nlp.flags import find_flags
from nlp.masking import mask
from nlp.personal_data import KINDS, NUMBERS_AND_ADDRESSES
from nlp.records import Classification, Document, Failure
from nlp.taxonomy import Taxonomy
from service.consultation_report import render_report
from service.languages import Language

# What a caller's progress names, in this order.
STEPS = ("mask", "tag", *GROUPING)

# The shares of all work that lie behind at the end of the first two steps.
_MASKED, _TAGGED = 0.05, 0.5
_CHUNK = 64
# An id of such a kind leads to a person.
_TELLING = frozenset({"e-mail", "telephone", "handle", "IBAN"})

Classify = Callable[[Sequence[Document]], Sequence[Classification | Failure]]


@dataclass(frozen=True)
class Voices:
    """The comments of a consultation, as they may be shown.

    Attributes:
        comments: in order; their ids differ.
        masked: places that were masked, by kind of personal data; ``None`` if nothing was looked for.
        flags: kinds of flag (``insult``, ``spam``) by id of comment; those without any are absent.
    """

    comments: tuple[Comment, ...]
    masked: Mapping[str, int] | None
    flags: Mapping[str, tuple[str, ...]]

    @property
    def texts(self) -> dict[str, str]:
        """Texts by id."""
        return {comment.id: comment.text for comment in self.comments}


@dataclass(frozen=True)
class Understood:
    """What the model made of comments.

    Attributes:
        embeddings: float32, shape ``(comments, dimension)``; zeros where there is nothing to read.
        classifications: of each, without its embedding.
        failed: ids of the comments on which the model failed.
    """

    embeddings: Floats
    classifications: tuple[Classification, ...]
    failed: tuple[str, ...]


def hear(
    documents: Sequence[Document], *, masking: bool = True, progress: Progress | None = None, first: int = 0
) -> Voices:
    """Mask personal data in texts, in attributes and in ids that lead to a person, and flag insults and spam.

    A masked id is the comment's place in the list.

    Args:
        documents: as read, with their attributes; texts may be empty.
        masking: if not, texts stay as they are.
        progress: told how far it is.
        first: place of the first of them in a longer list.

    Raises:
        ClusteringError: there is no comment, or two have the same id.
        EmptyTextError: all texts are empty.
    """
    check_documents(documents)
    taken = {document.id for document in documents}
    counts: Counter[str] = Counter()
    flags: dict[str, tuple[str, ...]] = {}
    known: dict[str, tuple[str, Mapping[str, int], tuple[str, ...]]] = {}
    comments = []
    for place, document in enumerate(documents):
        if progress and place % _CHUNK == 0:
            progress("mask", _MASKED * place / len(documents))
        if document.text not in known:
            kinds = tuple(dict.fromkeys(flag.kind for flag in find_flags(document.text)))
            found = mask(document.text, KINDS if masking else ())
            known[document.text] = found.text, found.counts, kinds
        text, places, kinds = known[document.text]
        counts.update(places)
        attributes = {name: " ".join(value.split()) for name, value in document.attributes.items()}
        comment_id = document.id
        if masking:
            for name, value in attributes.items():
                hidden = mask(value, NUMBERS_AND_ADDRESSES)
                attributes[name] = hidden.text
                counts.update(hidden.counts)
            if telling := mask(comment_id, _TELLING).counts:
                comment_id = f"comment {first + place + 1}"
                while comment_id in taken:
                    comment_id += "*"
                taken.add(comment_id)
                counts.update(telling)
        if kinds:
            flags[comment_id] = kinds
        comments.append(Comment(comment_id, text, {name: value for name, value in attributes.items() if value}))
    return Voices(tuple(comments), dict(counts) if masking else None, flags)


def check_documents(documents: Sequence[Document]) -> None:
    """Refuse what is no consultation.

    Raises:
        ClusteringError: there is no comment, or two have the same id.
        EmptyTextError: all texts are empty.
    """
    if not documents:
        raise ClusteringError("there is no comment", expected="at least one")
    twice = [one for one, count in Counter(document.id for document in documents).items() if count > 1]
    if twice:
        shown = ", ".join(map(repr, twice[:5])) + (" ..." if len(twice) > 5 else "")
        raise ClusteringError(
            f"{len(twice)} ids stand for several comments: {shown}",
            expected="an id of its own for every comment",
            remedy="name another column with --id-column (id_column over HTTP), or leave the ids out",
        )
    if not any(document.text.strip() for document in documents):
        raise EmptyTextError(
            f"all {len(documents)} texts are empty", expected="comments with words", remedy="is it the right column?"
        )


def understand(comments: Sequence[Comment], classify: Classify, progress: Progress | None = None) -> Understood:
    """Have the model read the texts; the same words are read once, however many sent them.

    Args:
        comments: as they may be shown.
        classify: gives tags and embeddings, chunk by chunk.
        progress: told how far it is.
    """
    rows: dict[str, list[int]] = {}
    for row, comment in enumerate(comments):
        if comment.text.strip():
            rows.setdefault(comment.text, []).append(row)
    found = [Classification(comment.id, {}, needs_review=False) for comment in comments]
    embeddings: Floats | None = None
    failed = []
    for places, result in _read(rows, classify, progress):
        if isinstance(result, Failure):
            failed += [comments[place].id for place in places]
            continue
        vector = np.asarray(result.embedding, np.float32)
        if embeddings is None:
            embeddings = np.zeros((len(comments), len(vector)), np.float32)
        embeddings[places] = vector
        for place in places:
            found[place] = replace(result, id=comments[place].id, embedding=None)
    if embeddings is None:
        embeddings = np.zeros((len(comments), 1), np.float32)
    return Understood(embeddings, tuple(found), tuple(failed))


def _read(
    rows: Mapping[str, list[int]], classify: Classify, progress: Progress | None
) -> Iterator[tuple[list[int], Classification | Failure]]:
    texts = list(rows)
    for start in range(0, len(texts), _CHUNK):
        if progress:
            progress("tag", _MASKED + (_TAGGED - _MASKED) * start / len(texts))
        some = texts[start : start + _CHUNK]
        results = classify([Document(str(start + place), text) for place, text in enumerate(some)])
        yield from zip((rows[text] for text in some), results, strict=True)


@dataclass(frozen=True)
class Told:
    """A clustering with what its report and its files tell besides.

    Attributes:
        clustering: what people said.
        texts: by id of comment, as they may be shown.
        title: of the consultation.
        masked: places that were masked, by kind of personal data; ``None`` if nothing was looked for.
        flags: kinds of flag by id of comment.
    """

    clustering: Clustering
    texts: Mapping[str, str]
    title: str = ""
    masked: Mapping[str, int] | None = None
    flags: Mapping[str, Collection[str]] = field(default_factory=dict)


def cluster(
    voices: Voices, classify: Classify, options: ClusterOptions, taxonomy: Taxonomy, progress: Progress
) -> tuple[Clustering, Understood]:
    """Group the comments of a consultation.

    Args:
        voices: its comments.
        classify: gives tags and embeddings.
        options: of the caller.
        taxonomy: of the model.
        progress: told the name of each step and the share of all work that lies behind; what it raises ends the work.

    Returns:
        The tree, and what the model made of the comments; those on which it failed lie among the rest.

    Raises:
        ClusteringError: the comments cannot be grouped as asked, or the model failed on all of them.
    """
    understood = understand(voices.comments, classify, progress)
    if len(understood.failed) == sum(bool(comment.text.strip()) for comment in voices.comments):
        raise ClusteringError(
            "the model failed on all comments", expected="texts that it can read", remedy="see the log"
        )

    def further(step: str, share: float) -> None:
        progress(step, _TAGGED + (1 - _TAGGED) * share)

    # scikit-learn is heavy: a service that groups nothing does without it.
    from models.clustering.clusterer import Clusterer

    tree = Clusterer(options).cluster(
        voices.comments, understood.embeddings, understood.classifications, taxonomy, further
    )
    return tree, understood


def comparisons(clustering: Clustering) -> tuple[list[Comparison], list[str]]:
    """The groups of every attribute side by side, and why some attributes cannot be compared."""
    found, refused = [], []
    for attribute in dict.fromkeys(name for comment in clustering.comments for name in comment.attributes):
        try:
            found.append(compare(clustering, attribute))
        except ClusteringError as error:
            refused.append(str(error))
    return found, refused


def report(told: Told, made_at: date, language: Language, *, table: str = "") -> str:
    """The report as one HTML page.

    Args:
        told: what it tells.
        made_at: its date.
        language: that it opens in.
        table: name of the file that lists every comment.
    """
    return render_report(
        told.clustering,
        told.texts,
        title=told.title,
        made_at=made_at,
        language=language,
        comparisons=comparisons(told.clustering)[0],
        masked=told.masked,
        flags=told.flags,
        full_table=table,
    )
