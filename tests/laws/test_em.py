"""Tests of EM for all covariance structures, engines and problems."""

import numpy as np
import pytest
from common import (
    EPS,
    ArraySource,
    FreezeReason,
    Objective,
    StopReason,
    StopRule,
    em_step,
    families,
    final_state,
    run_em,
)
from random_parameters import normal_and_equal_rows, unit_mixture

from gaussmix import FAMILIES, SingularCovarianceError
from gaussmix._src.testing.check_family import updated
from gaussmix._src.testing.check_fit import fit
from gaussmix.testing import PROBLEMS, Problem, check_monotone, check_relabelling

problems = pytest.mark.parametrize("problem", PROBLEMS)


@pytest.mark.pairwise
@problems
@families
def test_a_step_never_lowers_the_likelihood(family, problem, engine):
    check_monotone(family, engine, problem)


@pytest.mark.parametrize("problem", ["overlapping", "wide"])
@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if not family.is_shared])
def test_a_frozen_component_does_not_affect_shared_parameters_of_other_components(name, problem, engine):
    """If a frozen component took part, the step of the others would not maximise the likelihood, which could fall."""
    given = PROBLEMS[problem]
    start = mixture = given.start(FAMILIES[name])
    log_likelihoods = []
    for _ in range(20):
        moments, mixture, _ = em_step(given.source, engine, mixture, given.objective, {0: FreezeReason.COLLAPSED})
        log_likelihoods.append(moments.log_likelihood / moments.row_weight)
    assert mixture.means[0].tobytes() == start.means[0].tobytes()
    assert mixture.covariances.each[0].tobytes() == start.covariances.each[0].tobytes()
    # updates may miss gains of `Family.accuracy` ** 2
    assert (np.diff(log_likelihoods) >= -1e-12 * np.abs(log_likelihoods[:-1])).all()


@pytest.mark.heavy(n_default=89)
@pytest.mark.pairwise
@problems
@families
def test_relabelling_permutes_the_fitted_components(family, problem, engine):
    check_relabelling(family, engine, problem)


@pytest.mark.heavy(n_default=3)
@families
def test_weighted_rows_give_the_same_fit_as_repeated_rows(family, engine, rng):
    """Weights 2, 1 and 0 give the same fit, up to rounding, as rows that occur twice, once and not at all."""
    given = PROBLEMS["overlapping"]
    counts = rng.integers(0, 3, size=len(given.rows))
    start, stopping = given.start(family), StopRule(1e-6, 500)
    ways = (
        ArraySource(given.rows, counts.astype(np.float64)),
        ArraySource(given.rows.repeat(counts, axis=0)),
        ArraySource(rng.permutation(given.rows.repeat(counts, axis=0))),
    )
    (first, trace, _), *others = (
        final_state(run_em(source, engine, start, given.objective, stopping)) for source in ways
    )
    for mixture, other, _ in others:
        assert other.n_steps == trace.n_steps
        assert other.last_objective == pytest.approx(trace.last_objective, rel=1e-12)
        np.testing.assert_allclose(mixture.means, first.means, atol=1e-9)
        np.testing.assert_allclose(mixture.covariances.each, first.covariances.each, atol=1e-9)


def finite(mixture):
    return all(np.isfinite(values).all() for values in (mixture.weights, mixture.means, mixture.covariances.each))


@pytest.mark.parametrize("name", ["full", "diag", "spherical"])
def test_a_collapsed_component_is_frozen_and_reported(name, engine, rng):
    rows = normal_and_equal_rows(rng)
    family = FAMILIES[name]
    start = unit_mixture(family, [[0.0, 0.0], [6.0, 6.0]])
    states = run_em(ArraySource(rows), engine, start, Objective(np.zeros(2)), StopRule(1e-9, 200))
    mixture, trace, stop_reason = final_state(states)
    assert trace.frozen_components == {1: FreezeReason.COLLAPSED}
    assert stop_reason is StopReason.CONVERGED
    assert finite(mixture)
    assert np.isfinite(trace.log_likelihood).all()
    assert np.diff(trace.log_likelihood).min() > -1e-12


