"""Fit 80 tables with few rows, and judge the fits by new rows of the same mixtures.

    python -m bench.pages.few_rows [--keep FILE] [--against FILE]

There are 2 to 20 rows for each number in a mean and a full covariance, 3 to 40 features and 2 to 12 components. A
quarter of the tables have heavy tails. Figures are means over the tables: the log-likelihood of new rows above the fit
from k-means, in nats per row, where more than 1 nat counts as 1; the adjusted Rand index of new rows; and the number of
tables in which the first fit is below the better of both by more than `LOWER`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from bench import baseline
from bench.pages.base import parser_of
from bench.pages.tables import OURS, score
from gaussmix import GaussianMixture

N_TABLES, N_NEW, LOWER = 80, 4_000, 0.01
STARTS = OURS | {"search": {"init_params": "search"}}
STRUCTURES = "full", "full", "tied", "diag"
FREEDOM_OF_HEAVY = 3.0  # degrees of freedom of Student's t


def measured(n_tables: int, seed: int = 50) -> Iterator[tuple[str, dict[str, baseline.Fit]]]:
    """Fit every table from each initialisation, and return log-likelihoods of new rows and Rand indices."""
    for number in range(n_tables):
        rng = np.random.default_rng([seed, number])
        d, K = (int(np.exp(rng.uniform(np.log(least), np.log(most)))) for least, most in ((3, 41), (2, 13)))
        n_rows = max(int(np.exp(rng.uniform(np.log(2), np.log(20))) * (d + d * (d + 1) // 2)), 4 * K)
        structure, n_all = str(rng.choice(STRUCTURES)), n_rows + N_NEW
        means = np.exp(rng.uniform(np.log(0.5), np.log(4))) * rng.normal(size=(K, d))
        factors = rng.normal(size=(K, d, d)) / np.sqrt(d)
        group = rng.choice(K, size=n_all, p=rng.dirichlet(np.full(K, 5.0)))
        drawn = rng.normal(size=(n_all, d)) if number % 4 else rng.standard_t(FREEDOM_OF_HEAVY, size=(n_all, d))
        rows = means[group] + np.einsum("nij,nj->ni", factors[group], drawn)
        new, truth, found = rows[n_rows:], group[n_rows:], dict[str, baseline.Fit]()
        for start, own in STARTS.items():
            options: dict[str, Any] = {"covariance_type": structure, "random_state": 0, "n_jobs": 1} | own
            gm = GaussianMixture(K, **options)
            found[start] = baseline.fit(partial(gm.fit, rows[:n_rows]), partial(score, new))
            found[f"{start}, index"] = float(adjusted_rand_score(truth, gm.predict(new))), 0.0
        yield f"{number} {structure}, {n_rows} x {d}, K={K}", found


def main() -> None:
    arguments = baseline.parse(parser_of(__doc__), N_TABLES)
    fits = baseline.report(measured(arguments.n), arguments).values()
    values = {what: np.array([found[what][0] for found in fits]) for what in next(iter(fits))}
    best = np.maximum(values["kmeans"], values["search"])
    for start in STARTS:
        gain = np.clip(values[start] - values["kmeans"], -1, 1).mean()
        n_lower = int((values[start] < best - LOWER).sum())
        print(f"{start}: gain {gain:.3f}, index {values[f'{start}, index'].mean():.3f}, lower in {n_lower}")


if __name__ == "__main__":
    main()
