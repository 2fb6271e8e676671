"""Fit random tables with each feature of the estimator, from the split-and-merge search and from k-means.

    python -m bench.pages.quality --keep FILE      # 40 tables: keep log-likelihoods and processor times
    python -m bench.pages.quality --against FILE   # compare with the file of another version

A table of features lists the rows and parameters of each fit. The log-likelihood is `lower_bound_`, which includes
priors.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from bench import baseline
from bench.pages.base import parser_of
from gaussmix import FactorAnalyzer, Full, GaussianMixture
from gaussmix._src.numerics.arrays import Array

N_TABLES, N_ROWS = 40, (400, 900, 1800, 3000, 6000)
SEARCH, KMEANS, AUTO = ({"init_params": name} for name in ("search", "kmeans", "auto"))
PRIOR, BOUNDED, FACTORS = {"prior": "default"}, {"covariance_type": Full(max_condition=1000)}, FactorAnalyzer(1)
FEATURES: dict[str, tuple[str, dict[str, Any]]] = {  # name → kind of rows, and the estimator's parameters
    "plain": ("plain", SEARCH),
    "prior": ("plain", PRIOR | SEARCH),
    "prior auto": ("plain", PRIOR | AUTO),
    "prior kmeans": ("plain", PRIOR | KMEANS),
    "prior VEV": ("plain", PRIOR | SEARCH | {"covariance_type": "VEV"}),
    "missing": ("missing", SEARCH),
    "missing kmeans": ("missing", KMEANS),
    "missing auto": ("missing", AUTO),
    "noise": ("background", SEARCH | {"noise": True}),
    "trim": ("background", AUTO | {"trim": 0.05}),
    "labels": ("labels", AUTO),
    "X_error": ("errors", SEARCH),
    "X_error kmeans": ("errors", KMEANS),
    "bounded": ("plain", BOUNDED | SEARCH),
    "bounded kmeans": ("plain", BOUNDED | KMEANS),
    "factors": ("plain", {"covariance_type": FACTORS} | SEARCH),
    "factors kmeans": ("plain", {"covariance_type": FACTORS} | KMEANS),
}
ODD = "outlier", "constant", "far", "sum", "units", "integers"
FEATURES |= {f"{odd} {name}": (odd, {"covariance_type": name} | SEARCH) for odd in ODD for name in ("full", "tied")}


def rows_of(seed: int) -> tuple[int, dict[str, tuple[Array, dict[str, Any]]]]:
    """Return the number of components of a table, and each kind of its rows with the arguments of `fit`."""
    rng = np.random.default_rng(seed)
    n_components, n_features, n_rows = int(rng.integers(3, 10)), int(rng.integers(2, 6)), int(rng.choice(N_ROWS))
    means = rng.uniform(1.5, 4) * rng.normal(size=(n_components, n_features))
    factors = rng.normal(size=(n_components, n_features, n_features)) / np.sqrt(n_features) + 0.3 * np.eye(n_features)
    group = rng.choice(n_components, n_rows, p=rng.dirichlet(np.full(n_components, 2.0)))
    rows = means[group] + np.einsum("ni,nij->nj", rng.normal(size=(n_rows, n_features)), factors[group])
    missing = np.where(rng.random(rows.shape) < 0.07, np.nan, rows)
    background = rng.uniform(rows.min(axis=0), rows.max(axis=0), (n_rows // 20, n_features))
    few = rows[:600]
    first = np.zeros_like(few)
    first[0] = 1.0
    kinds = {
        "plain": rows,
        "missing": missing[~np.isnan(missing).all(axis=1)],
        "background": np.concatenate((rows, background)),
        "labels": rows,
        "errors": rows,
        "outlier": np.where(first, 1e4, few),
        "constant": np.c_[np.full(len(few), 3.0), few[:, 1:]],
        "far": few + 1e8,
        "sum": np.c_[few, few.sum(axis=1)],
        "units": few * 1e-150,
        "integers": np.round(few),
    }
    extra: dict[str, dict[str, Any]] = {
        "labels": {"labels": np.where(rng.random(n_rows) < 0.1, group, -1)},
        "errors": {"X_error": np.full(n_features, 0.3)},
    }
    return n_components, {kind: (made, extra.get(kind, {})) for kind, made in kinds.items()}


def measured(n_tables: int) -> Iterator[tuple[str, dict[str, baseline.Fit]]]:
    """Fit every feature to every table."""
    for seed in range(n_tables):
        n_components, kinds = rows_of(seed)
        found = {}
        for name, (kind, options) in FEATURES.items():
            rows, extra = kinds[kind]
            model = GaussianMixture(n_components, random_state=seed, n_jobs=1, **options)
            found[name] = baseline.fit(partial(model.fit, rows, **extra), lambda made: made.lower_bound_, n_repeats=2)
        yield f"{seed}: {len(kinds['plain'][0])} x {kinds['plain'][0].shape[1]}, K={n_components}", found


def main() -> None:
    arguments = baseline.parse(parser_of(__doc__), N_TABLES)
    baseline.report(measured(arguments.n), arguments)


if __name__ == "__main__":
    main()
