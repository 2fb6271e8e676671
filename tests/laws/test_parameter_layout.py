"""Tests of `ParameterLayout`: names, values and derivatives of the parameters on their natural scale."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from common import FreezeReason, Trace, checked

from gaussmix import FAMILIES, GaussianMixture, Restrictions
from gaussmix._src.em.curvature.coordinates import Coordinates
from gaussmix._src.em.curvature.parameter_layout import ParameterLayout

SMOOTH = [name for name, family in FAMILIES.items() if family.algebra is not None]
N_ROWS, D = 60, 3


def rows(n_features=D):
    rng = np.random.default_rng(4)
    blocks = 3.0 * rng.normal(size=(3, n_features))[rng.integers(3, size=N_ROWS)]
    return (rng.normal(size=(N_ROWS, n_features)) + blocks) @ rng.normal(size=(n_features, n_features))


def coordinates(trace=None, n_features=D, **parameters):
    gm = GaussianMixture(3, max_iter=2, init_params="kmeans", random_state=0, **parameters)
    problem, _ = checked(gm, rows(n_features))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit does not converge in two steps
        gm.fit(rows(n_features))
    return Coordinates.at_model(gm.mixture_._model, problem.objective, trace or Trace())


def assert_equals_differences(at):
    layout, step, size = ParameterLayout.at_model(at.model), 1e-3, at.n_parameters
    values = [
        [layout.to_vector(at.model_at(times * step * unit)) for times in (2, 1, -1, -2)] for unit in np.eye(size)
    ]  # values for differences of fourth order
    differences = np.array([-two + 8 * one - 8 * minus + less for two, one, minus, less in values]).T / (12 * step)
    found = layout.jacobian(at)
    assert found.shape == (layout.n_parameters, size)
    np.testing.assert_allclose(found, differences, atol=1e-8 * np.abs(differences).max())
    return found


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("family", SMOOTH)
def test_the_jacobian_equals_differences(family, noise):
    at = coordinates(covariance_type=family, noise=noise, reg_covar=0.0)
    assert np.linalg.matrix_rank(assert_equals_differences(at)) == at.n_parameters  # full rank


def test_the_jacobian_of_one_feature_equals_differences():
    assert_equals_differences(coordinates(n_features=1))


def test_the_jacobian_of_frozen_components_and_fixed_weights_is_zero():
    at = coordinates(
        trace=Trace(frozen_components={1: FreezeReason.COLLAPSED}), restrictions=Restrictions(equal_weights=True)
    )
    found, terms = assert_equals_differences(at), ParameterLayout.at_model(at.model).terms
    constant = [term.name("abc") for term, row in zip(terms, found, strict=True) if not row.any()]
    assert [name for name in constant if not name.startswith("weight")] == [
        *(f"mean[1, {name}]" for name in "abc"),
        *(
            f"{kind}[1, {inside}]"
            for kind, inside in [
                ("variance", "a"),
                ("covariance", "b, a"),
                ("variance", "b"),
                ("covariance", "c, a"),
                ("covariance", "c, b"),
                ("variance", "c"),
            ]
        ),
    ]
    assert constant[:3] == ["weight[0]", "weight[1]", "weight[2]"]


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("full", ["variance[0, a]", "covariance[0, b, a]", "variance[0, b]", "variance[1, a]"]),
        ("tied", ["variance[a]", "covariance[b, a]", "variance[b]"]),
        ("diag", ["variance[0, a]", "variance[0, b]", "variance[1, a]"]),
        ("spherical", ["variance[0]", "variance[1]"]),
        ("EII", ["variance"]),
    ],
)
def test_parameter_names_and_values_have_the_same_order(family, names):
    at = coordinates(covariance_type=family, n_features=2, noise=True)
    layout, covariances = ParameterLayout.at_model(at.model), at.model.covariances.dense()
    found = [term.name("ab") for term in layout.terms]
    first = 4 + 3 * 2
    assert found[:6] == ["weight[0]", "weight[1]", "weight[2]", "weight[noise]", "mean[0, a]", "mean[0, b]"]
    assert found[first : first + len(names)] == names
    values = layout.to_vector(at.model)
    assert values[:4].sum() == pytest.approx(1)
    for term, value in zip(layout.terms[first:], values[first:], strict=True):
        indices = (term.features * 2)[:2] or (0, 0)
        assert value == covariances[max(term.component, 0)][indices]
