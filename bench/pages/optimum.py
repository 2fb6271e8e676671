"""How far below the best known maximum fits end, and in what time: k-means, ten of them, a search, and scikit-learn.

    python -m bench.pages.optimum                  # forty minutes; rewrites bench/results/optimum.md
    python -m bench.pages.optimum --sets 4 16 --seeds 3

Gaps are nats per row below the best fit of the table to the same rows, hits are fits with a gap of at most 0.005. Every
fit uses one thread, since scikit-learn's own share of the work is hardly parallel. Times are those of the processor.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.mixture
from sklearn.datasets import load_sample_image
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from bench.pages.base import RESULTS, facts, head, parser_of
from gaussmix import GaussianMixture
from gaussmix.numerics.arrays import Array

RESULT = RESULTS / "optimum.md"
N_ROWS, MANY, HIT = 20_000, 500_000, 0.005
CENTRES = {2: 6.0, 4: 4.0, 8: 2.5, 12: 2.0, 16: 1.8}  # number of features → standard deviation of the means


def generated(n_features: int, n_components: int, n_rows: int = N_ROWS) -> Array:
    """Rows of components of many shapes and weights, which overlap little."""
    rng = np.random.default_rng(1000 * n_features + n_components)
    means = CENTRES[n_features] * rng.normal(size=(n_components, n_features))
    labels = rng.choice(n_components, n_rows, p=rng.dirichlet(np.full(n_components, 4.0)))
    turned = np.linalg.qr(rng.normal(size=(n_components, n_features, n_features)))[0]
    factors = turned * np.exp(rng.uniform(-1.0, 0.6, size=(n_components, 1, n_features)))
    rows: Array = means[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(n_rows, n_features)))
    return rows


def pixels() -> Array:
    """Colours of pixels of china.jpg, with noise, because they are whole numbers."""
    rng = np.random.default_rng(0)
    colours = load_sample_image("china.jpg").reshape(-1, 3).astype(np.float64)
    rows: Array = colours[rng.choice(len(colours), N_ROWS, replace=False)] + rng.normal(scale=0.3, size=(N_ROWS, 3))
    return rows


SETS: dict[str, tuple[Callable[[], Array], int, str]] = {
    "2-d, K=15": (lambda: generated(2, 15), 15, "full"),
    "2-d, K=40": (lambda: generated(2, 40), 40, "full"),
    "4-d, K=20": (lambda: generated(4, 20), 20, "full"),
    "8-d, K=16": (lambda: generated(8, 16), 16, "full"),
    "12-d, K=24": (lambda: generated(12, 24), 24, "full"),
    "16-d, K=32": (lambda: generated(16, 32), 32, "full"),
    "pixels, K=16": (pixels, 16, "full"),
    "pixels, K=64": (pixels, 64, "full"),
    "4-d, K=20, tied": (lambda: generated(4, 20), 20, "tied"),
    "4-d, K=20, diag": (lambda: generated(4, 20), 20, "diag"),
    "pixels, K=16, diag": (pixels, 16, "diag"),
    "many, 2-d, K=15": (lambda: generated(2, 15, MANY), 15, "full"),
    "many, 4-d, K=20": (lambda: generated(4, 20, MANY), 20, "full"),
    "many, 8-d, K=16": (lambda: generated(8, 16, MANY), 16, "full"),
    "many, 16-d, K=32": (lambda: generated(16, 32, MANY), 32, "full"),
}
METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "default": (GaussianMixture, {"n_jobs": 1}),
    "n_init=10": (GaussianMixture, {"n_jobs": 1, "n_init": 10}),
    "search": (GaussianMixture, {"n_jobs": 1, "init_params": "search"}),
    "scikit-learn": (sklearn.mixture.GaussianMixture, {}),
}


def lines_of(name: str, n_seeds: int) -> list[str]:
    """Rows of the table for one set."""
    make, n_components, family = SETS[name]
    rows, scores, seconds = make(), {}, {}
    for method, (estimator, options) in METHODS.items():
        seeds = range(2 if method == "scikit-learn" else n_seeds)
        ended = []
        start = time.process_time()
        for seed in seeds:
            ended.append(estimator(n_components, covariance_type=family, random_state=seed, **options).fit(rows))
        seconds[method] = (time.process_time() - start) / len(ended)
        scores[method] = np.array([fit.score(rows) for fit in ended])
    best = max(found.max() for found in scores.values())
    lines = []
    for method, found in scores.items():
        gaps = best - found
        hits = f"{int((gaps <= HIT).sum())} of {len(gaps)}"
        ratio = seconds[method] / seconds["scikit-learn"]
        shown = f"{np.median(gaps):.4f} | {gaps.max():.4f} | {hits} | {seconds[method]:.2f} | {ratio:.2f}"
        lines.append(f"| {name} | {method} | {shown} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sets", nargs="*", default=[""], help="sets whose names begin so")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    shape = f"{N_ROWS:,} rows, {MANY:,} where many; {arguments.seeds} seeds, 2 for scikit-learn"
    made_by = f"`python -m bench.pages.optimum`; {shape}"
    lines = head("Optima", made_by, facts())
    lines += ["", "| set | fit | gap: median | worst | hits | seconds | of scikit-learn's |", "|---|---|" + "---:|" * 5]
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name in SETS:
            if any(name.startswith(beginning) for beginning in arguments.sets):
                lines += lines_of(name, arguments.seeds)
    RESULT.write_text("\n".join(lines) + "\n")
    print(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
