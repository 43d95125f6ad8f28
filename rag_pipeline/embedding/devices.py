"""Which processor a model runs on, and how many cores there are.

Belongs here: finding out without importing torch where that can be avoided.
Does not belong here: what to run there.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from pathlib import Path
from typing import Literal

from rag_pipeline.contracts.embedding import Device
from rag_pipeline.embedding.extra import INSTALL, has_torch, require_torch
from rag_pipeline.errors import SettingsError

log = logging.getLogger(__name__)

_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def chosen_device(wanted: Device) -> Literal["cpu", "cuda"]:
    """`auto` is the GPU where torch can use one, else the CPU.

    Raises:
        SettingsError: A GPU is asked for and there is none.
        ModelUnavailable: A GPU is asked for and torch is not installed.
    """
    if wanted == "cpu" or (wanted == "auto" and os.name == "posix" and not _NVIDIA_DRIVER.exists()):
        return "cpu"
    if wanted == "cuda":
        require_torch("`device: cuda`", "the GPU is reached through torch")
    elif not has_torch():
        log.info("a GPU driver is installed, and torch is not: embedding runs on the CPU. To use the GPU: %s", INSTALL)
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise SettingsError("an embedding model asks for `device: cuda`, but torch sees no GPU here; use `auto`")
    return "cpu"


def usable_cores() -> int:
    """Cores this process may keep busy: its affinity, and the container's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = _CPU_QUOTA.read_text("ascii").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores)
