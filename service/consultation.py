"""From the comments of a consultation to its clustering: personal data is masked, texts are read, then grouped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np

from models.clustering.comparison import compare
from models.clustering.options import STEPS as GROUPING
from models.clustering.options import ClusterOptions, Progress
from models.clustering.records import Clustering, Comment, Comparison, Note
from models.heads import Floats
from nlp.errors import ClusteringError, EmptyTextError
from nlp.flags import find_flags
from nlp.masking import MaskedText, mask
from nlp.personal_data import KINDS, NUMBERS_AND_ADDRESSES
from nlp.records import Classification, Document, Failure
from nlp.taxonomy import Taxonomy
from service.consultation_report import render_report
from service.consultation_report.listing import filterable
from service.languages import Language

# What a caller's progress names, in this order.
STEPS = ("mask", "tag", *GROUPING)

# The shares of all work that lie behind at the end of the first two steps.
_MASKED, _TAGGED = 0.05, 0.5
_CHUNK = 64
_LONGEST_TITLE = 300
# A value of an attribute that so many share names a place or a body, though it looks like the name of a person.
_GROUP = 10

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
    documents: Sequence[Document],
    *,
    masking: bool = True,
    progress: Progress | None = None,
    among: Sequence[Comment] = (),
) -> Voices:
    """Mask personal data in texts, in attributes and in ids that lead to a person, and flag insults and spam.

    A masked id is the comment's place in the list. What looks like a name stays in an attribute that many share: a
    town may be called after a person.

    Args:
        documents: as read, with their attributes; texts may be empty.
        masking: if not, texts stay as they are.
        progress: told how far it is.
        among: the comments that they join, as they may be shown.

    Raises:
        ClusteringError: there is no comment, or two have the same id.
        EmptyTextError: all texts are empty.
    """
    check_documents(documents)
    shared = Counter((name, value) for document in documents for name, value in _attributes(document).items())
    groups = {pair for pair, count in shared.items() if count >= _GROUP}
    groups.update(pair for comment in among for pair in comment.attributes.items())
    taken = {document.id for document in documents}.union(comment.id for comment in among)
    counts: Counter[str] = Counter()
    flags: dict[str, tuple[str, ...]] = {}
    known: dict[str, tuple[MaskedText, tuple[str, ...]]] = {}
    values: dict[tuple[str, str], MaskedText] = {}
    comments = []
    for place, document in enumerate(documents):
        if progress and place % _CHUNK == 0:
            progress("mask", _MASKED * place / len(documents))
        if document.text not in known:
            kinds = tuple(dict.fromkeys(flag.kind for flag in find_flags(document.text)))
            known[document.text] = mask(document.text, KINDS if masking else ()), kinds
        masked, kinds = known[document.text]
        counts.update(masked.counts)
        attributes, comment_id = _attributes(document), document.id
        if masking:
            for pair in attributes.items():
                if pair not in values:
                    values[pair] = mask(pair[1], NUMBERS_AND_ADDRESSES if pair in groups else KINDS)
                attributes[pair[0]] = values[pair].text
                counts.update(values[pair].counts)
            if telling := mask(comment_id).counts:
                comment_id = f"comment {len(among) + place + 1}"
                while comment_id in taken:
                    comment_id += "*"
                taken.add(comment_id)
                counts.update(telling)
        if kinds:
            flags[comment_id] = kinds
        comments.append(Comment(comment_id, masked.text, attributes))
    return Voices(tuple(comments), dict(counts) if masking else None, flags)


def _attributes(document: Document) -> dict[str, str]:
    """Those that are known, in one line each."""
    found = ((name, " ".join(value.split())) for name, value in document.attributes.items())
    return {name: value for name, value in found if value}


def titled(file: str) -> str:
    """A title for a consultation out of the name of its file, without personal data."""
    name = " ".join("".join(sign if sign.isprintable() else " " for sign in Path(file).stem).split())
    return mask(name).text[:_LONGEST_TITLE]


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
        shown = ", ".join(repr(mask(one).text) for one in twice[:5]) + (" ..." if len(twice) > 5 else "")
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

    Raises:
        ClusteringError: the model failed on all of them.
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
        raise ClusteringError(
            "the model failed on all comments", expected="texts that it can read", remedy="see the log"
        )
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

    def further(step: str, share: float) -> None:
        progress(step, _TAGGED + (1 - _TAGGED) * share)

    # scikit-learn is heavy: a service that groups nothing does without it.
    from models.clustering.clusterer import Clusterer

    tree = Clusterer(options).cluster(
        voices.comments, understood.embeddings, understood.classifications, taxonomy, further
    )
    return noted(tree, understood), understood


def noted(tree: Clustering, understood: Understood) -> Clustering:
    """A tree that says on how many of its comments the model failed."""
    if not understood.failed:
        return tree
    count = len(understood.failed)
    note = Note(
        "not_read",
        "",
        f"تعليقات لم يستطع النموذج قراءتها: {count}. وُضعت بلا فهم لمعناها، فيُستحسن إعادة التجميع.",
        f"Comments that the model failed to read: {count}. They were placed without their meaning: group again.",
    )
    return replace(tree, notes=(*tree.notes, note))


def comparisons(clustering: Clustering) -> tuple[list[Comparison], list[str]]:
    """The groups of every attribute side by side, and why some attributes cannot be compared."""
    found, refused = [], []
    parting = {attribute.name for attribute in filterable(clustering.comments)}
    for attribute in dict.fromkeys(name for comment in clustering.comments for name in comment.attributes):
        if attribute not in parting:
            refused.append(f"{attribute!r} tells persons apart, not groups; put its values into classes first")
            continue
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
