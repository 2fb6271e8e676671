"""What all pages of results share: their folder, the command line, the head, and facts about the machine."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy
import scipy
import sklearn

import gaussmix
from gaussmix import _core

RESULTS = Path(__file__).parents[1] / "results"


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser of the command line of the module that is run, whose help is the module's docstring."""
    spec = sys.modules["__main__"].__spec__
    return argparse.ArgumentParser(
        prog=f"python -m {spec.name}" if spec is not None else None,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def facts() -> dict[str, str]:
    """The machine and the versions, for the head of a table."""
    target = _core.active()
    isa = "none: NumPy" if target is None else target.isa
    return {
        "date": date.today().isoformat(),
        "commit": commit_of(Path(__file__).parent),
        "processor": _processor(),
        "processors used": str(len(os.sched_getaffinity(0))),
        "instruction set": isa,
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "gaussmix": gaussmix.__version__,
        "scikit-learn": sklearn.__version__,
        "NumPy, SciPy": f"{numpy.__version__}, {scipy.__version__}",
    }


def head(title: str, made_by: str, machine: dict[str, str]) -> list[str]:
    """The first lines of a page of results, in Markdown."""
    return [f"# {title}", "", f"Made by {made_by}.", "", *(f"- {name}: {value}" for name, value in machine.items())]


def least_seconds(work: Callable[[], object], repeats: int) -> float:
    """The least time of some calls."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def commit_of(folder: Path) -> str:
    """The commit that is checked out there."""
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=folder, capture_output=True, text=True)
    return described.stdout.strip() or "unknown"
