"""Tests of one EM step with any combination of options, against a reference that computes row by row."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from common import MomentSpec, Second, family_named
from numpy.typing import NDArray
from oracle.em_by_rows import Sums, about_new_means, expect
from sklearn.base import clone

from gaussmix import GaussianMixture, Noise, NormalInverseWishart, Restrictions
from gaussmix.extend import Family, Scatter

Array = NDArray[np.float64]
STRUCTURES = ["full", "tied", "diag", "spherical", "EII", "EEI", "VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV"]
N_ROWS, N_FEATURES, N_COMPONENTS = 40, 3, 2
PRIOR: dict[str, Any] = {
    "prior": NormalInverseWishart(
        [1.0, 0.0, -1.0], 2.0, [[3.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 2.0]], 6.0, [3.0, 2.0]
    ),
    "restrictions": Restrictions(min_weight=0.4, fixed_means=[1]),
}


def _rows(rng: np.random.Generator) -> Array:
    mixing = rng.normal(size=(N_COMPONENTS, N_FEATURES, N_FEATURES))
    label = rng.integers(N_COMPONENTS, size=N_ROWS)
    rows: Array = np.einsum("nij,nj->ni", mixing[label], rng.normal(size=(N_ROWS, N_FEATURES))) + 2.0 * label[:, None]
    return rows


def _with_missing_values(rows: Array, rng: np.random.Generator) -> Array:
    incomplete = np.where(rng.random(rows.shape) < 0.25, np.nan, rows)
    incomplete[0], incomplete[1] = np.nan, rows[1]  # a row without values, and a complete row
    return incomplete


def _errors(rng: np.random.Generator) -> Array:
    roots = 0.4 * rng.normal(size=(N_ROWS, N_FEATURES, N_FEATURES))
    return np.einsum("nij,nkj->nik", roots, roots)


def _start(rng: np.random.Generator, family: Family) -> dict[str, Array]:
    roots = rng.normal(size=(N_COMPONENTS, N_FEATURES, N_FEATURES)) + 2 * np.eye(N_FEATURES)
    dense = np.einsum("kij,klj->kil", roots, roots)
    means = rng.normal(size=(N_COMPONENTS, N_FEATURES)) + np.array([[0.0], [2.0]])
    covariances = family.update(_scatter(family.moment_spec(None), np.full(N_COMPONENTS, 30.0), 30.0 * dense), None)
    return {"weights_init": np.array([0.4, 0.6]), "means_init": means, "covariances_init": covariances.array}


def _scatter(spec: MomentSpec, mass: Array, second: Array) -> Scatter:
    """Convert scatter matrices (K, d, d) to the moments that a structure needs."""
    diagonal = np.einsum("kii->ki", second)
    made = {Second.TRACE: diagonal.sum(axis=1), Second.DIAGONAL: diagonal, Second.FULL: second}[spec.second]
    return Scatter(mass, made.sum(axis=0) if spec.is_pooled else made, second.shape[1], spec)


def _assert_one_step(structure: str, features: frozenset[str], rng: np.random.Generator, **bound: float) -> None:
    rows, fit_data, expect_data = _rows(rng), dict[str, Any](), dict[str, Any]()
    options: dict[str, Any] = {}
    family = family_named(structure, **bound)
    start = _start(rng, family)
    if "missing" in features:
        rows = _with_missing_values(rows, rng)
    if "weights" in features:
        fit_data["sample_weight"] = expect_data["row_weight"] = rng.uniform(0.1, 3.0, N_ROWS)
    if "errors" in features:
        fit_data["X_error"] = expect_data["error"] = _errors(rng)
    if "trim" in features:
        expect_data["trim"] = options["trim"] = 0.17
    if "labels" in features:
        prior = rng.uniform(0.05, 1.0, size=(N_ROWS, N_COMPONENTS + ("noise" in features)))
        fit_data["labels"], expect_data["log_prior"] = prior, np.log(prior / prior.max(axis=1, keepdims=True))
    if "prior" in features:
        options |= PRIOR
    if "noise" in features:
        options["noise"] = Noise(0.2, BOX)
        if "prior" in features:  # weights have no prior here, because they include the weight of noise
            options["prior"] = clone(PRIOR["prior"]).set_params(weights=None)
            options["restrictions"] = Restrictions(fixed_means=[1])
        expect_data |= {"sides": BOX[1] - BOX[0], "noise_density": 0.2 / np.prod(BOX[1] - BOX[0])}
    options |= {"covariance_type": family, "reg_covar": 0.0, "max_iter": 1, "tol": 0.0}
    fitted = GaussianMixture(N_COMPONENTS, **options, **start)
    with pytest.warns(Warning, match="did not converge"):
        fitted.fit(rows, **fit_data)

    before = family.covariances(start["covariances_init"], N_COMPONENTS, N_FEATURES)
    weights = start["weights_init"] * (0.8 if "noise" in features else 1.0)
    sums = expect(rows, weights, start["means_init"], before.dense(), **expect_data)
    means, weights, log_prior = sums.first / sums.mass[:, None], sums.mass / (sums.mass.sum() + sums.noise_mass), 0.0
    if "prior" in features:
        means, posterior_weights = _under_the_prior(sums, start["means_init"])
        log_prior = _log_prior(family, start["means_init"], before.dense())
        if "noise" not in features:
            weights = posterior_weights
            log_prior += float((np.array(PRIOR["prior"].weights) - 1.0) @ np.log(start["weights_init"]))
    second = about_new_means(sums, start["means_init"], means)
    scatter = _scatter(family.moment_spec(before), sums.mass, second)
    if "prior" in features:
        scatter = _with_prior(family, scatter, means)
    after = family.update(scatter, before)
    np.testing.assert_allclose(fitted.lower_bound_, (sums.log_likelihood + log_prior) / sums.total, rtol=1e-10)
    np.testing.assert_allclose(fitted.weights_, weights, rtol=1e-9)
    np.testing.assert_allclose(fitted.means_, means, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(fitted.covariances_, after.array, rtol=1e-6 if family.accuracy else 1e-8, atol=1e-9)


def _under_the_prior(sums: Sums, fixed: Array) -> tuple[Array, Array]:
    """Compute means and weights: the prior shrinks the mean of component 0, and component 1 has a fixed mean."""
    prior, least = PRIOR["prior"], PRIOR["restrictions"].min_weight
    means = np.array(fixed)
    means[0] = (sums.first[0] + prior.shrinkage * np.array(prior.mean)) / (sums.mass[0] + prior.shrinkage)
    counts = sums.mass + np.array(PRIOR["prior"].weights) - 1.0
    weight = float(np.clip(counts[0] / counts.sum(), least, 1.0 - least))
    return means, np.array([weight, 1.0 - weight])


def _scale(family: Family) -> Array:
    """Return Λ as a matrix, which is spherical for structures with one variance for all features."""
    scale = np.array(PRIOR["prior"].scale)
    if family.kind.second is Second.TRACE:
        return np.eye(N_FEATURES) * np.trace(scale) / N_FEATURES**2
    return scale if family.kind.is_matrix else np.diag(np.diag(scale))


def _with_prior(family: Family, scatter: Scatter, means: Array) -> Scatter:
    prior = PRIOR["prior"]
    offsets = means - prior.mean
    drawn = prior.shrinkage * np.einsum("ki,kj->kij", offsets, offsets)
    mean_scatter = _scatter(scatter.spec, scatter.degrees, drawn).second
    each, once = family.prior_degrees(prior.dof, N_FEATURES, 1.0)
    scale = _scatter(replace(scatter.spec, is_pooled=False), scatter.degrees[:1], _scale(family)[None]).second[0]
    degrees = scatter.degrees + each + once / N_COMPONENTS
    return replace(scatter, degrees=degrees, second=scatter.second + mean_scatter + scale)


def _log_prior(family: Family, means: Array, covariances: Array) -> float:
    """Compute the log density of the prior of means and covariances, in nats."""
    prior, total = PRIOR["prior"], 0.0
    each, once = family.prior_degrees(prior.dof, N_FEATURES, 1.0)
    for mean, covariance in zip(means, covariances, strict=True):
        inverse, offset = np.linalg.inv(covariance), mean - prior.mean
        total -= 0.5 * (each + once / N_COMPONENTS) * np.linalg.slogdet(covariance)[1]
        total -= 0.5 * prior.shrinkage * float(offset @ inverse @ offset)
        total -= 0.5 * float(np.trace(_scale(family) @ inverse)) / (N_COMPONENTS if family.is_shared else 1)
    return total


BOX = np.array([[-30.0] * N_FEATURES, [40.0] * N_FEATURES])
FEATURES = ["weights", "missing", "labels", "errors", "trim", "noise", "prior"]


@pytest.mark.filterwarnings("ignore:.*almost no row belongs there")
@pytest.mark.parametrize("part", [slice(16), pytest.param(slice(16, None), marks=pytest.mark.heavy)], ids=str)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_one_em_step_equals_the_row_by_row_reference(structure: str, part: slice) -> None:
    combinations = list(product([False, True], repeat=len(FEATURES)))
    for number in np.random.default_rng(STRUCTURES.index(structure)).permutation(len(combinations))[part]:
        features = frozenset(name for name, is_on in zip(FEATURES, combinations[number], strict=True) if is_on)
        _assert_one_step(structure, features, np.random.default_rng(number))


@pytest.mark.filterwarnings("ignore:.*almost no row belongs there")
@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical", "EEI"])
def test_one_em_step_with_max_condition_equals_the_row_by_row_reference(structure: str) -> None:
    for number, features in enumerate([frozenset[str](), frozenset({"trim", "weights"}), frozenset(FEATURES)]):
        _assert_one_step(structure, features, np.random.default_rng(number), max_condition=1.5)
