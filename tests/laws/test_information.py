"""Tests of the gradient and the information of the objective against numerical differences and closed forms."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from common import (
    ArraySource,
    CompleteEngine,
    Model,
    Objective,
    OptimalityCertificate,
    StopRule,
    Trace,
    checked,
    final_state,
    fit,
    run_em,
)

from gaussmix import FAMILIES, Dirichlet, FactorAnalyzer, Full, GaussianMixture, NormalInverseWishart, Restrictions
from gaussmix._src.em.curvature.certificate_cost import is_certificate_cheap
from gaussmix._src.em.curvature.certify import compute_certificate
from gaussmix._src.em.curvature.information import ObservedInformation

N_ROWS, K, D = 120, 2, 3
SMOOTH = [name for name, family in FAMILIES.items() if family.algebra is not None]
STEP = 2e-3  # step of differences, which have an error of STEP⁴ times fifth and sixth derivatives


def rows_of(n_features=D):
    rng = np.random.default_rng(3)
    groups = 1.5 * rng.normal(size=(K, n_features))[rng.integers(K, size=N_ROWS)]
    return (rng.normal(size=(N_ROWS, n_features)) + groups) @ rng.normal(size=(n_features, n_features))


def em_run(rows=None, n_steps=1, weight=None, labels=None, error=None, **parameters):
    """Return a problem, and the state after some steps of EM, which is not at a maximum."""
    rows = rows_of() if rows is None else rows
    parameters = {"n_components": K, "init_params": "kmeans", "random_state": 0} | parameters
    estimator = GaussianMixture(max_iter=n_steps, **parameters)
    problem, plan = checked(estimator, rows, weight, labels, error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return problem, fit(problem, plan).final_state


def information_of(problem, run, **options):
    arguments = run.model, problem.objective, run.trace, problem.source, problem.engine
    return ObservedInformation.at_model(*arguments, **options)


def certificate_of(problem, run):
    return compute_certificate(run.model, problem.objective, run.trace, problem.source, problem.engine)


def gain_and_label_changes(problem, run, tolerance):
    """Continue EM to `tolerance`; return the gain of the mean log density, and the fraction of labels that change."""
    rows, engine, trace = problem.source, problem.engine, Trace(frozen_components=run.trace.frozen_components)
    end = final_state(run_em(rows, engine, run.model, problem.objective, StopRule(tolerance, 20_000), trace=trace))
    before, after = run.model.parameters, end.model.parameters
    gain = engine.log_density(rows.whole, after).mean() - engine.log_density(rows.whole, before).mean()
    return gain, (engine.labels(rows.whole, before) != engine.labels(rows.whole, after)).mean()


def objective_of_rows(problem, run):
    """Return a function that computes the objective of each row at a model, with the ridge as a prior.

    The weight of the ridge in a component is proportional to the component's mass in the run.
    """
    whole, objective, n_components = problem.source.whole, problem.objective, run.model.n_components
    posterior, prior = problem.engine.responsibilities(whole, run.model.parameters), getattr(objective, "prior", None)
    degrees = 0.0 if prior is None else prior.dof(n_components)

    def objectives(model):
        traces = (model.covariances.ridge_precisions() * objective.ridge).sum(axis=1)
        prior_terms = objective.log_prior(model) - 0.5 * degrees * traces.sum()
        row_terms = problem.engine.log_density(whole, model.parameters) - 0.5 * posterior @ traces
        return row_terms + prior_terms / problem.source.row_totals.total_weight

    return objectives


def along(function, directions, weights):
    """Compute weighted sums of a function's values at steps along each direction, for central differences."""
    steps = STEP * np.arange(-2, 3)
    return np.array([sum(w * function(s * v) for s, w in zip(steps, weights, strict=True) if w) for v in directions])


def gradient_at_zero(function, size):
    """Compute the gradient of a function at 0, (size, ...)."""
    return along(function, np.eye(size), (1, -8, 0, 8, -1)) / (12 * STEP)


