"""The machine that a network will learn on: its device, memory and cores."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

_MEMINFO = Path("/proc/meminfo")
_CPUINFO = Path("/proc/cpuinfo")
_CGROUP = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Machine:
    """What a plan must know of a machine."""

    device: str
    "cpu or cuda"
    name: str
    "of the GPU, else of the processor"
    device_memory_gb: float
    "of the GPU, in gigabytes of 1e9 bytes; on a processor that of the machine"
    ram_gb: float
    "of the machine, or of the container it runs in"
    free_ram_gb: float
    "not used by anybody when it was looked at"
    free_disk_gb: float
    "where the plan is written, and runs may lie"
    cores: int
    "that this process may use"


def read_machine(device: torch.device, folder: Path) -> Machine:
    """Look at the machine.

    Args:
        device: that the network will learn on.
        folder: whose disk is looked at; it may not be there yet.
    """
    total, free = read_memory(_MEMINFO, _CGROUP)
    name, memory = _processor(_CPUINFO), total
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        name, memory = facts.name, facts.total_memory / 1e9
    return Machine(
        device.type, name, round(memory, 2), round(total, 2), round(free, 2), round(_disk(folder), 2), _cores()
    )


def read_memory(meminfo: Path, cgroup: Path) -> tuple[float, float]:
    """Memory in all and free, in gigabytes: of the kernel's table, no more than the container may have."""
    try:
        pairs = (line.split(":") for line in meminfo.read_text(encoding="utf-8").splitlines())
        kilobytes = {name: int(rest.split()[0]) for name, rest in pairs}
        total, free = kilobytes["MemTotal"] * 1024 / 1e9, kilobytes["MemAvailable"] * 1024 / 1e9
    except (OSError, KeyError, ValueError, IndexError):  # not Linux
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 if hasattr(os, "sysconf") else 4.0
        free = total / 2
    try:
        limit = int(cgroup.read_text(encoding="utf-8")) / 1e9
    except (OSError, ValueError):  # no container, or "max"
        return total, free
    return min(total, limit), min(free, limit)


def _disk(folder: Path) -> float:
    """Gigabytes free on the disk of a folder, or of the nearest one above that is there."""
    there = next(place for place in (folder.resolve(), *folder.resolve().parents) if place.exists())
    return shutil.disk_usage(there).free / 1e9


def _processor(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
