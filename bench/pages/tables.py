"""Compare default fits of 300 random tables with one fit of scikit-learn each, and with fits from k-means.

    python -m bench.pages.tables          # a minute; rewrites bench/results/tables.md
    python -m bench.pages.tables --n 40   # fewer tables, printed only

Tables have 150 to 30,000 rows and 1 to 25 features, fits 2 to 30 components, all drawn at random, and rows are of one
of the `KINDS`. Each fit is made twice on one thread, and the faster one counts. Nothing was tuned on these tables.

"slower" counts tables where a default fit took longer than scikit-learn's, "searched" those where it ended elsewhere
than from k-means. "mean gain" is over scikit-learn's fit; a gain or loss of more than 1 nat counts as 1.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import sklearn.mixture
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from threadpoolctl import threadpool_limits

from bench.pages.base import Page, parser_of
from bench.pages.optimum import Fitted, by_estimator
from gaussmix import GaussianMixture
from gaussmix.numerics.arrays import Array

SEED, N_TABLES, LOWER = 2026, 300, 1e-4  # nats per row: what counts as lower
STRUCTURES = "full", "full", "tied", "diag", "spherical"  # full covariances twice as often
LOADERS = load_iris, load_wine, load_breast_cancer, load_digits, load_diabetes
KINDS = (
    "groups",
    "whole numbers",
    "heavy tails",
    "exponentials",
    "uniform",
    "unlike scales",
    "unlike sizes",
    "random walks",
    "columns of scikit-learn's tables",
)


def tables(n_tables: int, seed: int) -> Iterator[tuple[Array, int, str]]:
    """Rows, a number of components, and a structure."""
    rng = np.random.default_rng(seed)
    made = 0
    while made < n_tables:
        n_rows, n_features, n_components = (
            int(np.exp(rng.uniform(np.log(least), np.log(most)))) for least, most in ((150, 30_000), (1, 25), (2, 30))
        )
        rows = _rows(np.random.default_rng(rng.integers(2**30)), KINDS[rng.integers(len(KINDS))], n_rows, n_features)
        structure = str(rng.choice(STRUCTURES))
        if len(rows) >= 3 * n_components:
            made += 1
            yield rows, n_components, structure


def _rows(rng: np.random.Generator, kind: str, n_rows: int, n_features: int) -> Array:
    if kind == "columns of scikit-learn's tables":
        rows = np.asarray(LOADERS[rng.integers(len(LOADERS))]().data, dtype=np.float64)
        rows = rows[:, rng.permutation(rows.shape[1])[: rng.integers(2, 12)]]
        return rows[:, rows.std(axis=0) > 0]
    n_groups, shape = int(np.exp(rng.uniform(np.log(2), np.log(30)))), (n_rows, n_features)
    means = rng.normal(size=(n_groups, n_features)) * rng.uniform(1, 8)
    axes = rng.normal(size=(n_groups, n_features, n_features)) / np.sqrt(n_features)
    share = rng.dirichlet(np.full(n_groups, 0.3)) if kind == "unlike sizes" else np.full(n_groups, 1 / n_groups)
    group = rng.choice(n_groups, size=n_rows, p=share)
    drawn = rng.standard_t(2.5, size=shape) if kind == "heavy tails" else rng.normal(size=shape)
    rows = means[group] + np.einsum("nij,nj->ni", axes[group], drawn)
    made: dict[str, Array] = {
        "whole numbers": np.round(rows * rng.choice([1, 4, 20])) / 4,
        "exponentials": np.exp(rows / 4),
        "uniform": rng.uniform(size=shape),
        "unlike scales": rows * np.exp(4 * rng.normal(size=n_features)) + 100 * rng.normal(size=n_features),
        "random walks": np.cumsum(rng.normal(size=shape), axis=0),
    }
    return made.get(kind, rows)


def best_of_two(estimator: Any, rows: Array, n_components: int, structure: str, **options: Any) -> Fitted:
    """The faster one of two equal fits."""
    return min(by_estimator(estimator, rows, n_components, structure, 0, **options) for _ in range(2))


def measured(n_tables: int, seed: int) -> Iterator[tuple[str, Fitted, Fitted, Fitted]]:
    """The structure, and fits by default, from k-means and of scikit-learn; no tables that scikit-learn can't fit."""
    for number, (rows, n_components, structure) in enumerate(tables(n_tables, seed)):
        try:
            theirs = best_of_two(sklearn.mixture.GaussianMixture, rows, n_components, structure)
        except ValueError:  # a covariance that is not positive definite
            continue
        of_fit = GaussianMixture, rows, n_components, structure
        ours = best_of_two(*of_fit, n_jobs=1), best_of_two(*of_fit, n_jobs=1, init_params="kmeans")
        print(number, rows.shape, n_components, structure, *(f"{fit[0]:.4f} {fit[2]:.4f}" for fit in (*ours, theirs)))
        yield structure, *ours, theirs


def summary(found: list[tuple[str, Fitted, Fitted, Fitted]]) -> tuple[object, ...]:
    """A row of the table."""
    ours, plain, theirs = (np.array([each[place] for each in found]) for place in (1, 2, 3))
    times, gain = ours[:, 0] / theirs[:, 0], ours[:, 2] - theirs[:, 2]
    is_lower = (gain < -LOWER) & (theirs[:, 3] == 0)
    return (
        len(found),
        *(f"{np.quantile(times, share):.2f}" for share in (0.5, 0.9, 1)),
        f"{100 * (times > 1).mean():.1f} %",
        int((ours[:, 2] < plain[:, 2] - LOWER).sum()),
        int(is_lower.sum()),
        f"{np.clip(gain, -1, 1).mean():.3f}",
    )


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--n", type=int, default=N_TABLES, help="number of tables")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        found = list(measured(asked.n, asked.seed))
    searched = [each for each in found if each[1][2] != each[2][2]]
    groups = {"all": found, "searched": searched}
    groups |= {
        f"searched, {name}": [each for each in searched if each[0] == name] for name in dict.fromkeys(STRUCTURES)
    }
    note = "processor time beside one fit of scikit-learn; log-likelihoods in nats a row"
    page = Page(__file__, "Default fits of random tables", note)
    names = "fits | tables | time: median | 90 % | worst | slower | below k-means | below scikit-learn | mean gain"
    page.table(names, ((name, *summary(some)) for name, some in groups.items() if some))
    if (asked.n, asked.seed) == (N_TABLES, SEED):
        page.write()


if __name__ == "__main__":
    main()
