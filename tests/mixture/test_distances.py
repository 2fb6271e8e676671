"""Distances: closed forms, quadrature, an explicit transport problem, and laws over all structures."""

import re

import numpy as np
import pytest
from common import EPS, dense, families, overlapping, univariate
from exact_mixtures import ONE, OTHER, integral
from scipy import integrate, linalg, optimize, stats

from gaussmix import FAMILIES, Mixture
from gaussmix._src.mixture.compare.distances import METRICS, transport_cost


def density(mixture, points):
    """Compute p of points (…, n_features) by SciPy."""
    parts = zip(mixture.weights, mixture.means, dense(mixture), strict=True)
    return sum(weight * stats.multivariate_normal(mean, spread).pdf(points) for weight, mean, spread in parts)


def squared_bures(a, b):
    """Compute tr A + tr B − 2 tr (A^½ B A^½)^½, the usual formula."""
    root = linalg.sqrtm(a)
    return np.trace(a) + np.trace(b) - 2 * np.trace(linalg.sqrtm(root @ b @ root)).real


@pytest.mark.heavy
def test_l2_is_the_root_of_the_integrated_squared_error():
    exact = integral(lambda p, q: (p - q) ** 2, ONE, OTHER)
    assert ONE.distance(OTHER, "l2") == pytest.approx(np.sqrt(exact), rel=1e-13)


@pytest.mark.parametrize("name", ["full", "diag"])
def test_l2_and_cauchy_schwarz_distances_equal_their_integrals_in_two_dimensions(name):
    p, q = overlapping("p", FAMILIES[name], 2, 2), overlapping("q", FAMILIES["full"], 2, 2)
    # The trapezoidal rule is exact to rounding for smooth integrands that decay as fast as normal densities.
    grid = np.linspace(-16, 16, 641)
    points = np.stack(np.meshgrid(grid, grid), axis=-1)
    p_density, q_density = density(p, points), density(q, points)

    def integral(values):
        return integrate.trapezoid(integrate.trapezoid(values, grid), grid)

    assert p.distance(q, "l2") == pytest.approx(np.sqrt(integral((p_density - q_density) ** 2)), rel=1e-11)
    exact = -np.log(integral(p_density * q_density) / np.sqrt(integral(p_density**2) * integral(q_density**2)))
    assert p.distance(q, "cauchy_schwarz") == pytest.approx(exact, rel=1e-11)


@families
def test_mw2_of_single_gaussians_is_the_wasserstein_distance(family):
    p, q = overlapping("p", family, 1), overlapping("q", family, 1)
    squared = ((p.means - q.means) ** 2).sum() + squared_bures(dense(p)[0], dense(q)[0])
    assert p.distance(q, "mw2") == pytest.approx(np.sqrt(squared), rel=1e-9)


@families
def test_mw2_solves_the_transport_problem_of_delon_and_desolneux(family):
    """Compare with the paper's costs and a linear programme with all its constraints."""
    p, q = overlapping("p", family), overlapping("q", family, 2)
    costs = np.array(
        [
            [((m - n) ** 2).sum() + squared_bures(a, b) for n, b in zip(q.means, dense(q), strict=True)]
            for m, a in zip(p.means, dense(p), strict=True)
        ]
    )
    rows = [np.repeat(row, 2) for row in np.eye(3)]
    columns = [np.tile(column, 3) for column in np.eye(2)]
    plan = optimize.linprog(
        costs.ravel(), A_eq=np.array(rows + columns), b_eq=np.concatenate([p.weights, q.weights]), method="highs-ipm"
    )
    assert p.distance(q) == pytest.approx(np.sqrt(plan.fun), rel=1e-7)


def test_mw2_in_one_dimension_couples_sorted_means(rng):
    """Compare with W₂ of the points, which quantile functions give, because all spreads are equal."""
    weights, points = rng.dirichlet(np.full(20, 0.1), size=2), np.sort(rng.normal(size=(2, 20)))
    p, q = (Mixture(w, x[:, None], np.ones(20), FAMILIES["spherical"]) for w, x in zip(weights, points, strict=True))
    ends = [np.cumsum(w) for w in weights]
    steps = np.sort(np.concatenate(ends))
    middles = (steps[1:] + steps[:-1]) / 2
    at = [x[np.searchsorted(e, middles).clip(max=19)] for x, e in zip(points, ends, strict=True)]
    exact = np.sqrt(
        np.diff(steps) @ (at[0] - at[1])[: len(middles)] ** 2 + steps[0] * (points[0, 0] - points[1, 0]) ** 2
    )
    # The tolerance covers ε of the weights that move between the same two points in both ways, and of their sums.
    assert p.distance(q) == pytest.approx(exact, rel=1e-11)


