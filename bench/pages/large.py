"""Fits of a million rows: with and without settling on a sample first; passes over all rows, and time.

    python -m bench.pages.large                    # two minutes; rewrites bench/results/large.md

Both begin with the same start, k-means on the sample. Times are those of the clock, and the two fits take turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import gaussmix.fit.fit as fitting
from bench.pages.base import Page, parser_of
from bench.pages.streams import N_ROWS, SHAPES, rows_of
from gaussmix import GaussianMixture

TOLERANCES = 1e-3, 1e-5
NEVER = 2**62  # rows


def measured(name: str, n_components: int, n_features: int, spread: float) -> Iterator[tuple[str, ...]]:
    """Rows of the table for one mixture."""
    rows, usual = rows_of(n_components, n_features, spread), fitting.MANY
    for tol in TOLERANCES:
        cells, seconds = list[str](), []
        for many in (NEVER, usual):
            fitting.MANY, began = many, perf_counter()
            fit = GaussianMixture(n_components, random_state=0, tol=tol, max_iter=1000).fit(rows)
            seconds.append(perf_counter() - began)
            cells += [f"{seconds[-1]:.2f}", str(fit.n_iter_), f"{fit.score(rows):.5f}"]
        fitting.MANY = usual
        yield f"K = {n_components}, d = {n_features}, {name}", f"{tol:g}", *cells, f"{seconds[0] / seconds[1]:.1f}"


def main() -> None:
    parser_of(__doc__).parse_args()
    page = Page(__file__, "Large fits", f"{N_ROWS:,} rows; nats per row")
    names = "rows | tol | all rows at once, s | passes | nats | sample first, s | passes | nats | ratio"
    page.table(names, (row for shape in SHAPES for row in measured(*shape)))
    page.write()


if __name__ == "__main__":
    main()
