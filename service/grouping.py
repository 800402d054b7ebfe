"""What the faces ask of clustering, in one place."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from models.clustering.options import ClusterOptions, Progress
from models.clustering.records import Clustering, Comment, Comparison, Edit
from models.heads import Floats
from nlp.records import Classification
from nlp.taxonomy import Taxonomy


def group(
    options: ClusterOptions,
    comments: Sequence[Comment],
    embeddings: Floats,
    classifications: Sequence[Classification],
    taxonomy: Taxonomy,
    progress: Progress,
) -> Clustering:
    """See :class:`models.clustering.Clusterer`."""
    from models.clustering import Clusterer  # type: ignore[attr-defined]

    found: Clustering = Clusterer(options).cluster(comments, embeddings, classifications, taxonomy, progress)
    return found


def join(
    clustering: Clustering,
    comments: Sequence[Comment],
    embeddings: Floats,
    classifications: Sequence[Classification],
    taxonomy: Taxonomy,
) -> Clustering:
    """See :func:`models.clustering.place`."""
    from models.clustering import place  # type: ignore[attr-defined]

    found: Clustering = place(clustering, comments, embeddings, classifications, taxonomy)
    return found


def replay(clustering: Clustering, edits: Sequence[Edit], texts: Mapping[str, str]) -> Clustering:
    """See :func:`models.clustering.edited`."""
    from models.clustering import edited  # type: ignore[attr-defined]

    found: Clustering = edited(clustering, edits, texts) if edits else clustering
    return found


def groups_of(clustering: Clustering, attribute: str) -> Comparison:
    """See :func:`models.clustering.compare`."""
    from models.clustering import compare  # type: ignore[attr-defined]

    found: Comparison = compare(clustering, attribute)
    return found


def report(
    clustering: Clustering,
    texts: Mapping[str, str],
    *,
    title: str,
    made_at: date,
    language: str,
    comparisons: Sequence[Comparison],
    masked: Mapping[str, int] | None,
    flags: Mapping[str, Collection[str]],
    full_table: str = "",
) -> str:
    """See :func:`service.consultation_report.render_report`."""
    from service.consultation_report import render_report  # type: ignore[import-not-found]

    page: str = render_report(
        clustering,
        texts,
        title=title,
        made_at=made_at,
        language=language,
        comparisons=comparisons,
        masked=masked,
        flags=flags,
        full_table=full_table,
    )
    return page