def second_derivatives(function, directions):
    """Compute the second derivatives of a function at 0 along directions (n, size)."""
    return along(function, directions, (-1, 16, -30, 16, -1)) / (12 * STEP**2)


def moved_from_maximum(problem, run):
    """Return the run with its model moved away from the end, so that the gradient is not 0."""
    at = information_of(problem, run).coordinates
    return run._replace(model=at.model_at(0.1 * np.random.default_rng(5).normal(size=at.n_parameters)))


def assert_close(problem, run):
    """Compare the gradient, the scores and the information at a point with central differences."""
    run = moved_from_maximum(problem, run)
    found, squared = information_of(problem, run), information_of(problem, run, are_frequency_weights=False)
    at, row_objective, weight = found.coordinates, objective_of_rows(problem, run), problem.source.whole.row_weight
    weight = np.ones(N_ROWS) if weight is None else weight
    scores = gradient_at_zero(lambda point: row_objective(at.model_at(point)), at.n_parameters)
    np.testing.assert_allclose(found.gradient, scores @ weight / weight.sum(), atol=1e-9)
    np.testing.assert_allclose(found.score_outer_product, scores * weight @ scores.T / weight.sum(), atol=1e-8)
    np.testing.assert_allclose(squared.score_outer_product, scores * weight**2 @ scores.T / weight.sum(), atol=1e-8)
    directions = np.random.default_rng(6).normal(size=(2 * at.n_parameters, at.n_parameters)) / np.sqrt(at.n_parameters)
    found_along = ((directions @ found.matrix) * directions).sum(axis=1)
    expected = -second_derivatives(lambda point: weight @ row_objective(at.model_at(point)) / weight.sum(), directions)
    np.testing.assert_allclose(found_along, expected, atol=1e-6 * np.abs(expected).max())
    return found


@pytest.mark.parametrize("family", SMOOTH)
def test_the_information_is_the_curvature_of_the_log_likelihood(family):
    problem, run = em_run(weight=np.random.default_rng(0).uniform(0.1, 3, N_ROWS), covariance_type=family, reg_covar=0)
    found = assert_close(problem, run)
    assert found.coordinates.n_parameters == problem.n_parameters
    assert np.abs(found.gradient).max() > 1e-3  # otherwise the test is trivial


@pytest.mark.heavy(n_default=4)
@pytest.mark.parametrize(
    "case",
    [
        {"prior": "default"},
        {"prior": "default", "covariance_type": "tied"},
        {"prior": NormalInverseWishart(shrinkage=0.5), "covariance_type": "VVE"},
        {"prior": "default", "covariance_type": "diag", "reg_covar": 0.2},
        {"prior": "default", "covariance_type": "spherical"},
        {"prior": Dirichlet(3.0), "noise": True},
        {"noise": True, "covariance_type": "EII"},
        {"reg_covar": 0.3, "covariance_type": "EEV"},
        {"reg_covar": 0.3, "covariance_type": "spherical"},
        {"labels": np.maximum(np.arange(N_ROWS) % 9 - 7, -1)},
    ],
    ids=str,
)
def test_information_with_priors_ridges_noise_and_labels_equals_differences(case):
    assert_close(*em_run(**case))


