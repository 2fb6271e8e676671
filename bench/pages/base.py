"""Tools that all pages of results share: the command line, the page itself, facts about the machine, and clocks."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path

import numpy
import scipy
import sklearn

import gaussmix
from gaussmix import _core

RESULTS = Path(__file__).parents[1] / "results"


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the command line of the running module, whose docstring is the help text."""
    spec = sys.modules["__main__"].__spec__
    return argparse.ArgumentParser(
        prog=f"python -m {spec.name}" if spec is not None else None,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def facts() -> dict[str, str]:
    """Return the machine and the versions, for the head of a table."""
    return {
        "date": date.today().isoformat(),
        "commit": commit_of(Path(__file__).parent),
        "processor": _processor(),
        "processors used": str(len(os.sched_getaffinity(0))),
        "instruction set": _core.active().isa,
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "gaussmix": gaussmix.__version__,
        "scikit-learn": sklearn.__version__,
        "NumPy, SciPy": f"{numpy.__version__}, {scipy.__version__}",
    }


class Page:
    """A page of results in Markdown, `bench/results/NAME.md`.

    Parameters
    ----------
    file : file of the module that writes the page, whose name becomes the page's name.
    title : first line of the page.
    how : description of the figures, in addition to the command.
    """

    def __init__(self, file: str, title: str, how: str = "") -> None:
        self.name = Path(file).stem
        self.machine = facts()
        made_by = f"`python -m bench.pages.{self.name}`" + (f"; {how}" if how else "")
        self.lines = head(title, made_by, self.machine)

    def say(self, *lines: str) -> None:
        """Append an empty line and the given lines."""
        self.lines += ["", *lines]

    def table(self, names: str, rows: Iterable[Iterable[object]], n_words: int = 1) -> None:
        """Append a table, and print its rows when they are measured; first columns are words, the others numbers."""
        n_numbers = names.count("|") + 1 - n_words
        self.say(f"| {names} |", "|" + "---|" * n_words + "---:|" * n_numbers)
        for row in rows:
            self.lines.append(line_of(row))
            print(self.lines[-1], flush=True)

    def write(self) -> None:
        """Write the page to its file."""
        path = RESULTS / f"{self.name}.md"
        path.write_text("\n".join(self.lines).rstrip() + "\n", encoding="utf-8")
        print(f"wrote {path}")


def head(title: str, made_by: str, machine: dict[str, str]) -> list[str]:
    """Return the first lines of a page."""
    return [f"# {title}", "", f"Made by {made_by}.", "", *(f"- {name}: {value}" for name, value in machine.items())]


def line_of(cells: Iterable[object]) -> str:
    """Return a row of a table, in which None becomes an empty cell."""
    return f"| {' | '.join('' if cell is None else str(cell) for cell in cells)} |"


def seconds_of(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter, least: float = 0.0) -> float:
    """Return seconds of a call by a clock: the mean over the calls in `least` seconds. Their results are freed."""
    n_calls, elapsed = 0, 0.0
    while not n_calls or elapsed < least:
        began = clock()
        made = call()
        elapsed += clock() - began
        n_calls += 1
        del made
    return elapsed / n_calls


def least_seconds(
    calls: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return the least seconds of each call; the calls alternate."""
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(repeats):
        for name, call in calls.items():
            least[name] = min(least[name], seconds_of(call, clock))
    return least


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def commit_of(folder: Path) -> str:
    """Return the commit that is checked out in the folder."""
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=folder, capture_output=True, text=True)
    return described.stdout.strip() or "unknown"
