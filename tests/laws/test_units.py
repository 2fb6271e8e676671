"""Tests that units do not matter: rows and errors times a factor have the same initialisation and fit."""

from functools import cache, partial

import numpy as np
import pytest
from common import STARTS, Block

from gaussmix import FAMILIES, GaussianMixture
from gaussmix._src.engines.incomplete import IncompleteEngine
from gaussmix.extend import Equivariance

N_COMPONENTS, N_FEATURES = 3, 3
KINDS = (
    "plain",
    "missing",
    "errors",
    "matrices of errors",
    "labels",
    "soft labels",
    "trim",
    "trim and labels",
    "noise",
    "missing and outliers",
    "errors and outliers",
    "weights",
    "prior",
)
CASES = [(start, kind) for start in STARTS for kind in KINDS]
POWERS = 2.0**-40, 2.0**3, 2.0**300
FACTORS = 1e-9, 3.7, 1e6
FEATURE_FACTORS = np.array([1e-6, 3.7, 1e5])
FEATURE_POWERS = np.array([4.0, 0.25, 1024.0])
EQUIVARIANT = [
    name for name, family in FAMILIES.items() if family.equivariance in (Equivariance.AFFINE, Equivariance.SCALING)
]
# These initialisations use distances, so only a common factor of all features does not change their results.
IN_DATA_UNITS = {"kmeans", "k-means++", "random_from_data"}


def factors(start, kind):
    """Return factors of the rows, one of which differs between features if this must not change the initialisation."""
    return FACTORS if start in IN_DATA_UNITS and "trim" not in kind else (*FACTORS, FEATURE_FACTORS)


def table(kind, factor):
    """Return rows, further data for `fit`, and parameters, with rows and measurement errors multiplied by `factor`.

    The factor is a number, or an array with a factor for each feature.
    """
    rng = np.random.default_rng(KINDS.index(kind))
    centres = np.array([[0.0, 0.0, 0.0], [4.0, 3.0, -2.0], [-3.0, 4.0, 3.0]])
    component = rng.integers(N_COMPONENTS, size=180)
    rows = centres[component] + rng.normal(size=(180, N_FEATURES))
    data, parameters = {}, {"n_components": N_COMPONENTS, "random_state": 0}
    if "missing" in kind:
        rows[(rng.random(rows.shape) < 0.2) & (np.arange(N_FEATURES) != component[:, None])] = np.nan
    if "outliers" in kind:
        rows[:2], parameters["n_components"] = [[1e5, -2e5, 1e5], [-1e5, 1e5, 3e5]], N_COMPONENTS + 2
    if "errors" in kind:
        data["X_error"] = factor * rng.uniform(0.1, 2.0, size=rows.shape)
    if "matrices" in kind:
        roots = rng.normal(size=(180, N_FEATURES, N_FEATURES)) * np.reshape(factor, (-1, 1))
        data["X_error"] = 0.25 * roots @ roots.swapaxes(1, 2)
    if "soft" in kind:
        data["labels"] = rng.uniform(0.5, 1.5, size=(180, N_COMPONENTS)) + 0.3 * np.eye(N_COMPONENTS)[component]
    elif "labels" in kind:
        data["labels"] = np.where(rng.random(180) < 0.1, component, -1)
    if "trim" in kind:
        rows[:8], parameters["trim"] = 30 * rng.normal(size=(8, N_FEATURES)), 0.05
    if "weights" in kind:
        data["sample_weight"] = rng.choice([0.5, 1.0, 3.0], size=180)
    if "prior" in kind:
        parameters["prior"] = "default"
    if "noise" in kind:
        rows[:10], parameters["noise"] = rng.uniform(-12, 12, size=(10, N_FEATURES)), True
    return factor * rows, data, parameters


def fitted(kind, factor, **parameters):
    rows, data, usual = table(kind, factor)
    return GaussianMixture(**(usual | parameters)).fit(rows, **data)


fitted_at_one = cache(partial(fitted, factor=1.0))


def both(kind, factor, **parameters):
    """Return the fit with a factor, and the same fit with the factor 1."""
    return fitted(kind, factor, **parameters), fitted_at_one(kind, **parameters)


def assert_scaled(found, expected, factor, tolerance, order=None):
    """Check that the fit `found` is `expected` in other units, up to a tolerance relative to the spread of the rows."""
    near = {"rtol": tolerance, "atol": 10 * tolerance}
    assert found.n_iter_ == expected.n_iter_
    one, other = (slice(None), slice(None)) if order is None else (order(found.means_), order(expected.means_))
    np.testing.assert_allclose(found.weights_[one], expected.weights_[other], **near)
    np.testing.assert_allclose(found.means_[one] / factor, expected.means_[other], **near)


@pytest.mark.heavy(n_default=4)
@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
@pytest.mark.parametrize("factor", POWERS)
@pytest.mark.parametrize(("start", "kind"), [case for case in CASES if case[0] != "search"])
def test_scaling_rows_by_a_power_of_two_changes_no_bit_of_an_initialisation(start, kind, factor):
    """ "search" is not tested, because its EM steps use log densities, which contain the logarithm of the unit."""
    found, expected = both(kind, factor, init_params=start, max_iter=0)
    np.testing.assert_array_equal(found.weights_, expected.weights_)
    np.testing.assert_array_equal(found.means_, factor * expected.means_)
    np.testing.assert_array_equal(found.covariances_, factor**2 * expected.covariances_)