def test_transport_cost_equals_the_optimal_assignment_of_equal_masses(rng):
    """Compare with SciPy's matching of 24 pieces with 24 others, because masses are multiples of 1/24."""
    for _ in range(100):
        n, m = rng.integers(1, 9, size=2)
        supply, demand = (rng.multinomial(24 - size, np.full(size, 1 / size)) + 1 for size in (n, m))
        costs = rng.random((n, m)) ** rng.choice([1, 8]) * 10.0 ** rng.choice([-30, 0, 30])
        of_pieces = costs[np.repeat(np.arange(n), supply)][:, np.repeat(np.arange(m), demand)]
        least = of_pieces[optimize.linear_sum_assignment(of_pieces)].sum() / 24
        assert transport_cost(costs, supply / 24, demand / 24) == pytest.approx(least, rel=100 * EPS)


def test_mw2_includes_components_of_tiny_weight():
    """Check three components of weight 1e-10 that move by 1000 / √3e-10, so that the distance is 1000."""
    weights, positions = [1 - 3e-10, 1e-10, 1e-10, 1e-10], np.array([[0.0], [1e9], [2e9], [3e9]])
    moved = positions + np.array([[0.0], [1.0], [1.0], [1.0]]) * 1000 / np.sqrt(3e-10)
    p, q = (Mixture(weights, means, np.ones(4), FAMILIES["spherical"]) for means in (positions, moved))
    # The means move by 6e7, and are rounded by 1e-7.
    assert p.distance(q) == pytest.approx(1000.0, rel=1e-13)


@pytest.mark.parametrize("percent", range(1, 100))
def test_mw2_to_a_mixture_with_a_duplicated_component_is_0(percent, rng):
    means, part = rng.normal(size=(2, 2)), percent / 100
    whole = Mixture([0.5, 0.5], means, [1.0, 2.0], FAMILIES["spherical"])
    split = Mixture([0.5 * part, 0.5 * (1 - part), 0.5], means[[0, 0, 1]], [1.0, 1.0, 2.0], FAMILIES["spherical"])
    # Weights are rounded by ε, and this weight may move between components.
    assert whole.distance(split) == pytest.approx(0.0, abs=np.sqrt(4 * EPS) * np.abs(means).max())
    nearly = Mixture(split.weights, split.means + 1e-9, split.covariances, split.family)
    assert whole.distance(nearly) < 1e-7


@families
@pytest.mark.parametrize("metric", METRICS)
def test_distances_are_symmetric_and_satisfy_the_triangle_inequality(family, metric):
    p, q, r = overlapping("p", family), overlapping("q", family, 2), overlapping("r", family, 4)
    turned = Mixture._from_model(p._model.take([2, 0, 1]))
    assert p.distance(p, metric) == 0
    # The order of the components changes ∫ p² by rounding errors, of which the distance is the root.
    assert turned.distance(p, metric) < np.sqrt(100 * EPS)
    assert p.distance(q, metric) == pytest.approx(q.distance(p, metric), rel=1e-9)
    assert p.distance(q, metric) == pytest.approx(turned.distance(q, metric), rel=1e-9)
    assert p.distance(q, metric) > 1e-3
    if metric != "cauchy_schwarz":
        assert p.distance(r, metric) < p.distance(q, metric) + q.distance(r, metric)


@pytest.mark.parametrize("nearness", [1e-3, 1e-6, 1e-9])
def test_mw2_of_nearly_equal_gaussians_keeps_its_precision(nearness, rng):
    """Check that the distance of Σ and (1 + δ)² Σ is δ √(tr Σ), because one is a scaled copy of the other."""
    root = rng.normal(size=(4, 9))
    covariance = root @ root.T
    p = Mixture([1.0], [np.zeros(4)], [covariance], FAMILIES["full"])
    q = Mixture([1.0], [np.zeros(4)], [(1 + nearness) ** 2 * covariance], FAMILIES["full"])
    exact = nearness * np.sqrt(np.trace(covariance))
    rounding = 20 * EPS * np.linalg.cond(covariance) / nearness
    assert p.distance(q) == pytest.approx(exact, rel=rounding + 1e-13)