@pytest.mark.parametrize(
    ("restrictions", "n_fixed"),
    [
        (Restrictions(equal_weights=True), 1),
        (Restrictions(fixed_means=[0]), D),
        (Restrictions(fixed_covariances=[1]), D * (D + 1) // 2),
        (Restrictions(fixed_weights=[0]), 1),
    ],
    ids=["equal", "mean", "covariance", "weight"],
)
def test_fixed_parameters_are_not_coordinates_of_the_information(restrictions, n_fixed):
    start = {"means_init": rows_of()[:K], "weights_init": [0.3, 0.7], "covariances_init": 3 * np.array([np.eye(D)] * K)}
    start |= {"weights_init": [0.5, 0.5]} if restrictions.equal_weights else {}
    found = assert_close(*em_run(restrictions=restrictions, **start))
    assert found.coordinates.n_parameters == 19 - n_fixed


def incomplete(rows):
    return np.where(np.random.default_rng(1).random(rows.shape) < 0.2, math.nan, rows)


@pytest.mark.heavy(n_default=3)
@pytest.mark.parametrize("family", SMOOTH)
def test_information_with_missing_values_equals_differences(family):
    assert_close(*em_run(incomplete(rows_of()), weight=np.linspace(0.1, 3, N_ROWS), covariance_type=family, n_steps=3))


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("case", [{"noise": True}, {"prior": "default", "covariance_type": "diag"}, {}], ids=str)
def test_information_with_missing_values_and_labels_equals_differences(case):
    labels = np.maximum(np.arange(N_ROWS) % 9 - 7, -1)
    assert_close(*em_run(incomplete(rows_of()), labels=labels, n_steps=3, reg_covar=0.1, **case))


@pytest.mark.heavy(n_default=3)
@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical", "VVE"])
@pytest.mark.parametrize("is_matrix", [False, True], ids=["variances", "matrices"])
@pytest.mark.pairwise
def test_information_with_measurement_errors_equals_differences(family, is_matrix):
    rng = np.random.default_rng(2)
    roots = rng.normal(size=(N_ROWS, D, D))
    error = 0.3 * roots @ roots.swapaxes(1, 2) if is_matrix else rng.uniform(0.1, 1, (N_ROWS, D))
    assert_close(*em_run(error=error, covariance_type=family, n_steps=3))


FACTORS = [{}, {"noise": "isotropic"}, {"shared_loadings": True}, {"shared_noise": True}]
FACTORS += [{"shared_loadings": True, "shared_noise": True}]
WITH_FACTORS = [
    pytest.param(options, case, marks=[pytest.mark.heavy] if i % 3 != j else [], id=f"{i} {name}")
    for i, options in enumerate(FACTORS)
    for j, (name, case) in enumerate(
        {"plain": {"reg_covar": 0.0}, "ridge": {"reg_covar": 0.3}, "prior": {"prior": "default"}}.items()
    )
]


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize(("options", "case"), WITH_FACTORS)
def test_information_of_factor_analyzers_equals_differences(options, case):
    problem, run = em_run(rows_of(n_features=5), n_steps=5, covariance_type=FactorAnalyzer(2, **options), **case)
    assert assert_close(problem, run).coordinates.n_parameters == problem.n_parameters


BOUNDED = [(name, bound) for name in ("full", "tied", "diag", "spherical") for bound in (1.0, 1.5, 3.0)]


@pytest.mark.parametrize(("name", "bound"), BOUNDED)
def test_information_with_variances_at_a_bound_equals_differences(name, bound):
    """Variances at the bound move together and other variances freely; axes with different variances may rotate."""
    family = replace(FAMILIES[name], max_condition=bound)
    rows = np.random.default_rng(3).normal(size=(N_ROWS, D)) * [1.0, 1.5, 3.0]
    rows[::2] *= 2.0
    problem, run = em_run(rows + 4.0 * (np.arange(N_ROWS) % 2)[:, None], n_steps=20, covariance_type=family)
    bounds = assert_close(problem, run).coordinates.variances_at_bounds
    assert bounds is not None or (name, bound) == ("spherical", 3.0)


def test_a_bound_exceeded_only_by_rounding_does_not_prevent_a_certificate():
    """If variances may differ by a factor of 1e8, the smallest variances have a relative error of 1e-8."""
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(200, 2)) @ [[1.0, 0.9], [0.0, 1e-5]] + 5.0
    rows = np.concatenate((rng.normal(size=(300, 2)), flat, 0.1 * rng.normal(size=(150, 2)) + [9.0, 0.0]))
    family = replace(FAMILIES["full"], max_condition=1e8)
    gm = GaussianMixture(3, covariance_type=family, check_maximum=True, max_iter=500, random_state=0).fit(rows)
    assert gm.outcome_.is_maximum


