"""What this process may compute with: processors, and their instructions for 8-bit products."""

from __future__ import annotations

import math
import os
import platform
import sys
import threading
from pathlib import Path, PurePosixPath

# Flags of /proc/cpuinfo and what they are called, the fastest first.
_INSTRUCTIONS = (
    ("amx_int8", "AMX"),
    ("avx512_vnni", "AVX512-VNNI"),
    ("avx_vnni", "AVX-VNNI"),
    ("avx512bw", "AVX512"),
    ("avx2", "AVX2"),
    ("i8mm", "ARM64-I8MM"),
    ("asimddp", "ARM64-DOT"),
)
WITH_INT8_PRODUCTS = ("AMX", "AVX512-VNNI", "AVX-VNNI", "ARM64-I8MM", "ARM64-DOT")
"""Instruction sets that sum products of bytes without overflow."""


def processor_share(root: Path = Path("/")) -> int:
    """Processors that this process may use: those it may run on, and no more than its control groups grant.

    A share of one and a half counts as two.

    Args:
        root: of the file system.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, math.ceil(min(_quotas(root), default=allowed))))


def give_way(niceness: int) -> None:
    """Let other threads of this process go first, and those of other processes; for good, also for threads begun later.

    Where niceness is of the whole process, as everywhere but on Linux, nothing is done. A thread that gives way further
    already stays as it is: only the administrator may take that back.

    Args:
        niceness: 0 as usual, 19 for what runs while nothing else does.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))


def instructions(root: Path = Path("/")) -> str:
    """The fastest instructions for 8-bit products that the processor has; its architecture where that is unknown."""
    try:
        lines = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    flags = {
        flag
        for line in lines
        for name, _, values in [line.partition(":")]
        if name.strip() in ("flags", "Features")
        for flag in values.split()
    }
    return next((name for flag, name in _INSTRUCTIONS if flag in flags), platform.machine() or "unknown")


def _quotas(root: Path) -> list[float]:
    """Processors that each control group above this process grants, in version 2 and in version 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found += [_quota_2(folder) for folder in _upwards(root / "sys/fs/cgroup", path)]
        elif "cpu" in controllers.split(","):
            for mount in ("cpu", controllers):
                found += [_quota_1(folder) for folder in _upwards(root / "sys/fs/cgroup" / mount, path)]
    return [quota for quota in found if quota is not None]


def _upwards(mount: Path, path: str) -> list[Path]:
    """The folder of a group and of those above it."""
    inside = PurePosixPath(path.lstrip("/"))
    return [mount / part for part in (inside, *inside.parents) if ".." not in part.parts]


def _quota_2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _quota_1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        return None if quota <= 0 else quota / int((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
