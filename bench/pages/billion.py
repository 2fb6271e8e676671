"""Fit 1e9 × 8 rows that are nowhere: each pass draws all of them again, block after block, and no disk is needed.

    python -m bench.pages.billion                   # half an hour of two processors; rewrites bench/results/billion.md
    python -m bench.pages.billion --rows 1e7 1e8    # printed only

A block is drawn from the number of its first row, so that every pass has the same rows, ahead of the work on the block
before. Drawing takes longer than the work, and the table has the time of both. Memory is how far the peak of the
process is above what was resident before the fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from bench.pages.base import Page, parser_of
from bench.peak import rise_of_peak
from gaussmix import GaussianMixture
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Source
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import LEAF_ROWS

N_ROWS = [10**7, 10**8, 10**9]
N_FEATURES, N_COMPONENTS, N_STEPS = 8, 16, 6
BLOCK_ROWS = 4 * LEAF_ROWS
HELD = 64e6  # bytes for states beside blocks; the others are made anew in every pass
CENTRES = 1.5 * np.random.default_rng(0).normal(size=(N_COMPONENTS, N_FEATURES))


class Drawn(Source):
    """Rows around sixteen centres, drawn in every pass."""

    is_far, memory, dtype, n_features = True, HELD, np.dtype(np.float64), N_FEATURES

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows

    def blocks(self) -> Iterator[Block]:
        firsts = range(0, self.n_rows, BLOCK_ROWS)
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self._drawn, 0)
            for first in firsts:
                block = coming.result()
                if first + BLOCK_ROWS < self.n_rows:
                    coming = ahead.submit(self._drawn, first + BLOCK_ROWS)
                yield block

    def _drawn(self, first: int) -> Block:
        rng, n_rows = np.random.Generator(np.random.SFC64(first)), min(BLOCK_ROWS, self.n_rows - first)
        rows = rng.standard_normal((n_rows, N_FEATURES))
        rows += CENTRES.take(rng.integers(N_COMPONENTS, size=n_rows, dtype=np.uint8), axis=0)
        return Block(first, rows)


def seconds_of_steps(source: Source) -> tuple[GaussianMixture, list[float]]:
    """A fit, and the seconds of each of its steps but the first."""
    ends: list[float] = []

    def see(step: object) -> None:
        ends.append(perf_counter())

    gm = GaussianMixture(N_COMPONENTS, max_iter=N_STEPS, tol=0.0, random_state=0, init_params="kmeans", callbacks=[see])
    rows: Any = source
    return gm.fit(rows), list(np.diff(ends))


def cells(n_rows: int) -> tuple[str, ...]:
    """A row of the table."""
    began = perf_counter()
    (gm, steps), peak = rise_of_peak(lambda: seconds_of_steps(Drawn(n_rows)))
    whole, step = perf_counter() - began, median(steps)
    began, few = perf_counter(), Drawn(min(n_rows, 40 * BLOCK_ROWS))
    for _ in few.blocks():
        pass
    drawing = (perf_counter() - began) * n_rows / few.n_rows
    block = ArraySource(np.concatenate([block.rows for block in Drawn(16 * BLOCK_ROWS).blocks()]))
    working = median(seconds_of_steps(block)[1]) * n_rows / block.n_rows
    numbers = *(f"{each:.3g}" for each in (step, drawing, working, n_rows / step)), f"{peak:.0f}", f"{whole:.0f}"
    return f"{n_rows:,}", *numbers, f"{gm.lower_bound_:.6f}"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=float, nargs="*", help="numbers of rows; printed only")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    how = f"K = {N_COMPONENTS}, full covariances, {N_STEPS} steps from k-means"
    page = Page(__file__, "A thousand million rows", how)
    names = "rows | seconds a pass | drawing alone | a step in memory alone | rows a second | peak, MB"
    rows = (cells(int(n_rows)) for n_rows in asked.rows or N_ROWS)
    page.table(f"{names} | seconds in all | nats a row", rows, n_words=0)
    if not asked.rows:
        page.write()


if __name__ == "__main__":
    main()
