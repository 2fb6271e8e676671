"""Fits of a million rows: with and without settling on a sample first; passes over all rows, and time.

    python -m bench.pages.large                    # two minutes; rewrites bench/results/large.md

Both begin with the same start, k-means on the sample. Times are those of the clock, and the two fits take turns.
"""

from __future__ import annotations

import time

import gaussmix.fit.fit as fitting
from bench.pages.base import RESULTS, facts, head, parser_of
from bench.pages.streams import N_ROWS, SHAPES, rows_of
from gaussmix import GaussianMixture

RESULT = RESULTS / "large.md"
TOLERANCES = 1e-3, 1e-5
NEVER = 2**62  # rows


def lines_of(name: str, n_components: int, n_features: int, spread: float) -> list[str]:
    """Rows of the table for one mixture."""
    rows, lines, usual = rows_of(n_components, n_features, spread), [], fitting.MANY
    for tol in TOLERANCES:
        cells, seconds = [], []
        for many in (NEVER, usual):
            fitting.MANY = many
            start = time.perf_counter()
            fit = GaussianMixture(n_components, random_state=0, tol=tol, max_iter=1000).fit(rows)
            seconds.append(time.perf_counter() - start)
            cells.append(f"{seconds[-1]:.2f} | {fit.n_iter_} | {fit.score(rows):.5f}")
        fitting.MANY = usual
        shown = f"K = {n_components}, d = {n_features}, {name} | {tol:g}"
        lines.append(f"| {shown} | {cells[0]} | {cells[1]} | {seconds[0] / seconds[1]:.1f} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser_of(__doc__).parse_args()
    lines = head("Large fits", f"`python -m bench.pages.large`; {N_ROWS:,} rows; nats per row", facts())
    lines += ["", "| rows | tol | all rows at once, s | passes | nats | sample first, s | passes | nats | ratio |"]
    lines += ["|---|" + "---:|" * 8]
    for shape in SHAPES:
        lines += lines_of(*shape)
    RESULT.write_text("\n".join(lines) + "\n")
    print(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
