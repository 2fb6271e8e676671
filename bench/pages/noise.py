"""Fit 200 tables of clusters and clutter with a noise component, from several initialisations.

    python -m bench.pages.noise [--keep FILE] [--against FILE]

There are 2 to 8 clusters in 1 to 10 features, and 300 to 5,000 rows, of which 3 rows to one half are clutter. In half
of the tables, clutter is uniform in a box of 1 to 1,000 times the size of the clusters' box; in the other half, clutter
has Cauchy distributions of such widths. Figures are means over the tables: the log-likelihood below the best fit of the
table, in nats per row, where more than 1 nat counts as 1; the adjusted Rand index of the rows in clusters; and the
fraction of fits within `HIT` of the best fit. "truth" starts from the true clusters.
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
STARTS = "auto", "search", "kmeans", "truth"


def measured(n_tables: int, seed: int = 50) -> Iterator[tuple[str, dict[str, baseline.Fit]]]:
    """Fit every table from each initialisation, and return log-likelihoods and Rand indices."""
    for number in range(n_tables):
        rng = np.random.default_rng([seed, number])
        d, n_rows = (int(np.exp(rng.uniform(np.log(least), np.log(most)))) for least, most in ((1, 11), (300, 5_000)))
        K, fraction, size = int(rng.integers(2, 9)), rng.choice(FRACTIONS), np.exp(rng.uniform(0, np.log(1_000)))
        n_clutter = max(MIN_CLUTTER, int(fraction * n_rows))
        group = rng.choice(K, size=n_rows - n_clutter, p=rng.dirichlet(np.full(K, 5.0)))
        factors = 0.7 * rng.normal(size=(K, d, d)) / np.sqrt(d) + 0.5 * np.eye(d)
        means = rng.uniform(2, 6) * rng.normal(size=(K, d))
        clusters = means[group] + np.einsum("nij,nj->ni", factors[group], rng.normal(size=(len(group), d)))
        shape, low, high = (n_clutter, d), clusters.min(axis=0), clusters.max(axis=0)
        drawn = rng.uniform(-1, 1, size=shape) if number % 2 else 0.2 * rng.standard_cauchy(size=shape)
        X = np.concatenate([clusters, (low + high) / 2 + size * (high - low) / 2 * drawn])
        found = dict[str, baseline.Fit]()
        for start in STARTS:
            init: Any = np.append(group, np.full(n_clutter, -1)) if start == "truth" else start
            gm = GaussianMixture(K, noise=True, init_params=init, tol=1e-6, max_iter=500, random_state=0)
            found[start] = baseline.fit(partial(gm.fit, X), partial(score, X))
            found[f"{start}, index"] = float(adjusted_rand_score(group, gm.predict(clusters))), 0.0
        yield f"{number} {n_rows} x {d}, K={K}, {n_clutter} of clutter, size {size:.3g}", found


def main() -> None:
    arguments = baseline.parse(parser_of(__doc__), N_TABLES)
    fits = baseline.report(measured(arguments.n), arguments).values()
    values = {what: np.array([found[what][0] for found in fits]) for what in next(iter(fits))}
    best = np.max([values[start] for start in STARTS], axis=0)
    for start in STARTS:
        gap, seconds = best - values[start], np.median([found[start][1] for found in fits])
        index, hits = values[f"{start}, index"].mean(), (gap <= HIT).mean()
        print(f"{start}: gap {gap.clip(max=1).mean():.3f}, index {index:.3f}, hits {hits:.2f}, median {seconds:.2} s")


if __name__ == "__main__":
    main()