@pytest.mark.parametrize(("name", "bound"), BOUNDED)
def test_the_remaining_gain_at_a_bound_predicts_the_gain_of_further_steps(name, bound):
    rows = np.random.default_rng(3).normal(size=(200, D)) * [1.0, 1.5, 3.0]
    rows += 4.0 * (np.arange(200) % 2)[:, None] * [1.0, 1.0, 0.0]
    problem, run = em_run(rows, n_steps=200, tol=1e-5, covariance_type=replace(FAMILIES[name], max_condition=bound))
    certificate = certificate_of(problem, run)
    assert certificate.is_maximum
    gain, _ = gain_and_label_changes(problem, run, 1e-14)
    assert certificate.remaining_gain == pytest.approx(gain, rel=0.2, abs=1e-9)


@pytest.mark.parametrize(("spread", "is_at_bounds"), [((1.0, 1.0, 1.0), False), ((0.3, 0.4, 3.0), True)])
def test_variances_at_a_bound_are_optimal_only_if_the_rows_exceed_the_bound(spread, is_at_bounds):
    """The variances 0.5, 0.5 and 1.5 are at the bound of 3; the variances of the rows are within or beyond it."""
    rows = np.random.default_rng(0).normal(size=(400, D)) * spread
    axes = np.linalg.qr(np.random.default_rng(1).normal(size=(D, D)))[0]
    family = Full(max_condition=3.0)
    covariances = family.covariances(((axes * [0.5, 0.5, 1.5]) @ axes.T)[None], 1, D)
    model = Model(np.ones(1), rows.mean(axis=0)[None] @ axes.T, covariances, family)
    fit_to_rows = model, Objective(np.zeros(D)), Trace(), ArraySource(rows @ axes.T), CompleteEngine(1)
    found = ObservedInformation.at_model(*fit_to_rows)
    assert found.coordinates.variances_at_bounds is not None
    assert found.is_optimal_at_bounds is is_at_bounds
    if not is_at_bounds:
        assert compute_certificate(*fit_to_rows) == OptimalityCertificate(False)


def test_the_information_is_the_curvature_of_the_trimmed_log_likelihood():
    """The trimmed likelihood chooses rows for each model, but is smooth if no row is near the cutoff."""
    rng, n_outliers = np.random.default_rng(1), N_ROWS // 10
    rows = rng.normal(size=(N_ROWS, 2)) + 2.5 * (np.arange(N_ROWS) % 2)[:, None]
    rows[:n_outliers] = 40.0 * rng.normal(size=(n_outliers, 2)) + 60.0
    problem, run = em_run(rows, trim=0.1, reg_covar=0.0, n_steps=5)
    run = moved_from_maximum(problem, run)
    found = information_of(problem, run)
    at, whole = found.coordinates, problem.data.make_source().whole

    def objective(point):
        """Compute the mean log density of the rows without the least likely tenth."""
        return np.sort(problem.engine.log_density(whole, at.model_at(point).parameters))[n_outliers:].mean()

    np.testing.assert_allclose(found.gradient, gradient_at_zero(objective, at.n_parameters), atol=1e-9)
    directions = np.random.default_rng(6).normal(size=(10, at.n_parameters)) / np.sqrt(at.n_parameters)
    found_along = ((directions @ found.matrix) * directions).sum(axis=1)
    np.testing.assert_allclose(found_along, -second_derivatives(objective, directions), rtol=1e-6, atol=1e-7)
    assert np.abs(found.gradient).max() > 1e-3


