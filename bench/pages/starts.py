"""Fit 200 tables of clusters with clutter, or with many missing values, from several initialisations.

    python -m bench.pages.starts clutter|missing [--keep FILE] [--against FILE]

There are 2 to 8 clusters in 1 to 10 features, and 300 to 5,000 rows. With "clutter", 3 rows to one half are clutter,
and the fits have a noise component. In half of the tables, clutter is uniform in a box of 1 to 1,000 times the size of
the clusters' box; in the other half, clutter has Cauchy distributions of such widths. With "missing", values are
missing at random, so that about 2 to 25% of the rows are complete.

Figures are means over the tables: the log-likelihood below the best fit of the table, in nats per row, where more than
1 nat counts as 1; the adjusted Rand index of the complete rows in clusters; and the fraction of fits within `HIT` of
the best fit. "truth" starts from the true clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from bench import baseline
from bench.pages.base import parser_of
from bench.pages.tables import score
from gaussmix import GaussianMixture

N_TABLES, HIT = 200, 0.005
FRACTIONS = 0.0, 0.01, 0.03, 0.1, 0.3, 0.5  # fractions of clutter, if this is more than MIN_CLUTTER rows
MIN_CLUTTER = 3
COMPLETE = 0.02, 0.25  # least and largest expected fraction of complete rows, if values are missing
STARTS = "auto", "search", "kmeans", "truth"


def measured(what: str, n_tables: int, seed: int = 50) -> Iterator[tuple[str, dict[str, baseline.Fit]]]:
    """Fit every table from each initialisation, and return log-likelihoods and Rand indices."""
    for number in range(n_tables):
        rng = np.random.default_rng([seed, number])
        d, n_rows = (int(np.exp(rng.uniform(np.log(least), np.log(most)))) for least, most in ((1, 11), (300, 5_000)))
        K, fraction, size = int(rng.integers(2, 9)), rng.choice(FRACTIONS), np.exp(rng.uniform(0, np.log(1_000)))
        n_clutter = max(MIN_CLUTTER, int(fraction * n_rows)) if what == "clutter" else 0
        group = rng.choice(K, size=n_rows - n_clutter, p=rng.dirichlet(np.full(K, 5.0)))
        factors = 0.7 * rng.normal(size=(K, d, d)) / np.sqrt(d) + 0.5 * np.eye(d)
        means = rng.uniform(2, 6) * rng.normal(size=(K, d))
        clusters = means[group] + np.einsum("nij,nj->ni", factors[group], rng.normal(size=(len(group), d)))
        shape, low, high = (n_clutter, d), clusters.min(axis=0), clusters.max(axis=0)
        drawn = rng.uniform(-1, 1, size=shape) if number % 2 else 0.2 * rng.standard_cauchy(size=shape)
        X = np.concatenate([clusters, (low + high) / 2 + size * (high - low) / 2 * drawn])
        if what == "missing":
            X[rng.random(X.shape) > rng.uniform(*COMPLETE) ** (1 / d)] = np.nan
        found = dict[str, baseline.Fit]()
        for start in STARTS:
            init: Any = np.append(group, np.full(n_clutter, -1)) if start == "truth" else start
            settings: Any = {"noise": what == "clutter", "tol": 1e-6, "max_iter": 500, "random_state": 0}
            gm = GaussianMixture(K, init_params=init, **settings)
            found[start] = baseline.fit(partial(gm.fit, X), partial(score, X))
            found[f"{start}, index"] = float(adjusted_rand_score(group, gm.predict(clusters))), 0.0
        yield f"{number} {n_rows} x {d}, K={K}, {n_clutter} of clutter, {np.isnan(X).mean():.0%} missing", found


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("what", choices=("clutter", "missing"))
    arguments = baseline.parse(parser, N_TABLES)
    fits = baseline.report(measured(arguments.what, arguments.n), arguments).values()
    values = {what: np.array([found[what][0] for found in fits]) for what in next(iter(fits))}
    best = np.max([values[start] for start in STARTS], axis=0)
    for start in STARTS:
        gap, seconds = best - values[start], np.median([found[start][1] for found in fits])
        index, hits = values[f"{start}, index"].mean(), (gap <= HIT).mean()
        print(f"{start}: gap {gap.clip(max=1).mean():.3f}, index {index:.3f}, hits {hits:.2f}, median {seconds:.2} s")


if __name__ == "__main__":
    main()
