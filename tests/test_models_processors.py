from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from models.processors import give_way, instructions, processor_share
from models.runtime import choose_runtime


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file system of a machine of 16 processors."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    return tmp_path


def _write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({}, 16),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 16),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1),
        (
            {
                "proc/self/cgroup": "0::/pods/one\n",
                "sys/fs/cgroup/pods/one/cpu.max": "max 100000\n",
                "sys/fs/cgroup/pods/cpu.max": "300000 100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/job\n4:cpu,cpuacct:/job\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            16,
        ),
    ],
)
def test_a_process_counts_the_processors_that_its_groups_grant(root: Path, files: dict[str, str], share: int) -> None:
    _write(root, files)
    assert processor_share(root) == share


def test_a_process_bound_to_two_processors_counts_two(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 5}, raising=False)
    _write(root, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "800000 100000\n"})
    assert processor_share(root) == 2


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("flags\t\t: fpu avx2 avx512bw avx512_vnni amx_int8", "AMX"),
        ("flags\t\t: fpu avx2 avx512bw avx512_vnni", "AVX512-VNNI"),
        ("flags\t\t: fpu avx2 avx_vnni", "AVX-VNNI"),
        ("flags\t\t: fpu avx avx2", "AVX2"),
        ("Features\t: fp asimd asimddp", "ARM64-DOT"),
    ],
)
def test_instructions_are_the_fastest_that_the_processor_has(root: Path, line: str, found: str) -> None:
    _write(root, {"proc/cpuinfo": f"processor\t: 0\n{line}\n"})
    assert instructions(root) == found


def test_a_processor_without_sums_of_bytes_is_told_to_be_exact() -> None:
    fast, plain = choose_runtime(2, "AVX512-VNNI"), choose_runtime(2, "AVX2")
    assert not fast.entries
    assert plain.entries == {"session.x64quantprecision": "1"}
    assert "AVX2, 2 threads: the processor sums products of bytes in several steps" in str(plain)


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is of the whole process elsewhere")
def test_a_thread_gives_way_and_never_takes_it_back() -> None:
    found: list[int] = []

    def work() -> None:
        # Of a process that was started with nice as well, where going back is forbidden.
        for niceness in (18, 19, 5):
            give_way(niceness)
            found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [18, 19, 19]
