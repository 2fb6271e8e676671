"""Measure how much the resident memory of this process rises while a function runs, on Linux, from /proc/self."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def rise_of_peak(work: Callable[[], T]) -> tuple[T, float]:
    """Return the result of `work`, and the megabytes by which the peak exceeds the memory resident before."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak of resident memory
    before = _status("VmRSS")
    result = work()
    return result, (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise RuntimeError(f"no {field} in /proc/self/status: this needs Linux")
