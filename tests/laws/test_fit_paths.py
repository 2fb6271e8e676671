"""Tests that all ways to fit a mixture, such as resuming or streaming, give the same bits as `GaussianMixture.fit`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from common import EPS, assert_same_bits, assert_same_fit

from gaussmix import GaussianMixture, GaussianMixtureIC, NormalInverseWishart, fit_many
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.opening import open
from gaussmix.testing import PROBLEMS

N_COMPONENTS, N_STEPS = 3, 12
_ROWS = PROBLEMS["overlapping"].rows


@dataclass(frozen=True, eq=False)
class Case:
    """The rows and the options of a fit.

    Parameters
    ----------
    rows : (n_rows, n_features), in data units, with NaN for missing values.
    parameters : parameters of `GaussianMixture` in addition to the parameters of all cases.
    data : arguments of `fit` in addition to the rows.
    """

    rows: Array = field(default_factory=lambda: _ROWS)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


CASES: dict[str, Case] = {
    "plain": Case(),
    "prior": Case(parameters={"prior": NormalInverseWishart(shrinkage=0.05)}),
    "labels": Case(data={"labels": np.where(np.arange(len(_ROWS)) % 4 == 0, PROBLEMS["overlapping"].labels, -1)}),
    "noise": Case(parameters={"noise": True}),
    "trim": Case(parameters={"trim": 0.1, "n_init": 1}),  # each run of a trimmed fit tries many initialisations
    "auto": Case(parameters={"tol": "auto"}),
    "weights": Case(data={"sample_weight": np.random.default_rng(2).uniform(0.1, 3.0, len(_ROWS))}),
    "errors": Case(data={"X_error": np.random.default_rng(3).uniform(0.0, 0.5, _ROWS.shape)}),
    "missing": Case(rows=np.where(np.random.default_rng(1).random(_ROWS.shape) < 0.2, np.nan, _ROWS)),
}


def _parameters(family: str, case: Case) -> dict[str, Any]:
    settings = {"init_params": ["kmeans", "random"], "n_init": 2, "tol": 1e-7, "reg_covar": 1e-6, "max_iter": N_STEPS}
    return {**settings, "covariance_type": family, "random_state": 0, **case.parameters}


def _plain_fit(family: str, case: Case, **changed: Any) -> GaussianMixture:
    parameters = _parameters(family, case) | changed
    return GaussianMixture(N_COMPONENTS, **parameters).fit(case.rows, **case.data)


def _assert_same(found: Any, expected: GaussianMixture) -> None:
    """Check that two estimators have the same mixture and the same traces of all runs."""
    assert_same_fit(found, expected)
    for name in "n_iter_", "converged_", "n_parameters_":
        if getattr(found, name) != getattr(expected, name):
            raise AssertionError(f"{name} is {getattr(found, name)!r}, not {getattr(expected, name)!r}")
    one, other = found.outcome_, expected.outcome_
    if repr(one) != repr(other) or one.traces != other.traces:
        raise AssertionError(f"outcome_ is {one!r}, not {other!r}")


def _selected(family: str, case: Case) -> None:
    """Check that model selection with one candidate equals a single fit, and that more candidates do not lower it."""
    parameters = _parameters(family, case)
    single = GaussianMixtureIC([N_COMPONENTS], **parameters).fit(case.rows, **case.data)
    _assert_same(single, _plain_fit(family, case))
    sizes = [N_COMPONENTS] if "labels" in case.data else [N_COMPONENTS - 1, N_COMPONENTS]
    several = GaussianMixtureIC([*sizes, N_COMPONENTS + 1], **parameters).fit(case.rows, **case.data)
    found, least = several.results_["log_likelihood"][sizes.index(N_COMPONENTS)], single.results_["log_likelihood"][0]
    if "prior" not in case.parameters and not found >= least - 8 * EPS * abs(least):
        raise AssertionError(f"among others the candidate ends at {found}, below {least}")


def _fit_as_group(family: str, case: Case) -> None:
    """Check that `fit_many` fits a group as it would be fitted alone, except cases that `fit_many` does not support."""
    if "noise" in case.parameters or not case.data.keys() <= {"sample_weight"}:
        return
    expected, weight = _plain_fit(family, case), case.data.get("sample_weight")
    groups = [case.rows, case.rows[::2]]
    weights = None if weight is None else [weight, weight[::2]]
    found = fit_many(groups, N_COMPONENTS, sample_weight=weights, **_parameters(family, case))
    for name in "weights", "means", "covariances":
        assert_same_bits(getattr(found[0], name), getattr(expected.mixture_, name), name)
    assert_same_bits(found.n_iter[0], expected.n_iter_, "n_iter")


def _warm_started(family: str, case: Case) -> None:
    """Check that the steps of a fit and of a second fit with a warm start equal the steps of a single fit."""
    one_start = {"init_params": "kmeans", "n_init": 1, "tol": 0.0}
    expected = _plain_fit(family, case, **one_start)
    found = GaussianMixture(N_COMPONENTS, **_parameters(family, case) | one_start | {"max_iter": 4})
    found.fit(case.rows, **case.data)
    found.set_params(warm_start=True, max_iter=N_STEPS - 4).fit(case.rows, **case.data)
    for name in "weights_", "means_", "covariances_", "lower_bound_":
        assert_same_bits(getattr(found, name), getattr(expected, name), name)


class _Stop(Exception):
    """Exception that interrupts a fit."""


def _stopping_after(n_steps: int) -> Callable[[object], None]:
    left = iter(range(n_steps))

    def stop(step: object) -> None:
        if next(left, None) is None:
            raise _Stop

    return stop


def _resumed(family: str, case: Case) -> None:
    """Check that an interrupted fit or model selection continues from its checkpoint to the same end."""
    parameters = _parameters(family, case)
    ways: dict[str, Callable[..., Any]] = {
        "fit": lambda **more: GaussianMixture(N_COMPONENTS, **parameters, **more),
        "selection": lambda **more: GaussianMixtureIC([N_COMPONENTS], **parameters, **more),
    }
    expected = _plain_fit(family, case)
    for make in ways.values():
        for n_steps in (0, 3, N_STEPS + 5):
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "fit.ckpt")
                try:
                    make(checkpoint=path, callbacks=[_stopping_after(n_steps)]).fit(case.rows, **case.data)
                except _Stop:
                    if not Path(path).exists():
                        raise AssertionError("an interrupted fit leaves no checkpoint") from None
                found = make(checkpoint=path).fit(case.rows, **case.data)
                if os.listdir(folder):
                    raise AssertionError("the checkpoint still exists after the end of the fit")
            _assert_same(found, expected)


def _with_callbacks(family: str, case: Case) -> None:
    """Check that callbacks see every step, and that callbacks, verbose and max_time do not change the fit."""
    expected, seen = _plain_fit(family, case), list[Any]()
    _assert_same(_plain_fit(family, case, callbacks=[seen.append]), expected)
    n_steps = sum(len(trace) for trace in expected.outcome_.traces)
    if len(seen) != n_steps:
        raise AssertionError(f"callbacks received {len(seen)} steps of {n_steps}")
    _assert_same(_plain_fit(family, case, max_time=1e6), expected)


def _from_file(family: str, case: Case) -> None:
    """Check that rows in a file are fitted as in memory; measurement errors are not supported for files."""
    if "X_error" in case.data:
        return
    data = dict(case.data)
    weight = data.pop("sample_weight", None)
    table = case.rows if weight is None else np.column_stack([case.rows, weight])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.npy")
        np.save(path, table)
        weights = None if weight is None else f"x{table.shape[1] - 1}"
        rows: Any = open(path, weights=weights, missing=bool(np.isnan(case.rows).any()))
        found = GaussianMixture(N_COMPONENTS, **_parameters(family, case)).fit(rows, **data)
    _assert_same(found, _plain_fit(family, case))


def _streamed(family: str, case: Case) -> None:
    """Check that `partial_fit` fits the first rows of a stream as `fit` does, however calls divide them."""
    if case.parameters or not case.data.keys() <= {"sample_weight"} or np.isnan(case.rows).any():
        return
    found = GaussianMixture(N_COMPONENTS, **_parameters(family, case))
    if found.covariance_type == "factor_analyzer":
        return
    for part in (slice(0, 7), slice(7, 250), slice(250, None)):
        found.partial_fit(case.rows[part], **{name: value[part] for name, value in case.data.items()})
    _assert_same(found, _plain_fit(family, case))


PATHS: dict[str, Callable[[str, Case], None]] = {
    "model selection": _selected,
    "fit_many": _fit_as_group,
    "warm_start": _warm_started,
    "checkpoint": _resumed,
    "callbacks": _with_callbacks,
    "file": _from_file,
    "partial_fit": _streamed,
}

FAMILIES = [  # structures with algebra, with pooled moments, with alternative initial axes, and with factors
    "full",
    "tied",
    pytest.param("VVE", marks=pytest.mark.heavy),
    pytest.param("factor_analyzer", marks=pytest.mark.heavy),
]


@pytest.mark.heavy(n_default=3)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_way_to_fit_gives_the_same_bits(family: str, case: str, path: str) -> None:
    """Check that a fit in another way is bit-identical to `GaussianMixture.fit`."""
    PATHS[path](family, CASES[case])
