"""Tests of sums and densities of rows with missing values and errors against a simple evaluation row by row."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

NONE, DIAGONAL, FULL = 0, 2, 3
CUT = 60 * np.log(2)
LEAF_ROWS = 65_520


@dataclass(frozen=True)
class Problem:
    """Arguments of a step in its order, without the required moments and the number of threads."""

    rows: np.ndarray
    row_weight: np.ndarray | None
    log_prior: np.ndarray | None
    prior_indices: np.ndarray | None
    error: np.ndarray | None
    log_weight: np.ndarray
    means: np.ndarray
    factors: np.ndarray
    log_noise_density: float

    def step(self, target, second=FULL, n_threads=1):
        return target.step_incomplete(*self.__dict__.values(), second, n_threads)

    @property
    def density_arguments(self):
        return self.rows, self.log_prior, self.prior_indices, self.error, self.log_weight, self.means, self.factors

    def evaluate(self, target, n_threads=1):
        return target.evaluate_incomplete(*self.density_arguments, n_threads)

    def denoise(self, target, n_threads=1):
        return target.denoise(*self.density_arguments, n_threads)

    def replace(self, **changes):
        return replace(self, **changes)


@pytest.fixture
def make_problem(rng):
    """Return a function that makes problems with missing values and with errors None, "variances" or "full"."""

    def make(n_rows, n_features, n_components=3, missing=0.2, error=None, has_prior=True, has_noise=True):
        shape = (n_components, n_features)
        rows = 2 * rng.normal(size=(n_rows, n_features))
        rows[rng.uniform(size=rows.shape) < missing] = np.nan
        factors = 0.3 * np.tril(rng.normal(size=(*shape, n_features)) / np.sqrt(n_features)) + 1.5 * np.eye(n_features)
        roots = rng.normal(size=(n_rows, n_features, n_features)) / np.sqrt(n_features)
        errors = {
            None: None,
            "variances": rng.uniform(0, 2, rows.shape) * (rng.uniform(size=rows.shape) < 0.8),
            "full": roots @ roots.transpose(0, 2, 1),
        }
        log_prior = rng.choice([0, -1.5, -np.inf], size=(5, n_components + 1))
        log_prior[:, 0] = 0
        return Problem(
            rows=rows,
            row_weight=rng.integers(0, 4, n_rows) / 2,
            log_prior=log_prior if has_prior else None,
            prior_indices=rng.integers(-1, 5, n_rows).astype(np.int32) if has_prior else None,
            error=errors[error],
            log_weight=np.log(rng.dirichlet(np.ones(n_components))),
            means=rng.normal(size=shape),
            factors=factors,
            log_noise_density=-1.5 * n_features if has_noise else -np.inf,
        )

    return make


def conditional(problem, i, k):
    """Return log p(x, k) of a row with its prior, and mean (minus the mean of k) and covariance of the true row."""
    row, mean = problem.rows[i].astype(float), problem.means[k]
    inverse = np.linalg.inv(np.tril(problem.factors[k]))
    covariance = inverse @ inverse.T
    seen = ~np.isnan(row)
    error = np.zeros(covariance.shape)
    if problem.error is not None:
        error = problem.error[i] if problem.error.ndim == 3 else np.diag(problem.error[i])
    total = (covariance + error)[np.ix_(seen, seen)]
    regression = np.linalg.solve(total, covariance[seen]).T
    offset = (row - mean)[seen]
    distance = offset @ np.linalg.solve(total, offset)
    log_joint = problem.log_weight[k] - 0.5 * (distance + np.linalg.slogdet(total)[1] + seen.sum() * np.log(2 * np.pi))
    log_joint += prior_of(problem, i, k)
    return log_joint, regression @ offset, covariance - regression @ covariance[seen]


def prior_of(problem, i, k):
    index = i if problem.prior_indices is None else problem.prior_indices[i]
    if problem.log_prior is None or index < 0 or k == problem.log_prior.shape[1]:
        return 0.0
    return problem.log_prior[index, k]


def conditionals(problem):
    """Return log p(x, k), (n_rows, n_components + 1), with noise last, and means and covariances of the true rows."""
    n_rows, (n_components, n_features) = len(problem.rows), problem.means.shape
    log_joint = np.empty((n_rows, n_components + 1))
    means = np.empty((n_rows, n_components, n_features))
    covariances = np.empty((*means.shape, n_features))
    for i in range(n_rows):
        for k in range(n_components):
            log_joint[i, k], means[i, k], covariances[i, k] = conditional(problem, i, k)
        log_joint[i, -1] = problem.log_noise_density + prior_of(problem, i, n_components)
    return log_joint, means, covariances


def expected_step(problem):
    """Return results of a step: log-likelihood, masses, the mass of noise, and moments about the means."""
    log_joint, means, covariances = conditionals(problem)
    largest = log_joint.max(axis=1, keepdims=True)
    densities = np.where(log_joint - largest > -CUT, np.exp(log_joint - largest), 0)
    total = densities.sum(axis=1)
    weight = np.ones(len(densities)) if problem.row_weight is None else problem.row_weight
    weighted = weight[:, None] * densities / total[:, None]
    noise_mass, weighted = weighted[:, -1].sum(), weighted[:, :-1]
    first = np.einsum("ik,ikd->kd", weighted, means)
    second = np.einsum("ik,ikd,ike->kde", weighted, means, means) + np.einsum("ik,ikde->kde", weighted, covariances)
    return weight @ (largest[:, 0] + np.log(total)), weighted.sum(axis=0), noise_mass, first, second


def assert_close(found, expected, rtol=1e-10):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1.0, np.abs(b).max(initial=0)))


ERRORS = [None, "variances", "full"]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("n_features", [1, 2, 3, 4, 5, 6, 8, 9, 17])
def test_incomplete_step_equals_its_definition(target, make_problem, n_features, error):
    problem = make_problem(60, n_features, 3, 0.3, error)
    assert_close(problem.step(target), expected_step(problem))


@pytest.mark.parametrize("missing", [0.0, 0.05, 0.6, 1.0])
@pytest.mark.parametrize("n_components", [1, 8, 11])
def test_incomplete_step_equals_its_definition_for_any_missing_fraction(target, make_problem, missing, n_components):
    problem = make_problem(50, 6, n_components, missing)
    assert_close(problem.step(target), expected_step(problem))


def test_incomplete_step_leaves_out_moments_that_are_not_required(target, make_problem):
    problem = make_problem(100, 5)
    *others, full = problem.step(target)
    assert_close([*others, np.einsum("kii->ki", full)], problem.step(target, DIAGONAL), 0)
    *same, second = problem.step(target, NONE)
    assert_close(others, same, 0)
    assert second is None


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("n_features", [2, 7])
def test_incomplete_densities_equal_their_definition(target, make_problem, n_features, error):
    for has_prior in (False, True):
        problem = make_problem(120, n_features, 5, 0.1, error, has_prior)
        problem.rows[:50, 0] = np.nan  # many rows have the same pattern
        problem.rows[:50, 1:] = 1.0
        log_joint, *_ = conditionals(problem)
        np.testing.assert_allclose(problem.evaluate(target), log_joint[:, :-1], rtol=1e-10)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("n_features", [1, 2, 6])
def test_denoise_equals_its_definition(target, make_problem, n_features, error):
    problem = make_problem(40, n_features, 4, 0.3, error)
    log_joint, means, covariances = conditionals(problem.replace(log_noise_density=-np.inf))
    responsibilities = np.exp(log_joint - np.logaddexp.reduce(log_joint, axis=1, keepdims=True))[:, :-1]
    means += problem.means
    mean = np.einsum("ik,ikd->id", responsibilities, means)
    spread = means - mean[:, None]
    covariance = np.einsum("ik,ikde->ide", responsibilities, covariances + spread[..., None] * spread[..., None, :])
    assert_close(problem.denoise(target), (mean, covariance))


def test_denoise_keeps_observed_values_without_error(target, make_problem):
    problem = make_problem(30, 4)
    means, covariances = problem.denoise(target)
    seen = ~np.isnan(problem.rows)
    np.testing.assert_array_equal(means[seen], problem.rows[seen])
    assert not covariances[seen].any()


@pytest.mark.parametrize("error", ERRORS)
def test_incomplete_step_has_the_same_bits_for_any_layout_and_dtype(target, make_problem, same_bits, error):
    """Check float32 rows, any strides, one common error, and any values in the upper triangles of factors."""
    problem = make_problem(90, 5, error=error)
    problem = problem.replace(rows=problem.rows.astype(np.float32))
    expected = problem.replace(rows=problem.rows.astype(np.float64)).step(target)
    same_bits(problem.step(target), expected)
    same_bits(problem.replace(rows=np.asfortranarray(problem.rows)).step(target), expected)
    same_bits(problem.replace(rows=np.repeat(problem.rows, 2, axis=1)[:, ::2]).step(target), expected)
    same_bits(problem.replace(factors=problem.factors + np.triu(np.ones((5, 5)), 1)).step(target), expected)
    if error is not None:
        common = np.broadcast_to(problem.error[0], problem.error.shape)
        same_bits(problem.replace(error=common).step(target), problem.replace(error=common.copy()).step(target))
        fortran = np.asfortranarray(problem.error)
        same_bits(problem.replace(error=fortran).step(target), expected)


@pytest.mark.parametrize("error", ERRORS)
def test_overflowing_distances_of_incomplete_rows_give_finite_densities(target, make_problem, error):
    problem = make_problem(20, 2, 3, 0.0, error, has_prior=False, has_noise=False)
    problem.rows[3] = 1e200, np.nan
    np.testing.assert_array_equal(problem.evaluate(target)[3], -0.5 * np.finfo(np.float64).max)
    assert np.isfinite(problem.step(target)[1]).all()


def test_indices_of_priors_give_the_same_bits_as_one_prior_per_row(target, make_problem, same_bits):
    problem = make_problem(90, 3)
    table = np.vstack([problem.log_prior, np.zeros((1, 4))])[problem.prior_indices]
    same_bits(problem.replace(log_prior=table, prior_indices=None).step(target), problem.step(target))


def test_measurement_errors_of_missing_values_have_no_effect(target, make_problem, same_bits):
    for error in ("variances", "full"):
        problem = make_problem(50, 4, error=error)
        missing = np.isnan(problem.rows)
        if error == "full":
            missing = missing[:, :, None] | missing[:, None, :]
        error_with_nan = np.where(missing, np.nan, problem.error)
        same_bits(problem.replace(error=error_with_nan).step(target), problem.step(target))


def test_incomplete_step_supports_more_than_64_features(target, make_problem):
    """Check patterns that differ beyond the first word of a mask."""
    problem = make_problem(90, 70, 2, 0.0, has_noise=False)
    problem.rows[:40, 66] = np.nan
    problem.rows[40:80, 67:] = np.nan
    assert_close(problem.step(target), expected_step(problem), 1e-9)


@pytest.mark.parametrize("error", ERRORS)
def test_incomplete_results_have_the_same_bits_on_every_instruction_set(check_targets, make_problem, error):
    for n_features in (1, 2, 4, 5, 8, 9, 13):
        problem = make_problem(150, n_features, 9, 0.15, error)
        problem.rows[50:] = np.where(np.isnan(problem.rows[3]), np.nan, np.nan_to_num(problem.rows[50:]))
        for method in (problem.step, problem.denoise, problem.evaluate):
            check_targets(method)


def with_few_patterns(problem, rng):
    patterns = rng.uniform(size=(40, problem.rows.shape[1])) < 0.2
    return problem.replace(rows=np.where(patterns[rng.integers(40, size=len(problem.rows))], np.nan, problem.rows))


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("error", [None, "variances"])
def test_incomplete_results_have_the_same_bits_for_any_number_of_threads(target, make_problem, rng, same_bits, error):
    problem = with_few_patterns(make_problem(70_001, 3, 5, 0.001, error), rng)
    expected = problem.step(target)
    for n_threads in (2, 5):
        same_bits(problem.step(target, n_threads=n_threads), expected)
        same_bits([problem.evaluate(target, n_threads)], [problem.evaluate(target)])


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("error", [None, "variances"])
def test_incomplete_sums_of_leaves_merge_to_the_sums_of_all_rows(target, make_problem, rng, error):
    """Check that two leaves and a part of a third, as nodes of the tree, merge to the bits of one call."""
    problem = with_few_patterns(make_problem(2 * LEAF_ROWS + 1_000, 2, 2, 0.0, error, has_prior=False), rng)

    def step_of(rows):
        error = None if problem.error is None else problem.error[rows]
        return problem.replace(rows=problem.rows[rows], row_weight=problem.row_weight[rows], error=error).step(target)

    node, rest = step_of(slice(2 * LEAF_ROWS)), step_of(slice(2 * LEAF_ROWS, None))
    for whole, a, b in zip(problem.step(target), node, rest, strict=True):
        np.testing.assert_array_equal(whole, a + b)


def test_incomplete_step_rejects_invalid_arguments(target, make_problem):
    problem = make_problem(10, 3)
    bad = {
        "means": np.zeros((3, 2)),
        "factors": np.zeros((3, 3, 2)),
        "error": np.zeros((10, 2)),
        "row_weight": np.zeros(9),
        "log_prior": np.zeros((5, 2)),
        "prior_indices": np.zeros(9, dtype=np.int32),
    }
    for name, value in bad.items():
        with pytest.raises(ValueError, match=name.rstrip("s")):
            problem.replace(**{name: value}).step(target)
    with pytest.raises(ValueError, match="error covariances"):
        problem.replace(error=np.zeros((10, 3, 2))).step(target)
    with pytest.raises(ValueError, match="second"):
        problem.step(target, 1)
