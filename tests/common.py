"""Internals of gaussmix that many tests need, so that only this module depends on where they are defined."""

# ruff: noqa: F401 — tests import these names from here

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix._src.em.initialisation.base import STARTS, load_start
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.sample import automatic_ridge, column_units, distinct_rows
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import EMState, FreezeReason, OptimalityCertificate, Trace, final_state
from gaussmix._src.em.step.loop import em_step, run_em
from gaussmix._src.engines import complete_engine, make_engine
from gaussmix._src.engines.complete.engine import CompleteEngine
from gaussmix._src.errors import StopReason
from gaussmix._src.estimators.fitting import start_fit
from gaussmix._src.families import ALIASES, family_named
from gaussmix._src.fit.fit import fit
from gaussmix._src.fit.fitted import BestRun, Outcome
from gaussmix._src.formats import model_file
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.whitening.base import FactorShape
from gaussmix._src.model import Model
from gaussmix._src.noise_component import NoiseComponent
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.files.base import FileSource
from gaussmix._src.testing.closeness import EPS, assert_close, assert_same_bits
from gaussmix._src.testing.problems import groups, transformed
from gaussmix.extend import AssignmentRule, Block, MomentSpec

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def checked(estimator, rows, weight=None, labels=None, error=None):
    """Return the problem and the plan of a fit without running it."""
    with start_fit(estimator, rows, None, weight, labels, error) as (X, features):
        return estimator._checked(X, weight, features)


@contextmanager
def raises_and_keeps(estimator: Any, error: type[Exception], match: str) -> Iterator[pytest.ExceptionInfo[Exception]]:
    """Check that calls in the block raise an error with a message of one line, and do not change the estimator."""
    before = dict(vars(estimator))
    with pytest.raises(error, match=match) as caught:
        yield caught
    assert "\n" not in str(caught.value)
    assert vars(estimator).keys() == before.keys()
    assert [name for name, value in vars(estimator).items() if value is not before[name]] == []


def assert_same_fit(actual: Any, expected: Any) -> None:
    """Check that the log-likelihoods, weights, means and covariances of two fitted estimators are bit-identical."""
    for name in "lower_bounds_", "weights_", "means_", "covariances_":
        assert_same_bits(getattr(actual, name), getattr(expected, name), name)


def short_em(**parameters: Any) -> GaussianMixture:
    """Return an estimator that makes three EM steps, whatever their gains."""
    return GaussianMixture(4, **{"random_state": 0, "max_iter": 3, "tol": 0.0} | parameters)


def overlapping(name, family, n_components=3, n_features=3):
    """Return a mixture of overlapping components, which depend on the name."""
    rows = groups(name, 30 * n_components, n_features, n_components, distance=2.0)
    return Mixture._from_model(rows.start(family))


def dense(mixture):
    return mixture._model.covariances.dense()


def univariate(weights, means, variances):
    """Return a mixture with one feature."""
    return Mixture(weights, np.array(means, dtype=float)[:, None], variances, FAMILIES["spherical"])


def without_seconds(selection):
    """Return the columns of `results_` except the times, which differ between equal fits."""
    return {name: column for name, column in selection.results_.items() if name != "seconds"}


def mixture_and_details(path):
    """Return the mixture in a model file, and all else that the file stores."""
    model, record = model_file.read(path)
    return Mixture._from_model(model), record.details


def reloaded(fitted: Any) -> Any:
    """Return a fitted estimator after `save` and `load`."""
    file = io.BytesIO()
    fitted.save(file)
    file.seek(0)
    return type(fitted).load(file)


def invalid_arguments(table):
    """Return pairs (change, pattern) for `parametrize`, from a table of beginnings of messages and lists of changes."""
    return [
        pytest.param(change, f"^{re.escape(message)}", id=f"{'-'.join(change)}-{message[:20]}-{i}")
        for message, changes in table.items()
        for i, change in enumerate(changes)
    ]
