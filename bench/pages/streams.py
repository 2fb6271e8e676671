"""One pass of `partial_fit` over a million rows: nats per row below the end of EM, and time, beside passes of EM.

    python -m bench.pages.streams                    # about two minutes; rewrites bench/results/streams.md

Overlapping clusters, in calls of 10,000 rows. EM to its end starts from the first fit of the stream, so that both climb
to the same maximum. Time is that of the processor, of all threads.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from bench.pages.base import Page, parser_of
from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix.waist.leaves import LEAF_ROWS

N_ROWS, CALL_ROWS = 1_000_000, 10_000
SHAPES = [("apart", 16, 8, 3.0), ("overlapping", 16, 8, 1.0), ("overlapping", 5, 2, 1.5)]  # and how wide centres are
TOLERANCES = 1e-3, 1e-6  # of the first fit
CONVERGED = {"tol": 1e-7, "max_iter": 1000}
SEED = 5


def rows_of(n_components: int, n_features: int, spread: float) -> Any:
    """A million rows of a random mixture with full covariances."""
    rng = np.random.default_rng(SEED)
    weights, means = rng.dirichlet(np.full(n_components, 5.0)), rng.normal(size=(n_components, n_features)) * spread
    factors = rng.normal(size=(n_components, n_features, n_features)) * 0.3 + np.eye(n_features)
    covariances = factors @ factors.transpose(0, 2, 1) + 0.1 * np.eye(n_features)
    return Mixture(weights, means, covariances, FAMILIES["full"]).sample(N_ROWS, SEED)[0]


def streamed(estimator: GaussianMixture, rows: Any) -> float:
    """Processor seconds of a pass of `partial_fit`."""
    start = time.process_time()
    for part in np.split(rows, N_ROWS // CALL_ROWS):
        estimator.partial_fit(part)
    return time.process_time() - start


def measured(name: str, n_components: int, n_features: int, spread: float) -> Iterator[tuple[object, ...]]:
    """Rows of the table for one mixture."""
    rows = rows_of(n_components, n_features, spread)
    for tol in TOLERANCES:
        stream = GaussianMixture(n_components, random_state=0, tol=tol, max_iter=1000)
        seconds = streamed(stream, rows)
        first = GaussianMixture(n_components, random_state=0, tol=tol, max_iter=1000).fit(rows[:LEAF_ROWS])
        batch = GaussianMixture(n_components, warm_start=True).set_params(**CONVERGED)
        batch.__dict__.update(vars(first) | vars(batch))
        start = time.process_time()
        best = batch.fit(rows)
        pass_seconds = (time.process_time() - start) / best.n_iter_
        most = best.score(rows)
        below = [f"{most - model.score(rows):.5f}" for model in (first, stream)]
        shape = name, n_components, n_features, f"{tol:g}"
        yield (*shape, *below, best.n_iter_, f"{seconds:.2f}", f"{pass_seconds:.3f}")


def main() -> None:
    parser_of(__doc__).parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    page = Page(__file__, "Streams, beside passes of EM")
    page.say(
        f"Nats per row below EM that ended at a gain of {CONVERGED['tol']:g} and began with the first fit; "
        f"{N_ROWS:,} rows, full covariances. Processor seconds; those of the stream include the first fit."
    )
    names = "clusters | K | d | tol | first fit below | stream below | passes of EM | stream, s | a pass of EM, s"
    page.table(names, (row for shape in SHAPES for row in measured(*shape)))
    page.write()


if __name__ == "__main__":
    main()
