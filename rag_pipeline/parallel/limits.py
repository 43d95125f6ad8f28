"""What one worker process may use before it is stopped or replaced.

Belongs here: the limits, and setting them on the current process.
Does not belong here: waiting for a worker or killing it (`process.py`).
"""

from __future__ import annotations

import math
import resource
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Limits of one worker process.

    Attributes:
        memory_bytes: Address space (RLIMIT_AS); macOS does not enforce it.
        cpu_seconds: Processor time for one item (RLIMIT_CPU, moved on before each item).
        wall_seconds: Elapsed time for one item.
        file_bytes: Largest file it may write (RLIMIT_FSIZE).
        recycle_after_items: A worker that served so many items is replaced by a fresh one.
        recycle_above_bytes: So is one that is still this large in memory between two messages.
    """

    memory_bytes: int = 3 * 2**30
    cpu_seconds: int = 60
    wall_seconds: float = 60
    file_bytes: int = 64 * 2**20
    recycle_after_items: int = 2000
    recycle_above_bytes: int = 2**30


def apply_limits(limits: WorkerLimits) -> None:
    """Set the limits that hold for the whole life of the current process."""
    _lower(resource.RLIMIT_AS, limits.memory_bytes)
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes)
    _lower(resource.RLIMIT_CORE, 0)


def allow_cpu(seconds: int) -> None:
    """Let the current process use so many more seconds of processor time before SIGXCPU ends it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, math.ceil(usage.ru_utime + usage.ru_stime) + seconds)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (soft, hard))
