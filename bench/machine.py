"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import date
from pathlib import Path

import numpy
import scipy
import sklearn

import gaussmix
from gaussmix import _core


def facts() -> dict[str, str]:
    """The machine and the versions, for the head of a table."""
    return {
        "date": date.today().isoformat(),
        "commit": _commit(),
        "processor": _processor(),
        "processors used": str(len(os.sched_getaffinity(0))),
        "instruction set": _core.active().isa,
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "gaussmix": gaussmix.__version__,
        "scikit-learn": sklearn.__version__,
        "NumPy, SciPy": f"{numpy.__version__}, {scipy.__version__}",
    }


def head(title: str, made_by: str, machine: dict[str, str]) -> list[str]:
    """The first lines of a page of results, in Markdown."""
    return [f"# {title}", "", f"Made by {made_by}.", "", *(f"- {name}: {value}" for name, value in machine.items())]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    return described.stdout.strip() or "unknown"
