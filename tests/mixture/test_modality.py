"""Modes, and boundaries between the most probable components."""

import numpy as np
import pytest
from common import EPS, families, univariate

from gaussmix import FAMILIES, Mixture
from gaussmix.testing import PROBLEMS


@families
@pytest.mark.parametrize("problem", ["one feature", "separate", "overlapping", "wide", "unlike units"])
def test_modes_are_stationary_and_concave(family, problem):
    mixture = Mixture._from_model(PROBLEMS[problem].start(family))
    modes = mixture.modes()
    units = np.sqrt(mixture._model.covariances.variances()).min(axis=0)
    # The last step is below 1e-12 deviations; the gradient has the rounding of precisions times offsets.
    condition = max(np.linalg.cond(c / np.outer(units, units)) for c in mixture._model.covariances.dense())
    assert np.abs(mixture.gradient(modes.locations) * units).max() < 1e-11 * condition
    assert np.linalg.eigvalsh(mixture.hessian(modes.locations) * np.outer(units, units)).max() < 0
    np.testing.assert_array_equal(modes.log_density, np.sort(mixture.log_density(modes.locations))[::-1])
    assert modes.component_index.shape == (mixture.n_components,)
    # each mode is above the mean from which it was reached
    assert (modes.log_density[modes.component_index] >= mixture.log_density(mixture.means)).all()


@pytest.mark.parametrize("seed", range(10))
def test_modes_of_one_feature_agree_with_the_algorithm_for_several_features(seed):
    """Check that a second feature, equal in all components, changes nothing, but uses the code for several features."""
    rng = np.random.default_rng(seed)
    n_components = int(rng.integers(1, 8))
    weights, means = rng.dirichlet(np.ones(n_components)), rng.normal(scale=3, size=(n_components, 1))
    variances = rng.gamma(2.0, size=(n_components, 1)) + 0.1
    alone = Mixture(weights, means, variances, FAMILIES["diag"]).modes()
    both = Mixture(weights, np.hstack([means, 0 * means]), np.hstack([variances, 0 * means + 1]), FAMILIES["diag"])
    reached = np.unique(alone.component_index)
    np.testing.assert_allclose(both.modes().locations[:, 0], alone.locations[reached, 0], atol=1e-6)
    np.testing.assert_array_equal(both.modes().component_index, np.searchsorted(reached, alone.component_index))


def test_overlapping_components_share_a_mode():
    mixture = Mixture([0.4, 0.4, 0.2], [[0, 0], [1, 0], [9, 9]], [1.0, 1.0, 1.0], FAMILIES["spherical"])
    modes = mixture.modes()
    np.testing.assert_allclose(modes.locations, [[0.5, 0.0], [9.0, 9.0]], atol=1e-6)
    np.testing.assert_array_equal(modes.component_index, [0, 0, 1])


@pytest.mark.parametrize("n_features", [1, 2])
def test_modes_are_sorted_by_density_and_component_index_refers_to_this_order(n_features):
    means = np.array([0.0, 20.0, 40.0])[:, None] * np.eye(1, n_features)
    modes = Mixture([0.2, 0.5, 0.3], means, np.ones(3), FAMILIES["spherical"]).modes()
    np.testing.assert_allclose(modes.locations[:, 0], [20.0, 40.0, 0.0], atol=1e-9)
    np.testing.assert_array_equal(modes.component_index, [2, 0, 1])


def test_modes_of_narrow_components_are_distinct_next_to_a_wide_component():
    """Check modes that are six deviations of their components apart, but close in deviations of the wide component."""
    means = [[0.0, 0.0], [6e-4, 0.0], [0.0, 3.0]]
    modes = Mixture([0.3, 0.3, 0.4], means, [1e-8, 1e-8, 1.0], FAMILIES["spherical"]).modes()
    np.testing.assert_allclose(np.sort(modes.locations[:2, 0]), [0.0, 6e-4], atol=1e-9)


def test_modes_exclude_saddle_points():
    """Check that the middle is not reported as a mode, because by symmetry it is a saddle point."""
    mixture = Mixture([0.4999, 0.0002, 0.4999], [[-2, 0], [0, 0], [2, 0]], [1.0, 1.0, 1.0], FAMILIES["spherical"])
    modes = mixture.modes()
    assert len(modes.locations) == 2
    np.testing.assert_allclose(np.abs(modes.locations[:, 0]), 2, atol=0.01)


