"""Rows that are constant, equal, few, collinear or distant, and components without rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trust_cases import truth
from trust_cases.case import CENTRES, INITS, STRUCTURES, Case, Model, blobs, expect, expect_close, expect_sound, initial

RIDGE = 1e-6
STEPS = 5
OUTLIERS = [(1e6,), (-1e6,), (1e15,), (-1e15,), (1e6, -1e6), (1e15, -1e6), (1e15, 2e15)]


def two_columns() -> Any:
    rng = np.random.default_rng(1)
    return rng.normal(size=(60, 2)) + 3.0 * (np.arange(60)[:, None] % 3)


# Name of a case → its rows and number of components.
ROWS = {
    "a column of 0": (np.insert(two_columns(), 1, 0.0, axis=1), 3),
    "a column of 1e8": (np.insert(two_columns(), 1, 1e8, axis=1), 3),
    "a column of -1e8 among shifts of 1e8": (np.insert(two_columns() + 1e8, 0, -1e8, axis=1), 3),
    "columns of 1e8 and 1e-8": (np.insert(np.insert(two_columns(), 0, 1e8, axis=1), 3, 1e-8, axis=1), 3),
    "5 rows 20 times each": (np.repeat(two_columns()[:5], 20, axis=0), 3),
    "3 rows 20 times each": (np.repeat(two_columns()[:3], 20, axis=0), 3),
    "K = n": (two_columns()[:4], 4),
    "K = n = 2": (two_columns()[:2], 2),
    "n < d": (np.random.default_rng(2).normal(size=(5, 20)), 3),
    "collinear columns": (np.column_stack([two_columns(), 2 * two_columns()[:, 0]]), 3),
    "the same column twice": (np.column_stack([two_columns(), two_columns()]), 3),
    "a sum of columns, far from 0": (np.column_stack([two_columns() + 1e5, two_columns().sum(axis=1) + 1e5]), 3),
}


def cases() -> Iterator[Case]:
    """Yield cases of every structure: comparisons with EM in long double, and fits with each `init_params`."""
    for structure in STRUCTURES:
        for name, (X, n_components) in ROWS.items():
            yield Case("degenerate", f"{name}, {structure}, 5 steps", compare_steps(structure, X, n_components))
            for start in INITS:
                yield Case("degenerate", f"{name}, {structure}, {start}", check_fit(structure, X, n_components, start))
            yield Case("degenerate", f"{name}, {structure}, one component", check_fit(structure, X, 1, "kmeans"))
        for value in (0.0, 7.0, 1e8, -1e8, 1e-8):
            name = f"a column of {value:g} changes nothing else, {structure}"
            if structure != "spherical":  # the single variance is of all columns
                yield Case("degenerate", name, check_column(structure, value))
        for sizes in OUTLIERS:
            for start in (*INITS, None):
                name = f"{' and '.join(f'an outlier at {size:g}' for size in sizes)}, {structure}, {start or 'given'}"
                yield Case("outliers", name, check_outliers(structure, start, sizes))
        for distance in (1e2, 1e4, 1e10, 1e100):
            name = f"a component without rows at {distance:g}, {structure}"
            yield Case("empty components", name, check_empty_component(structure, distance))


def compare_steps(structure: str, X: Any, n_components: int) -> Any:
    """Return a check that compares five EM steps from the first rows and unit covariances with long double."""

    def check(model: Model) -> None:
        start = initial(structure, X[:n_components] + 0.25 * np.arange(n_components)[:, None])
        fitted = model(n_components, reg_covar=RIDGE, max_iter=STEPS, tol=0.0, **start).fit(X)
        expected = truth.em_log_density(X, start, RIDGE, STEPS)
        expect_close(fitted.score_samples(X), expected, 1e-6 * (1 + np.abs(expected)), "score_samples")

    return check


def check_fit(structure: str, X: Any, n_components: int, start: str) -> Any:
    """Return a check that the fit is finite, agrees with its attributes, and is not worse than one component."""

    def check(model: Model) -> None:
        fitted = model(n_components, covariance_type=structure, init_params=start, random_state=0).fit(X)
        expect_sound(fitted, X)
        stated = truth.stated_log_density(fitted, X)
        expect_close(fitted.score_samples(X), stated, 1e-6 * (1 + np.abs(stated)), "score_samples")
        single = model(1, covariance_type=structure).fit(X).score(X)
        expect(fitted.score(X) >= single - 1e-3 * (1 + abs(single)), "worse than one component")

    return check


def check_column(structure: str, value: float) -> Any:
    """Return a check that a constant column adds the same number to every log density."""

    def check(model: Model) -> None:
        X = blobs()
        plain = model(3, **initial(structure, CENTRES)).fit(X).score_samples(X)
        wide, centres = np.insert(X, 1, value, axis=1), np.insert(CENTRES, 1, value, axis=1)
        added = model(3, **initial(structure, centres)).fit(wide).score_samples(wide) - plain
        expect_close(added, np.full(len(X), np.median(added)), 1e-6, "the change of score_samples")

    return check


def check_outliers(structure: str, start: str | None, sizes: tuple[float, ...]) -> Any:
    """Return a check that components for outliers leave the fit of the other rows as good as without outliers."""

    def check(model: Model) -> None:
        X, outliers = blobs(), np.repeat(np.array(sizes)[:, None], 3, axis=1)
        rows = np.vstack([X, outliers])
        if start is None:
            three, more = initial(structure, CENTRES), initial(structure, np.vstack([CENTRES, outliers]))
        else:
            three = more = {"covariance_type": structure, "init_params": start, "random_state": 0}
        without, fitted = model(3, **three).fit(X), model(3 + len(outliers), **more).fit(rows)
        expect_sound(fitted, rows)
        stated = truth.stated_log_density(fitted, rows)
        expect_close(fitted.score_samples(rows), stated, 1e-6 * (1 + np.abs(stated)), "score_samples")
        # The bound is the loss by the weight of the outliers, plus the gain that stopping at tol=1e-3 may leave.
        loss = without.score(X) - fitted.score_samples(X).mean()
        expect(loss <= np.log(len(rows) / len(X)) + 5e-3, f"the inliers are fitted worse by {loss:.3g} nats")

    return check


def check_empty_component(structure: str, distance: float) -> Any:
    """Return a check that an empty component does not change the other components."""

    def check(model: Model) -> None:
        X, stopping = blobs(), {"tol": 1e-8, "max_iter": 500}
        without = model(3, **initial(structure, CENTRES), **stopping).fit(X)
        start = initial(structure, np.vstack([CENTRES, np.full(3, distance)]))
        fitted = model(4, **start, **stopping).fit(X)
        expect_sound(fitted, X)
        expect_close(fitted.means_[:3], without.means_, 1e-5, "means_")
        expect_close(fitted.score_samples(X), without.score_samples(X), 1e-5, "score_samples")

    return check
