"""Time `gaussmix report`: from a CSV file to the number of components, the pictures and the words.

    python -m bench.pages.report [--beside FOLDER]    # two minutes; writes bench/results/report.md

Each figure is the least of several new processes; imports are in it. Both limits are those that the command line was
written for. With --beside, the gaussmix of another checkout takes turns with this one.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.pages.base import Page, commit_of, facts, parser_of
from bench.pages.startup import OF_PROCESS, seconds_of_process

ROUNDS = 5
FAITHFUL = Path(__file__).parents[2] / "examples" / "faithful.csv"
N_ROWS, N_FEATURES, N_GROUPS = 100_000, 8, 5
LIMITS = 2.0, 10.0  # seconds of the clock


def write_groups(path: Path) -> None:
    """Write a table of several groups with covariances of their own."""
    rng = np.random.default_rng(0)
    size, shape = N_ROWS // N_GROUPS, (N_FEATURES, N_FEATURES)
    rows = [rng.normal(size=(size, N_FEATURES)) @ rng.normal(scale=0.6, size=shape) for _ in range(N_GROUPS)]
    shifted = np.concatenate([group + rng.normal(scale=4.0, size=N_FEATURES) for group in rows])
    names = ",".join(f"x{1 + at}" for at in range(N_FEATURES))
    np.savetxt(path, rng.permutation(shifted), delimiter=",", header=names, comments="", fmt="%.6g")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--beside", metavar="FOLDER", type=Path, help="a checkout of gaussmix to compare with")
    beside = parser.parse_args().beside
    busy = f"{os.getloadavg()[0]:.1f} processes before this began"  # they take the clock's time, and some of both
    page = Page(__file__, "A report from a table", OF_PROCESS, facts() | {"load of the machine": busy})
    checkouts = [Path(__file__).parents[2], *([] if beside is None else [beside])]
    rows, ratios = [], []
    with TemporaryDirectory() as folder:
        large = Path(folder) / "groups.csv"
        write_groups(large)
        named = {"Old Faithful, 272 × 2": FAITHFUL, f"{N_GROUPS} groups, {N_ROWS:,} × {N_FEATURES}": large}
        for (name, path), limit in zip(named.items(), LIMITS, strict=True):
            words = "-m", "gaussmix", "report", str(path), "-q", "-o", str(Path(folder) / "report.html")
            rounds = [[seconds_of_process(words, each / "src") for each in checkouts] for _ in range(1 + ROUNDS)][1:]
            least = [list(map(min, zip(*runs, strict=True))) for runs in zip(*rounds, strict=True)]
            (processor, clock), *others = least
            rows.append((name, f"{processor:.2f}", f"{clock:.2f}", f"{limit:g}"))
            ratios += [f"{processor / other:.2f} on {name}" for other, _ in others]
    page.table("table | processor | clock | limit of the clock", rows)
    if ratios:
        page.say(f"Processor time beside that of {commit_of(beside)}, in turns: {' and '.join(ratios)}.")
    page.write()


if __name__ == "__main__":
    main()