def test_information_counts_only_weights_that_restrictions_leave_free():
    rows = rows_of(n_features=2)
    fixed = {"restrictions": Restrictions(fixed_weights=[0]), "weights_init": [0.3, 0.4, 0.3]}
    assert assert_close(*em_run(rows, n_components=3, **fixed)).coordinates.n_parameters == 1 + 3 * 5
    equal = {"restrictions": Restrictions(equal_weights=True), "noise": True}
    assert assert_close(*em_run(rows, n_components=3, **equal)).coordinates.n_parameters == 1 + 3 * 5
    restricted = {"restrictions": Restrictions(min_weight=0.49)}
    assert assert_close(*em_run(rows, **restricted)).coordinates.n_parameters == 2 * 5


@pytest.mark.parametrize("family", ["full", "tied", "diag"])
def test_the_information_of_one_component_at_its_maximum_is_the_unit_matrix(family):
    """In units of the component, ½ tr(Σ⁻¹ dΣ Σ⁻¹ dΣ) + dμᵀ Σ⁻¹ dμ is the unit matrix; Magnus & Neudecker (1988)."""
    found = information_of(*em_run(n_components=1, n_steps=5, covariance_type=family, reg_covar=0.0))
    rounding = np.finfo(float).eps * np.linalg.cond(np.cov(rows_of().T))  # rounding of whitened rows
    np.testing.assert_allclose(found.matrix, np.eye(len(found.matrix)), atol=10 * rounding)
    np.testing.assert_allclose(found.gradient, 0, atol=10 * rounding)
    step, gain = found.newton_step
    assert gain < 100 * rounding**2 * len(step)
    assert np.abs(step).max() < 20 * rounding


def test_a_saddle_point_is_not_certified_as_a_maximum():
    """Two equal components between two groups gain nothing by an EM step, but much by moving apart."""
    rows = np.random.default_rng(0).normal(size=(200, 2)) + np.repeat([[-3.0, 0.0], [3.0, 0.0]], 100, axis=0)
    covariances = FAMILIES["full"].covariances(np.array([np.cov(rows.T, bias=True)] * 2), 2, 2)
    model = Model(np.array([0.5, 0.5]), np.array([rows.mean(axis=0)] * 2), covariances, FAMILIES["full"])
    source, engine = ArraySource(rows), CompleteEngine(1)
    found = ObservedInformation.at_model(model, Objective(np.zeros(2)), Trace(), source, engine)
    np.testing.assert_allclose(found.gradient, 0, atol=1e-14)
    assert found.newton_step is None
    assert compute_certificate(model, Objective(np.zeros(2)), Trace(), source, engine) == OptimalityCertificate(False)
    values, vectors = np.linalg.eigh(found.matrix)
    assert values[0] < -0.1
    higher = found.coordinates.model_at(0.1 * vectors[:, 0])  # a direction in which the likelihood rises
    before, after = (engine.log_density(source.whole, each.parameters).mean() for each in (model, higher))
    assert after > before


def cases(seed, number):
    """Yield fits of several kinds, which end near maxima, at saddle points and on ridges."""
    rng = np.random.default_rng(seed)
    for case in range(number):
        d, n_components, n_rows = int(rng.integers(1, 4)), int(rng.integers(2, 5)), int(rng.choice([150, 400, 1500]))
        family = str(rng.choice(["full", "tied", "diag", "spherical"] + ["VEE", "EEV", "VVE"] * (d > 1)))
        centres = rng.choice([1.0, 2.0, 4.0]) * rng.normal(size=(n_components, d))
        rows = centres[rng.integers(n_components, size=n_rows)] + rng.normal(size=(n_rows, d))
        tol = float(rng.choice([1e-3, 1e-4, 1e-5]))
        settings = {"covariance_type": family, "tol": tol, "n_components": n_components, "n_init": 1 + case % 2}
        try:
            yield em_run(rows, n_steps=200, **settings)
        except ValueError:  # there are too few rows
            continue


