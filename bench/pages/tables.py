"""Compare default fits of 300 random tables with fits from k-means and with one fit of scikit-learn each.

    python -m bench.pages.tables                  # two minutes; rewrites bench/results/tables.md
    python -m bench.pages.tables --keep FILE      # without scikit-learn: keep log-likelihoods and processor times
    python -m bench.pages.tables --against FILE   # the same, compared with what another version kept

Tables are of seven `KINDS`, with 150 to 30,000 rows and 1 to 25 features; fits have 2 to 30 components. All of it is
drawn at random, each table from a seed of its own. Each fit is made twice on one thread, and the faster one counts.
Comparisons also time fits of 300 to 200,000 rows.

"slower" counts tables where a default fit took longer than scikit-learn's. "mean gain" is over scikit-learn's fit; a
gain or loss of more than 1 nat counts as 1, because components of rounded rows may collapse to the ridge.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import sklearn.mixture

from bench import baseline
from bench.pages.base import Page, parser_of
from gaussmix import GaussianMixture
from gaussmix._src.numerics.arrays import Array

N_TABLES, LOWER = 300, 1e-4  # nats per row: what counts as lower than scikit-learn
KINDS = "separated", "overlapping", "heavy-tailed", "rounded", "unequal weights", "correlated", "3 % outliers"
STRUCTURES = "full", "full", "tied", "diag", "spherical"  # full covariances twice as often
OURS: dict[str, dict[str, Any]] = {"default": {}, "kmeans": {"init_params": "kmeans"}}
OTHER = "scikit-learn"
SIZES = 300, 2_000, 20_000, 200_000  # rows of tables whose times are compared size by size


def table(number: int) -> tuple[str, Array, int, str]:
    """A name, rows, a number of components, and a structure."""
    rng, kind = np.random.default_rng([2026, number]), KINDS[number % len(KINDS)]
    n_rows, n_features, n_components, n_groups = (
        int(np.exp(rng.uniform(np.log(least), np.log(most))))
        for least, most in ((150, 30_001), (1, 26), (2, 31), (2, 31))
    )
    structure = str(rng.choice(STRUCTURES))
    spread = {"separated": 6.0, "overlapping": 0.8}.get(kind, rng.uniform(1, 5))
    means = spread * rng.normal(size=(n_groups, n_features))
    factors = rng.normal(size=(n_groups, n_features, n_features)) / np.sqrt(n_features)
    if kind == "correlated":  # two axes hold nearly all of the variance
        left, right = rng.normal(size=(2, n_groups, n_features, 2))
        factors = 0.1 * factors + left @ right.transpose(0, 2, 1)
    weights = rng.dirichlet(np.full(n_groups, 0.3 if kind == "unequal weights" else 20.0))
    group = rng.choice(n_groups, size=n_rows, p=weights)
    shape = n_rows, n_features
    drawn = rng.standard_t(2.5, size=shape) if kind == "heavy-tailed" else rng.normal(size=shape)
    rows = means[group] + np.einsum("nij,nj->ni", factors[group], drawn)
    if kind == "rounded":
        rows = np.round(rows * rng.choice([1, 4, 20])) / 4
    elif kind == "3 % outliers":
        rows = np.where(rng.random((n_rows, 1)) < 0.03, rng.uniform(-10, 10, shape) * rows.std(axis=0), rows)
    return f"{number} {kind}, {structure}, {n_rows} x {n_features}, K={n_components}", rows, n_components, structure


def results(
    rows: Array, n_components: int, structure: str, *, seed: int = 0, has_other: bool = True, n_repeats: int = 1
) -> Iterator[tuple[str, baseline.Fit]]:
    """Fit rows by default, from k-means, and by scikit-learn."""
    common: dict[str, Any] = {"n_components": n_components, "covariance_type": structure, "random_state": seed}
    models: dict[str, Any] = {what: GaussianMixture(**common, **own, n_jobs=1) for what, own in OURS.items()}
    if has_other:
        models[OTHER] = sklearn.mixture.GaussianMixture(**common)
    for what, model in models.items():
        yield what, baseline.fit(partial(model.fit, rows), partial(score, rows), n_repeats)


def score(rows: Array, model: Any) -> float:
    return float(model.score(rows))


def sized() -> Iterator[tuple[str, dict[str, baseline.Fit]]]:
    """Fit tables of each size, with 4 features and 5 clusters, several times."""
    for n_rows in SIZES:
        rng = np.random.default_rng(n_rows)
        rows = rng.normal(size=(n_rows, 4)) + 2 * rng.normal(size=(5, 4))[rng.integers(5, size=n_rows)]
        for structure in "full", "diag":
            found = results(rows, 5, structure, has_other=False, n_repeats=20 if n_rows < 10_000 else 5)
            yield f"{n_rows:,} rows, {structure}", {f"{what}, {n_rows:,} rows": each for what, each in found}


def summary(found: list[dict[str, baseline.Fit]]) -> tuple[object, ...]:
    """A row of the page: all tables that scikit-learn can fit."""
    both = [each for each in found if not isinstance(each[OTHER][0], str)]
    ours, plain, theirs = (np.array([each[what] for each in both]) for what in (*OURS, OTHER))
    times, gain = ours[:, 1] / theirs[:, 1], ours[:, 0] - theirs[:, 0]
    return (
        len(both),
        *(f"{np.quantile(times, share):.2f}" for share in (0.5, 0.9, 1)),
        f"{(times > 1).mean():.1%}",
        int((ours[:, 0] < plain[:, 0] - LOWER).sum()),
        int((gain < -LOWER).sum()),
        f"{np.clip(gain, -1, 1).mean():.3f}",
    )


def main() -> None:
    asked = baseline.parse(parser_of(__doc__), N_TABLES)
    has_other = asked.keep is None and asked.against is None
    every = (
        (name, dict(results(rows, n_components, structure, has_other=has_other, n_repeats=2)))
        for name, rows, n_components, structure in map(table, range(asked.n))
    )
    fits = baseline.report(every if has_other else chain(every, sized()), asked)
    if has_other:
        note = "processor time compared with one fit of scikit-learn; log-likelihoods in nats per row"
        page = Page(__file__, "Default fits of random tables", note)
        names = "tables | fits | time: median | 90 % | worst | slower | below k-means | below scikit-learn | mean gain"
        groups = {kind: [found for name, found in fits.items() if kind in name] for kind in KINDS}
        page.table(names, ((name, *summary(some)) for name, some in {**groups, "all": [*fits.values()]}.items()))
        if asked.n == N_TABLES:
            page.write()


if __name__ == "__main__":
    main()
