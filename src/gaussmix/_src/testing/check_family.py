"""Checks of a covariance structure: its `update` must maximise the likelihood, and its properties must be correct."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from gaussmix._src.covariances import Covariances
from gaussmix._src.engines import complete_engine
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.moments import Scatter
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.testing.check_covariances import check_covariances
from gaussmix._src.testing.check_fit import check_equivariance, check_monotone
from gaussmix._src.testing.closeness import EPS, assert_close

SHAPES = [(1, 1), (3, 1), (1, 3), (2, 2), (3, 4), (2, 6)]  # pairs (n_components, n_features)
GAIN = 1e-12  # allowed loss of expected log-likelihood, in nats per unit of row weight and per feature
DIFF_STEP = 1e-5  # step of numerical differentiation, which has relative errors of DIFF_STEP² and ε / DIFF_STEP
SLOPE = 1e-7  # maximum slope that counts as 0, at least 1000 times the errors DIFF_STEP² and ε / DIFF_STEP


def check_family(family: Family, rng: np.random.Generator) -> None:
    """Check that a covariance structure meets the requirements in the docstrings of `Family`, and works in EM.

    Parameters
    ----------
    family : the covariance structure to check.
    rng : random generator that draws the scatter matrices for the checks.

    Raises
    ------
    AssertionError : a check failed; the message describes the failure.
    """
    for n_components, n_features in SHAPES:
        check_shapes(family, n_components, n_features, rng)
        if not family.is_step:
            check_update_is_a_maximum(family, n_components, n_features, rng)
        check_exact_moments(family, n_components, n_features, rng)
        check_warm_start(family, n_components, n_features, rng)
        check_singular(family, n_components, n_features, rng)
        check_ridge(family, n_components, n_features, rng)
        check_algebra(family, n_components, n_features, rng)
        check_n_parameters(family, n_components, n_features, rng)
    check_equivariance(family, complete_engine(1), rng)
    check_monotone(family, complete_engine(1), "overlapping")


def random_scatters(rng: np.random.Generator, n_components: int, n_features: int) -> tuple[Array, Array]:
    """Draw total weights (K,) and positive definite scatter matrices (K, d, d) of different magnitudes."""
    mass = rng.uniform(5.0, 50.0, size=n_components)
    factors = rng.normal(size=(n_components, n_features, n_features)) / np.sqrt(n_features)
    covariances = factors @ factors.transpose(0, 2, 1) + 0.3 * np.eye(n_features)
    covariances *= rng.uniform(0.3, 3.0, size=(n_components, 1, 1))
    return mass, mass[:, None, None] * covariances


def as_needed(family: Family, mass: Array, full: Array, current: Covariances | None = None) -> Scatter:
    """Convert full scatter matrices to the moments that the structure needs to update the covariances `current`."""
    spec = family.moment_spec(current)
    return Scatter(mass, spec.reduce(full), full.shape[1], spec)


def updated(family: Family, mass: Array, full: Array) -> Covariances:
    """Return the covariances after `n_first_updates` updates: the maximum of the likelihood unless `family.is_step`."""
    covariances: Covariances | None = None
    for _ in range(family.n_first_updates):
        covariances = family.update(as_needed(family, mass, full, covariances), covariances)
    assert covariances is not None, "n_first_updates is at least 1"
    return covariances


def expected_log_likelihood(dense: Array, mass: Array, full: Array) -> float:
    """Return −½ Σ_k (N_k log det Σ_k + tr Σ_k⁻¹ S_k) in nats, the terms of Bishop (2006) eq. 9.40 that depend on Σ."""
    log_det = np.linalg.slogdet(dense)[1]
    traces = np.trace(np.linalg.solve(dense, full), axis1=1, axis2=2)
    return float(-0.5 * (mass * log_det + traces).sum())


def check_shapes(family: Family, n_components: int, n_features: int, rng: np.random.Generator) -> None:
    """Check that `update` returns valid covariances of the class and the size that the structure declares."""
    covariances = updated(family, *random_scatters(rng, n_components, n_features))
    actual = type(covariances), covariances.is_shared, covariances.n_components, covariances.n_features
    if actual != (family.kind, family.is_shared, n_components, n_features):
        raise AssertionError(f"update returned kind, is_shared, K, d = {actual}, which differ from the structure's")
    assert_close(covariances.array.shape, family.shape(n_components, n_features), 0.0, 1.0, "shape of update")
    back = family.covariances(covariances.array, n_components, n_features)
    assert_close(back.each, covariances.each, 0.0, 1.0, "covariances from their array")
    check_covariances(covariances, rng)


def check_update_is_a_maximum(family: Family, n_components: int, n_features: int, rng: np.random.Generator) -> None:
    """Check that `update`, from the best initial covariances, reaches the largest expected log-likelihood."""
    mass, full = random_scatters(rng, n_components, n_features)
    actual, scatter = updated(family, mass, full), as_needed(family, mass, full)

    def value(other: Array) -> float:  # expected log-likelihood, for `full`, of the update from the scatter `other`
        covariances = family.update(as_needed(family, mass, other), actual)
        return expected_log_likelihood(covariances.dense(), mass, full)

    # Structures with shared axes have several local maxima, which EM finds from other initial covariances.
    others = (family.update(scatter, each) for each in family.other_initial_covariances(scatter))
    best = max([value(full), *(expected_log_likelihood(each.dense(), mass, full) for each in others)])
    size = float(mass.sum()) * n_features
    for nudge in _nudges(mass, n_features):
        slope = (value(full + nudge) - value(full - nudge)) / (2 * DIFF_STEP)
        if abs(slope) > SLOPE * size:
            raise AssertionError(
                f"the expected log-likelihood has slope {abs(slope):.3g} in a direction that the structure allows"
            )
    for distance, _ in product((1e-2, 0.1, 1.0), range(5)):
        _, noise = random_scatters(rng, n_components, n_features)
        gain = value(full + distance * noise) - best
        if gain > GAIN * size:
            raise AssertionError(f"other covariances give {gain:.3g} nats more than `update`, at distance {distance:g}")


def _nudges(mass: Array, n_features: int) -> Iterator[Array]:
    """Yield one small change of the scatter matrices (K, d, d) for each of their K d (d + 1) / 2 free entries."""
    for k, i, j in product(range(len(mass)), range(n_features), range(n_features)):
        if j <= i:
            nudge = np.zeros((len(mass), n_features, n_features))
            nudge[k, i, j] = nudge[k, j, i] = DIFF_STEP * mass[k]
            yield nudge


def check_exact_moments(family: Family, n_components: int, n_features: int, rng: np.random.Generator) -> None:
    """Check that `update` returns the covariances Σ_k if the scatter matrices are N_k Σ_k."""
    mass, full = random_scatters(rng, n_components, n_features)
    scatter = as_needed(family, mass, full)
    for covariances in (family.update(scatter, None), *family.other_initial_covariances(scatter)):
        moments = mass[:, None, None] * covariances.dense()
        if family.is_step:
            back = family.update(as_needed(family, mass, moments, covariances), covariances)
        else:
            back = updated(family, mass, moments)
        # Because the likelihood is flat at its maximum, covariances with a relative error of √GAIN lose only a fraction
        # GAIN of the likelihood.
        size = np.abs(covariances.each).max()
        assert_close(back.each, covariances.each, np.sqrt(GAIN), size, "covariances of the model's own moments")


def check_warm_start(family: Family, n_components: int, n_features: int, rng: np.random.Generator) -> None:
    """Check that `update` never lowers the likelihood of current covariances, and does not change its own result."""
    shape = n_components, n_features
    last = updated(family, *random_scatters(rng, *shape))
    for distance in (1.0, 1e-3):
        mass, full = random_scatters(rng, *shape)
        point = (1 - distance) * mass[:, None, None] * last.dense() + distance * full
        scatter = as_needed(family, mass, point, last)
        actual = family.update(scatter, last)
        before, after = (expected_log_likelihood(c.dense(), mass, point) for c in (last, actual))
        size = float(mass.sum()) * n_features
        if after < before - GAIN * size:
            raise AssertionError(f"`update` lowers the expected log-likelihood by {before - after:.3g} nats")
        again = expected_log_likelihood(family.update(scatter, actual).dense(), mass, point)
        if abs(again - after) > GAIN * size and not family.is_step:
            raise AssertionError(f"`update` changes the log-likelihood of its own result by {again - after:.3g} nats")
        last = actual


def check_singular(family: Family, n_components: int, n_features: int, rng: np.random.Generator) -> None:
    """Check that singular scatter matrices give finite covariances and whitening factors, or the right error.

    The right error is a SingularCovarianceError that lists the components with singular covariances.
    """
    mass, full = random_scatters(rng, n_components, n_features)
    line = rng.normal(size=n_features)
    for one in (np.multiply.outer(line, line), np.zeros((n_features, n_features)), np.diag(np.eye(n_features)[0])):
        for all_of_them in (False, True):
            poor = np.repeat(one[None], n_components, axis=0) if all_of_them else np.concatenate((one[None], full[1:]))
            try:
                covariances = updated(family, mass, poor)
                if not np.isfinite(covariances.each).all():
                    raise AssertionError("`update` returns NaN or infinity for singular scatter matrices")
                usable = bool(np.isfinite(covariances.whitening.factors).all())
            except SingularCovarianceError as error:
                usable = bool(error.components)
            if not usable:
                raise AssertionError("singular scatter must give finite whitening factors, or an error with indices")


def check_ridge(family: Family, n_components: int, n_features: int, rng: np.random.Generator) -> None:
    """Check that a ridge (`reg_covar`) increases Σ_k N_k log |Σ_k|.

    The check uses Σ_k N_k log |Σ_k|, because a single variance may decrease if components share volumes or shapes.
    """
    mass, full = random_scatters(rng, n_components, n_features)
    scatter = as_needed(family, mass, full)
    ridged = scatter.with_ridge(rng.uniform(0.5, 1.0, n_features))
    dense = (family.update(each, None).dense() for each in (scatter, ridged))
    before, after = ((mass * np.linalg.slogdet(each)[1]).sum() for each in dense)
    if not after > before:
        raise AssertionError("a ridge on every feature does not raise the sum of N_k log |Σ_k| over components")


def check_algebra(family: Family, n_components: int, n_features: int, rng: np.random.Generator) -> None:
    """Check that `update` agrees with the covariances that the C++ core computes from `algebra`."""
    if family.algebra is None:
        return
    scatter = as_needed(family, *random_scatters(rng, n_components, n_features))
    expected, actual = family.update(scatter, None), Family.update(family, scatter, None)
    tolerance = max(8 * n_components * n_features**2 * EPS, family.accuracy)
    assert_close(actual.array, expected.array, tolerance, np.abs(expected.each).max(), "covariances by the algebra")


def check_n_parameters(family: Family, n_components: int, n_features: int, rng: np.random.Generator) -> None:
    """Check that `n_parameters` equals the number of directions in which covariances of the structure can vary.

    The number of directions is the rank of the derivative of the covariances with respect to the scatter matrices. At a
    few scatter matrices the derivative is nearly singular, so the check uses the largest of up to five ranks.
    """
    claimed = family.n_parameters(n_components, n_features)
    if not isinstance(claimed, int):
        raise AssertionError(f"n_parameters({n_components}, {n_features}) is {claimed!r}, which is not an int")
    rank = 0
    for _ in range(5):
        rank = max(rank, _rank_of_update(family, n_components, n_features, rng))
        if rank >= claimed:
            break
    if rank != claimed:
        raise AssertionError(
            f"n_parameters({n_components}, {n_features}) is {claimed}, but covariances vary in {rank} directions"
        )


def _rank_of_update(family: Family, n_components: int, n_features: int, rng: np.random.Generator) -> int:
    """Return the rank of the derivative of `update` with respect to random scatter matrices."""
    mass, full = random_scatters(rng, n_components, n_features)
    actual, columns = updated(family, mass, full), []
    for nudge in _nudges(mass, n_features):
        scatters = (as_needed(family, mass, full + n, actual) for n in (nudge, -nudge))
        ends = (family.update(each, actual).dense() for each in scatters)
        columns.append(np.subtract(*ends).ravel() / (2 * DIFF_STEP))
    singular_values = np.linalg.svd(np.array(columns), compute_uv=False)
    return int((singular_values > 1e-6 * singular_values[0]).sum())