@pytest.mark.parametrize("name", ["full", "diag", "spherical"])
@pytest.mark.parametrize("location", [1 / 3, 1e6 / 3])
def test_rounding_of_the_mean_does_not_hide_a_singular_covariance(name, location, rng):
    """The computed mean of equal rows may differ from their value by rounding, so that a variance of ε² remains."""
    for n_equal_rows in range(3, 30):
        rows = np.concatenate([rng.normal(size=(60, 2)) + location, np.full((n_equal_rows, 2), location)])
        labels = np.repeat([0, 1], [60, n_equal_rows]).astype(np.int32)
        with pytest.raises(SingularCovarianceError) as caught:
            Problem(rows, None, labels).start(FAMILIES[name])
        assert caught.value.components == (1,)


@pytest.mark.pairwise
@pytest.mark.parametrize("distance", [2.0**5, 2.0**10, 2.0**20, 2.0**30])
@families
def test_covariances_of_distant_groups_keep_their_digits(family, distance, engine, rng):
    """The scatter within groups keeps its digits even if the scatter between groups is up to 1e18 times as large."""
    noise = np.round(rng.normal(size=(90, 2)) * 2.0**20) * 2.0**-20  # so that adding a mean is exact
    labels = (np.arange(90) % 3).astype(np.int32)
    given = Problem(noise + distance * np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 1.0]])[labels], None, labels)
    mixture, _, _ = fit(given, family, engine, n_steps=3)
    centred = [noise[labels == k] - noise[labels == k].mean(axis=0) for k in range(3)]
    scatters = np.array([u.T @ u for u in centred])
    expected, found = updated(family, np.full(3, 30.0), scatters).each, mixture.covariances.each
    if family.is_step:  # its covariances have not converged, but the variances are exact
        expected, found = np.diagonal(scatters, axis1=1, axis2=2) / 30, mixture.covariances.variances()
    # Cancellation by a factor of 1e3 is accepted (interfaces.parameters.MAX_CANCELLATION), and means are rounded to ε
    # times their size.
    tolerance = 1e4 * EPS + (2 * distance * EPS) ** 2
    tolerance = max(tolerance, family.accuracy)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@families
def test_a_component_that_loses_its_mass_is_frozen_and_reported(family, engine, rng):
    rows = rng.normal(size=(80, 2))
    start = unit_mixture(family, [[0.0, 0.0], [1.0, 0.0], [1e3, 0.0]])
    mixture, trace, _ = final_state(
        run_em(ArraySource(rows), engine, start, Objective(np.zeros(2)), StopRule(1e-9, 500))
    )
    assert trace.frozen_components == {2: FreezeReason.EMPTY}
    assert mixture.weights[2] == 0.0
    assert (mixture.means[2] == start.means[2]).all()
    assert finite(mixture)
    assert mixture.weights.sum() == pytest.approx(1.0, rel=1e-15)
    assert np.diff(trace.log_likelihood).min() > -1e-12


@families
def test_components_that_all_have_equal_rows_raise_or_end_as_degenerate(family, engine):
    rows = np.repeat([[0.0, 0.0], [3.0, 1.0]], 10, axis=0)
    labels = np.repeat([0, 1], 10).astype(np.int32)
    with pytest.raises(SingularCovarianceError, match=r"components 0, 1\."):
        Problem(rows, None, labels).start(family)
    start = unit_mixture(family, [[0.0, 0.0], [3.0, 1.0]])
    states = run_em(ArraySource(rows), engine, start, Objective(np.zeros(2)), StopRule(0.0, 200))
    mixture, trace, stop_reason = final_state(states)
    assert stop_reason is StopReason.DEGENERATE
    assert sorted(trace.frozen_components) == [0, 1]
    assert finite(mixture)


@pytest.mark.parametrize(
    ("n_steps", "gain", "stop_reason"),
    [
        (2, 0.99e-3, StopReason.CONVERGED),
        (2, -0.99e-3, StopReason.CONVERGED),
        (2, 1.01e-3, None),
        (9, 1.01e-3, None),
        (10, 1.01e-3, StopReason.STEP_LIMIT),
        (10, 0.99e-3, StopReason.CONVERGED),
        (2, np.inf, StopReason.NON_FINITE),
        (2, np.nan, StopReason.NON_FINITE),
    ],
)
def test_stop_rule_compares_the_gain_with_the_tolerance_and_the_steps_with_the_limit(n_steps, gain, stop_reason):
    assert StopRule(1e-3, 10).reason_after_step(n_steps, -5.0, -5.0 + gain) is stop_reason
