"""One thread of OpenMP while anybody needs it."""

from __future__ import annotations

import sklearn.cluster  # noqa: F401 - loads OpenMP
from threadpoolctl import threadpool_info, threadpool_limits

from models.clustering.threads import one_thread


def _threads() -> set[int]:
    return {int(one["num_threads"]) for one in threadpool_info() if one["user_api"] == "openmp"}


def test_one_thread_until_the_last_has_left_in_any_order() -> None:
    with threadpool_limits(2, "openmp"):
        first, second = one_thread(), one_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert _threads() == {1}
        second.__exit__(None, None, None)
        assert _threads() == {2}