@pytest.mark.parametrize("unit", [2.0**-480, 2.0**480])
def test_distances_scale_with_the_units(unit):
    p, q = (Mixture(m.weights, m.means * unit, m.covariances * unit * unit, m.family) for m in (ONE, OTHER))
    assert p.distance(q) / unit == pytest.approx(ONE.distance(OTHER), rel=1e-12)
    assert p.distance(q, "l2") * np.sqrt(unit) == pytest.approx(ONE.distance(OTHER, "l2"), rel=1e-12)
    assert p.distance(q, "cauchy_schwarz") == pytest.approx(ONE.distance(OTHER, "cauchy_schwarz"), rel=1e-12)


@pytest.mark.parametrize("unit", [1e-140, 1e200])
def test_mw2_is_accurate_although_its_square_overflows_or_underflows(unit):
    p, q = (univariate([0.5, 0.5], unit * means, [1e-300, 1e-300]) for means in (np.array([0, 1]), np.array([3, 4])))
    assert p.distance(q) == pytest.approx(3 * unit, rel=1e-12)


@pytest.mark.parametrize("unit", [2.0**-400, 2.0**400])
def test_an_l2_distance_that_overflows_float64_is_rejected(unit):
    p, q = (Mixture([1.0], np.full((1, 8), mean * unit), [unit * unit], FAMILIES["spherical"]) for mean in (0.0, 1.0))
    with pytest.raises(ValueError, match=r"The L2 distance is exp\(.*\), beyond the range of float64: rescale"):
        p.distance(q, "l2")
    assert p.distance(q, "cauchy_schwarz") == pytest.approx(2.0, rel=1e-12)  # exact value ¼ ‖μ − ν‖² / σ²


def test_mw2_matches_components_within_distant_groups(rng):
    """Check that rows are matched within groups, although these costs are only 1e-12 of the costs between groups."""
    one, other = np.sort(rng.normal(size=(2, 2, 10)), axis=2) + np.array([[0.0], [1e6]])
    p, q = (Mixture(np.full(20, 0.05), x.reshape(-1, 1), np.ones(20), FAMILIES["spherical"]) for x in (one, other))
    assert p.distance(q) == pytest.approx(np.sqrt(((one - other) ** 2).mean()), rel=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_distances_ignore_components_of_weight_0(metric):
    with_none = Mixture([0.0, 0.3, 0.7], [[50.0], [0.0], [2.5]], [1.0, 1.0, 0.25], FAMILIES["spherical"])
    assert with_none.distance(OTHER, metric) == ONE.distance(OTHER, metric)
    assert with_none.distance(ONE, metric) == 0


@pytest.mark.parametrize("metric", ["wasserstein2", ["mw2"]])
def test_an_unknown_metric_is_rejected(metric):
    message = f"metric={metric!r} is not one of 'mw2', 'l2', 'cauchy_schwarz'"
    with pytest.raises(ValueError, match=re.escape(message)):
        ONE.distance(OTHER, metric)


def test_mw2_accepts_rounded_weights_and_equal_components():
    typed = Mixture([0.3333333, 0.3333333, 0.3333333], [[0.0], [1.0], [2.0]], np.ones(3), FAMILIES["spherical"])
    thirds = Mixture(np.full(3, 1 / 3), typed.means, typed.covariances, typed.family)
    assert typed.distance(OTHER) == pytest.approx(thirds.distance(OTHER), rel=1e-12)
    one, other = (Mixture(weights, np.zeros((2, 1)), np.ones(2), typed.family) for weights in ([0.5, 0.5], [0.1, 0.9]))
    assert one.distance(other) == 0


def test_mw2_is_accurate_for_tiny_covariances():
    """Check components whose squared spreads vanish compared with others, although only they differ in the mixtures."""
    one, other = (
        Mixture([0.5, 0.5], np.zeros((2, 2)), [np.eye(2), 4.0**n * 1e-300 * np.eye(2)], FAMILIES["full"])
        for n in (0, 1)
    )
    assert one.distance(one) == 0
    assert one.distance(other) == pytest.approx(0.0, abs=1e-15)
    small, larger = (Mixture([1.0], np.zeros((1, 2)), m.covariances[1:], FAMILIES["full"]) for m in (one, other))
    assert small.distance(larger) == pytest.approx(1e-150 * np.sqrt(2), rel=1e-14)
