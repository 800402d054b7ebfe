"""Time and memory of one clustering: ``python -m training.cluster_timing COUNT SEED`` prints them as JSON.

Each size runs in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from models.bundle import DEFAULT_BUNDLE, load_tagger
from models.clustering.clusterer import Clusterer
from models.clustering.options import ClusterOptions
from models.clustering.records import Comment
from nlp.errors import TrainingError
from training.consultation import corpus_comments, read_consultation, texts_of
from training.embedding import read_with
from training.planting import varied


@dataclass(frozen=True)
class Timing:
    """What one clustering took.

    Attributes:
        comments: how many.
        arguments: distinct ones.
        embedding_seconds: to tag and embed, on the clock.
        embedding_processor_seconds: the same, summed over processors.
        clustering_seconds: to group, label and measure stability, on the clock.
        clustering_processor_seconds: the same, summed over processors.
        steps: processor seconds of each step of clustering.
        peak_mebibytes: of the process, model included.
        topics: found.
        other: share of the rest.
    """

    comments: int
    arguments: int
    embedding_seconds: float
    embedding_processor_seconds: float
    clustering_seconds: float
    clustering_processor_seconds: float
    steps: dict[str, float]
    peak_mebibytes: float
    topics: int
    other: float


def measure(count: int, seed: int) -> Timing:
    """Time the clustering of varied comments in this process."""
    texts = varied([*texts_of(read_consultation().comments), *corpus_comments()], count, seed)
    tagger = load_tagger(DEFAULT_BUNDLE)
    wall, processor = time.perf_counter(), time.process_time()
    embeddings, tags = read_with(tagger, texts)
    embedded, embedded_processor = time.perf_counter() - wall, time.process_time() - processor
    comments = [Comment(str(place), text) for place, text in enumerate(texts)]
    began: list[tuple[str, float]] = []
    wall, processor = time.perf_counter(), time.process_time()
    tree = Clusterer(ClusterOptions(seed=seed)).cluster(
        comments, embeddings, tags, tagger.taxonomy, lambda step, _: began.append((step, time.process_time()))
    )
    clustered, clustered_processor = time.perf_counter() - wall, time.process_time() - processor
    ends = [*(at for _, at in began[1:]), processor + clustered_processor]
    return Timing(
        count,
        tree.size.arguments,
        round(embedded, 2),
        round(embedded_processor, 2),
        round(clustered, 2),
        round(clustered_processor, 2),
        {step: round(end - at, 2) for (step, at), end in zip(began, ends, strict=True)},
        round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        len(tree.topics),
        tree.other.share,
    )


def measure_apart(count: int, seed: int) -> Timing:
    """The same in a process of its own.

    Raises:
        TrainingError: the process failed.
    """
    command = [sys.executable, "-m", "training.cluster_timing", str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path.cwd())  # noqa: S603
    if done.returncode:
        raise TrainingError(f"clustering {count} comments failed: {done.stderr.strip()[-500:]}")
    return Timing(**json.loads(done.stdout))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure(int(sys.argv[1]), int(sys.argv[2])))))