@pytest.mark.heavy(n_default=4)
@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
@pytest.mark.parametrize(("start", "kind", "factor"), [(*case, factor) for case in CASES for factor in factors(*case)])
def test_initialisations_do_not_depend_on_the_unit(start, kind, factor):
    """Weights are fractions of the rows, so they would differ if a single row moved to another component."""
    found, expected = both(kind, factor, init_params=start, max_iter=0)
    assert_scaled(found, expected, factor, 1e-9 if "trim" in kind else 1e-12)


@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
@pytest.mark.parametrize("factor", [*POWERS, FEATURE_POWERS])
@pytest.mark.parametrize(
    ("kind", "n_components"), [*((kind, N_COMPONENTS) for kind in KINDS), ("trim", 1), ("errors", 1), ("missing", 1)]
)
def test_scaling_means_init_by_a_power_of_two_changes_no_bit(kind, n_components, factor):
    """The weights and covariances come from the rows nearest to each mean, with `trim` only from kept rows."""
    means = np.nan_to_num(table(kind, 1.0)[0][-n_components:])
    given = {"n_components": n_components, "max_iter": 0}
    found, expected = (fitted(kind, unit, means_init=unit * means, **given) for unit in (factor, 1.0))
    np.testing.assert_array_equal(found.weights_, expected.weights_)
    factors = np.broadcast_to(factor, N_FEATURES)
    np.testing.assert_array_equal(found.covariances_, np.outer(factors, factors) * expected.covariances_)


@pytest.mark.parametrize("factor", [2.0**-300, 1e-9, 1e6])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if " and " not in kind])
@pytest.mark.parametrize("structure", FAMILIES)
def test_a_fit_does_not_depend_on_the_unit(structure, kind, factor):
    found, expected = both(kind, factor, covariance_type=structure, init_params="kmeans")
    assert_scaled(found, expected, factor, 1e-7)


@pytest.mark.heavy(n_default=3)
@pytest.mark.parametrize("factor", [2.0**-300, 1e-9, 1e6])
@pytest.mark.parametrize("kind", [kind for start, kind in CASES if start == "search"])
@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_a_search_of_well_separated_groups_does_not_depend_on_the_unit(structure, kind, factor):
    """Rounding may decide which moves are accepted if groups overlap, but here only the order of components."""
    found, expected = both(kind, factor, covariance_type=structure, init_params="search")
    assert_scaled(found, expected, factor, 1e-7, order=lambda means: means[:, 0].argsort())


@pytest.mark.heavy(n_default=5)
@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
@pytest.mark.parametrize("max_iter", [19, 100])  # without and with a split-and-merge search
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("structure", EQUIVARIANT)
def test_the_default_initialisation_does_not_depend_on_the_units_of_features(structure, kind, max_iter):
    if kind == "prior" and FAMILIES[structure].equivariance is Equivariance.SCALING:
        return  # the default prior has one variance for all features
    settings = {"covariance_type": structure, "max_iter": max_iter}
    (found, scaled), (expected, rows) = (
        (fitted(kind, factor, **settings), table(kind, factor)[0]) for factor in (FEATURE_POWERS, 1.0)
    )
    np.testing.assert_array_equal(found.predict(scaled), expected.predict(rows))


@pytest.mark.parametrize("structure", FAMILIES)
def test_no_step_lowers_the_likelihood_of_features_with_very_different_units(structure):
    """A large feature may have such a small part in the axis of a small feature that rounding of the axis hides it."""
    gm = fitted("plain", np.array([1e9, 1.0, 1e-9]), covariance_type=structure, reg_covar=0.0, tol=1e-6, max_iter=200)
    assert gm.converged_
    assert (np.diff(gm.lower_bounds_) >= -1e-12 * np.abs(gm.lower_bound_)).all()


@pytest.mark.parametrize("structure", EQUIVARIANT)
def test_features_whose_variances_differ_more_than_float64_can_divide_have_the_same_fit(structure):
    """Shared volumes and shapes must not depend on the quotient of two variances, here 2^-1600, which underflows."""
    factors = np.array([2.0**400, 1.0, 2.0**-400])
    settings = {"init_params": np.arange(180) % N_COMPONENTS, "covariance_type": structure}
    assert_scaled(fitted("plain", factors, **settings), fitted("plain", 1.0, **settings), factors, 1e-9)


@pytest.mark.parametrize("factor", [2.0**-300, 2.0**300])
@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
@pytest.mark.parametrize("kind", ["missing", "errors"])
def test_sums_of_the_incomplete_engine_do_not_depend_on_the_unit(kind, structure, factor):
    """Check sums about the means and about another anchor."""
    spec, sums = FAMILIES[structure].moment_spec(None), []
    for mixture, unit in zip(both(kind, factor, covariance_type=structure, max_iter=0), (factor, 1.0), strict=True):
        rows, given, _ = table(kind, unit)
        block = Block(0, rows, error=given["X_error"] ** 2 if given else None)
        parameters = mixture.mixture_._model.parameters
        for anchor in parameters.means, parameters.means + unit:
            sums.append(IncompleteEngine(2).step(block, N_COMPONENTS, parameters, spec, anchor=anchor))
    for found, expected in zip(sums[:2], sums[2:], strict=True):
        np.testing.assert_allclose(found.mass, expected.mass, rtol=1e-11)
        np.testing.assert_allclose(found.first / factor, expected.first, rtol=1e-11, atol=1e-9)
        np.testing.assert_allclose(found.second / factor / factor, expected.second, rtol=1e-11, atol=1e-9)