def test_a_density_with_a_flat_top_has_one_mode():
    """Check that two components exactly two deviations apart have one mode, where three derivatives are 0."""
    for mixture in (
        univariate([0.5, 0.5], [0, 2], [1, 1]),
        Mixture([0.5, 0.5], [[0, 0], [2, 0]], [1.0, 1.0], FAMILIES["spherical"]),
    ):
        np.testing.assert_allclose(mixture.modes().locations[:, 0], [1.0], atol=1e-3)


@pytest.mark.parametrize(
    ("weights", "means", "variances", "boundaries"),
    [
        ([0.5, 0.5], [0, 4], [1, 1], [2.0]),
        ([0.5, 0.5], [0, 0], [1, 1], []),
        ([1.0], [3], [1], []),
        ([0.3, 0.3, 0.4], [0, 0, 3], [1, 1, 1], [1.5 + np.log(0.3 / 0.4) / 3]),
        ([0.0, 0.5, 0.5], [1, 0, 3], [1, 1, 1], [1.5]),
        ([0.5, 0.5], [1e6, 1e6 + 1], [1, 1], [1e6 + 0.5]),
        ([0.9, 0.1], [0, 0], [1, 0.5], []),  # the narrow component has too little weight
        ([0.5, 0.5], [0, 0], [1, 4], [-np.sqrt(8 / 3 * np.log(2)), np.sqrt(8 / 3 * np.log(2))]),
        ([0.25, 0.5, 0.25], [-1, 0, 1], [1, 1, 1], [-0.5 - np.log(2), 0.5 + np.log(2)]),
        ([1 / 3, 1 / 3, 1 / 3], [-3, 0, 3], [1, 1, 1], [-1.5, 1.5]),
        ([0.5, 0.5], [3, 0], [1e30, 1e-60], [-np.sqrt(90 * np.log(10)) * 1e-30, np.sqrt(90 * np.log(10)) * 1e-30]),
    ],
)
def test_decision_boundary_equals_closed_forms(weights, means, variances, boundaries):
    actual = univariate(weights, means, variances).decision_boundary()
    np.testing.assert_allclose(actual, boundaries, rtol=16 * EPS, atol=16 * EPS * min(variances) ** 0.5)


@pytest.mark.parametrize("shift", [0.0, 0.3, 7.7])
def test_decision_boundary_is_one_point_if_three_components_meet_there(shift):
    # at 0, the middle component is as probable as both others
    weights = np.array([1.0, np.exp(-2.0), 1.0]) / (2 + np.exp(-2.0))
    actual = univariate(weights, np.array([-2.0, 0.0, 2.0]) + shift, [1, 1, 1]).decision_boundary()
    assert actual == pytest.approx([shift], abs=64 * EPS)


@pytest.mark.parametrize("seed", range(20))
def test_predictions_change_at_decision_boundaries(seed):
    rng = np.random.default_rng(seed)
    n_components = int(rng.integers(2, 9))
    variances = rng.gamma(1.0, size=n_components) + 1e-2
    if seed % 3 == 0:
        variances[:] = 1 + 1e-9 * variances  # nearly equal: one of two roots goes to infinity
    mixture = univariate(rng.dirichlet(np.ones(n_components)), rng.normal(scale=4, size=n_components), variances)
    boundaries = mixture.decision_boundary()
    labels = mixture.predict(np.add.outer(boundaries, [-1e-9, 1e-9]).reshape(-1, 1)).reshape(-1, 2)
    near = np.abs(boundaries) < 1e3  # where 1e-9 is more than rounding
    assert (labels[near, 0] != labels[near, 1]).all()
    grid = np.linspace(-20, 20, 20_001)
    n_changes = np.count_nonzero(np.diff(mixture.predict(grid[:, None])))
    assert n_changes <= np.count_nonzero(np.abs(boundaries) <= 20)


@pytest.mark.parametrize("distance", [1e17, 1e150, 1e200, 1e300])
def test_decision_boundary_is_exact_for_distant_components(distance):
    """Check distances d at which deviations are below the rounding of means and squares overflow: (d − x) / σ = ± x."""
    equal, unlike = (univariate([0.5, 0.5], [0.0, distance], [first, 1.0]).decision_boundary() for first in (1.0, 4.0))
    np.testing.assert_allclose(equal, [distance / 2], rtol=8 * EPS)
    np.testing.assert_allclose(unlike, [2 * distance / 3, 2 * distance], rtol=8 * EPS)


def test_decision_boundary_rejects_mixtures_of_several_features():
    with pytest.raises(ValueError, match="decision_boundary needs one feature, but this mixture has 2"):
        Mixture([1.0], [[0.0, 0.0]], [1.0], FAMILIES["spherical"]).decision_boundary()