def test_the_remaining_gain_predicts_the_gain_of_further_steps():
    """Nine of ten fits must agree within a factor of 2; gains below 1e-9 nats depend on ridge and rounding."""
    ratios, errors, n_without_maximum = [], [], 0
    for problem, run in cases(0, 24):
        certificate = certificate_of(problem, run)
        if not certificate.is_maximum:
            assert certificate.is_maximum is False
            assert certificate.remaining_gain is certificate.label_change_fraction is None
            n_without_maximum += 1
            continue
        gain, label_changes = gain_and_label_changes(problem, run, 1e-12)
        ratios.append(max(certificate.remaining_gain, 1e-9) / max(gain, 1e-9))
        errors.append(abs(certificate.label_change_fraction - label_changes))
    assert len(ratios) > 8
    assert n_without_maximum > 4
    assert np.mean([0.5 <= ratio <= 2 for ratio in ratios]) >= 0.9
    assert np.median(errors) < 0.01


GROUPS = 3.0 * (np.arange(300) % 2)[:, None] * [1.0, 1.0, 0.0] + np.random.default_rng(0).normal(size=(300, D))


@pytest.mark.parametrize(
    "parameters",
    [
        {"rows": incomplete(GROUPS)},
        {"rows": GROUPS, "error": np.full(GROUPS.shape, 0.3)},
        {"rows": GROUPS, "covariance_type": FactorAnalyzer(1, noise="isotropic")},
    ],
    ids=["missing", "errors", "factors"],
)
def test_a_maximum_of_a_slow_fit_is_certified(parameters):
    problem, run = em_run(tol=1e-5, n_steps=500, **parameters)
    certificate = certificate_of(problem, run)
    assert certificate.is_maximum
    gain, label_changes = gain_and_label_changes(problem, run, 1e-13)
    assert gain > 1e-8  # otherwise the test is trivial
    assert certificate.remaining_gain == pytest.approx(gain, rel=0.3)
    assert certificate.label_change_fraction == pytest.approx(label_changes, abs=0.01)


def test_compute_certificate_states_why_a_structure_has_no_certificate():
    class Opaque(Full):
        """Structure without a description of its update."""

        algebra = None

    certificate = certificate_of(*em_run(covariance_type=Opaque()))
    assert certificate.why_not == "there is no formula for the structure Opaque()"
    for n_factors, n_features, counted in (2, D, "2 factors"), (1, 2, "1 factor"):
        certificate = certificate_of(*em_run(rows_of(n_features), covariance_type=FactorAnalyzer(n_factors)))
        assert certificate.why_not == f"the covariances do not determine the loadings of {counted}"


def test_rows_whose_squares_overflow_are_not_certified_as_a_maximum():
    """The model, which no fit would return, has a row at a distance of 1e200 standard deviations."""
    problem, run = em_run(reg_covar=0.0)
    rows = np.concatenate((rows_of(), np.full((1, D), 1e200)))
    certificate = compute_certificate(run.model, problem.objective, run.trace, ArraySource(rows), problem.engine)
    assert certificate == OptimalityCertificate(False)


def test_a_certificate_is_cheap_only_compared_with_many_steps():
    _, run = em_run()
    rows = ArraySource(np.zeros((10_000, D)))
    assert not is_certificate_cheap(run.model, rows, 100)
    assert is_certificate_cheap(run.model, rows, 10_000)
    few_rows = ArraySource(np.zeros((10, D)))
    assert not is_certificate_cheap(run.model, few_rows, 10_000)  # Python calls cost more than a fit of few rows
    rows.may_miss = True
    assert not is_certificate_cheap(run.model, rows, 10_000)


def test_a_converged_fit_with_a_ridge_is_certified_as_a_maximum():
    """The computed cost of a ridge is not exact, but this must not matter if nothing is left to gain."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(300, 2)), rng.normal(5, 1, size=(200, 2))])
    settings = {"tol": "auto", "n_init": 4, "init_params": "kmeans", "max_iter": 5_000, "random_state": 0}
    assert GaussianMixture(3, **settings).fit(rows).outcome_.is_maximum
