"""Float32 rows are worked on in float32 where nothing is lost by it, and in double everywhere else."""

from dataclasses import replace

import numpy as np
import pytest

from gaussmix import GaussianMixture
from gaussmix.em.loop import TOLERANCE_IN_SINGLE, em_step, run_em
from gaussmix.em.maximise import loss
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import final
from gaussmix.engines.native.engine import NativeEngine
from gaussmix.engines.native.float32 import MOST_AMPLIFICATION, steps_in_single, suits_single
from gaussmix.engines.native.visits import LONG_PASS, work_per_row
from gaussmix.families.base import FAMILIES
from gaussmix.mixture.mixture import Mixture
from gaussmix.numerics.core import native_target
from gaussmix.sources.array import ArraySource
from gaussmix.waist.block import Block
from gaussmix.waist.need import Need, Rule, Second

ENGINE = NativeEngine(2)
FULL = Need(Second.FULL)
EPS = float(np.finfo(np.float32).eps) / 2  # of a rounding


def correlated(rng, n_features, amplification):
    """A covariance in mixed units whose amplification is the one asked for, to one part in 100."""
    shared = rng.normal(size=(n_features, max(1, n_features // 2)))
    shared *= np.logspace(0, 2, shared.shape[1])
    low, high = 0.0, 1e6  # of the share of what all features have in common
    units = 10 ** rng.uniform(-3, 3, n_features)
    for _ in range(40):
        middle = np.sqrt(low * high) if low else high / 2**20
        covariance = (middle * shared @ shared.T + np.eye(n_features)) * np.multiply.outer(units, units)
        factor = np.linalg.inv(np.linalg.cholesky(covariance))
        found = np.sqrt(((factor * np.sqrt(np.diag(covariance))) ** 2).sum(axis=1)).max()
        low, high = (middle, high) if found < amplification else (low, middle)
    return covariance


def mixture_of(covariances, means=None, weights=None):
    n_components, n_features, _ = covariances.shape
    means = np.zeros((n_components, n_features)) if means is None else means
    weights = np.full(n_components, 1 / n_components) if weights is None else weights
    return Mixture(weights, means, covariances, FAMILIES["full"]).model


def enough_rows(rng, mixture, factor=1.0):
    """Float32 rows of a mixture, as many as make a long pass."""
    work = work_per_row(mixture.whitening.factor_shape, mixture.n_components, mixture.n_features)
    return Mixture.of(mixture).sample(int(factor * LONG_PASS / work) + 1, rng)[0].astype(np.float32)


def whitened(mixture, other):
    """The covariances of a mixture in coordinates in which another's are 1."""
    ours, theirs = (m.covariances.dense() for m in (mixture, other))
    factors = np.linalg.inv(np.linalg.cholesky(theirs))
    return np.einsum("kij,kjl,kml->kim", factors, ours, factors)


@pytest.fixture
def mixture(rng):
    """Three components of four correlated features, overlapping."""
    covariances = np.stack([correlated(rng, 4, 3.0) for _ in range(3)])
    deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    return mixture_of(covariances, deviations * rng.normal(size=deviations.shape))


@pytest.mark.parametrize("n_features", [2, 8, 32, 64])
def test_the_errors_are_what_the_limit_of_amplification_says(rng, n_features):
    """At the limit: 1.5 ε a √d + ε d^1.5 / 8 nats (root mean square), and 2.3 ε a² of whitened moments; of 400 rows."""
    mixture = mixture_of(correlated(rng, n_features, 0.99 * MOST_AMPLIFICATION)[None])
    assert suits_single(mixture.parameters)
    rows = Mixture.of(mixture).sample(400, rng)[0].astype(np.float32)
    p, factor = mixture.parameters, mixture.whitening.factors[0]
    arguments = np.zeros(1), p.means, 2, p.whitening.factors, p.means, 0, 3, 1
    step = native_target().step
    found = [step(row[None], None, None, None, *arguments, in_single=True)[0] for row in rows]
    expected = [step(row[None], None, None, None, *arguments)[0] for row in rows]
    error = np.sqrt(np.mean(np.subtract(found, expected) ** 2))
    assert error < 1.5 * EPS * MOST_AMPLIFICATION * n_features**0.5 + EPS * n_features**1.5 / 8 < 1e-4
    narrow, wide = (step(rows, None, None, None, *arguments, in_single=flag)[3][0] for flag in (True, False))
    assert np.linalg.norm(factor @ (narrow - wide) @ factor.T / len(rows), 2) < 2.3 * EPS * MOST_AMPLIFICATION**2 < 2e-4


def test_float32_is_chosen_by_its_conditions(rng, mixture):
    rows = enough_rows(rng, mixture)
    block, parameters = Block(0, rows), mixture.parameters
    n_rows = len(rows)
    assert steps_in_single(block, n_rows, parameters, FULL, Rule.SOFT)
    assert steps_in_single(replace(block, rows=rows[:1]), n_rows, parameters, FULL, Rule.SOFT)
    shared = replace(parameters, whitening=replace(parameters.whitening, factors=parameters.whitening.factors[:1]))
    refused = {
        "rows of double": (replace(block, rows=rows.astype(float)), n_rows, parameters, FULL, Rule.SOFT),
        "few rows": (block, n_rows - 2, parameters, FULL, Rule.SOFT),
        "hard": (block, n_rows, parameters, FULL, Rule.HARD),
        "first moments": (block, n_rows, parameters, Need(Second.NONE), Rule.SOFT),
        "pooled": (block, n_rows, parameters, Need(Second.FULL, pooled=True), Rule.SOFT),
        "one factor": (block, n_rows, shared, FULL, Rule.SOFT),
    }
    for name, arguments in refused.items():
        assert not steps_in_single(*arguments), name


def test_parameters_that_float32_cannot_take_are_refused(rng, mixture):
    parameters, deviations = mixture.parameters, mixture.parameters.deviations
    assert suits_single(parameters)
    refused = {
        "deviations unknown": replace(parameters, deviations=None),
        "too correlated": mixture_of(correlated(rng, 4, 1.02 * MOST_AMPLIFICATION)[None]).parameters,
        "too narrow": replace(parameters, deviations=deviations * 1e-18),
        "too wide": replace(parameters, deviations=deviations * 1e18),
        "too far": replace(parameters, means=parameters.means + 2e18),
        "too different": replace(parameters, log_scale=np.array([0.0, -251.0, 0.0])),
        "no component": replace(parameters, log_scale=np.full(3, -np.inf)),
    }
    for name, case in refused.items():
        assert not suits_single(case), name
    assert suits_single(replace(parameters, log_scale=np.array([0.0, -np.inf, -249.0])))


@pytest.mark.one_block
@pytest.mark.parametrize("family", ["full", "diag", "spherical"])
def test_a_fit_of_float32_rows_is_that_of_their_doubles(rng, mixture, family):
    """Means to 1e-5 deviations and covariances to 1e-4: ε times the amplification, a few steps' worth."""
    rows, ridge, stopping = enough_rows(rng, mixture, 2), np.zeros(4), Stopping(1e-5, 30)
    variances = np.diagonal(mixture.covariances.each, axis1=1, axis2=2)
    full = 1.5 * mixture.covariances.each
    covariances = {"full": full, "diag": variances, "spherical": variances.mean(axis=1)}[family]
    start = Mixture(mixture.weights, mixture.means, covariances, FAMILIES[family]).model
    (single, trace, _), (double, expected, _) = (
        final(run_em(ArraySource(form), ENGINE, start, Objective(ridge), stopping))
        for form in (rows, rows.astype(float))
    )
    assert 2 < trace.n_steps == expected.n_steps
    assert trace.log_likelihood != expected.log_likelihood  # it was float32's
    np.testing.assert_allclose(trace.log_likelihood, expected.log_likelihood, rtol=0, atol=1e-6)
    deviations = double.parameters.deviations
    assert (np.abs(single.means - double.means) / deviations).max() < 1e-5
    np.testing.assert_allclose(single.weights, double.weights, rtol=0, atol=1e-5)
    assert np.abs(whitened(single, double) - np.eye(4)).max() < 1e-4
    densities = (Mixture.of(model).log_density(rows) for model in (single, double))
    np.testing.assert_allclose(*densities, rtol=0, atol=1e-3)


def test_a_small_tolerance_asks_for_double(rng, mixture):
    rows, ridge = enough_rows(rng, mixture), np.zeros(4)
    narrow, wide = (
        final(run_em(ArraySource(form), ENGINE, mixture, Objective(ridge), Stopping(0.9 * TOLERANCE_IN_SINGLE, 3)))
        for form in (rows, rows.astype(float))
    )
    assert narrow[1].log_likelihood == wide[1].log_likelihood
    np.testing.assert_array_equal(narrow[0].covariances.each, wide[0].covariances.each)


def test_what_float32_would_decide_is_summed_in_double(rng):
    """A step from round components into a narrow one, and one that moves a mean by many deviations."""
    narrow = mixture_of(correlated(rng, 3, 3 * MOST_AMPLIFICATION)[None])
    wide = mixture_of(np.diag(np.diagonal(narrow.covariances.each[0]))[None])
    near = mixture_of(wide.covariances.each, 7 * wide.parameters.deviations)
    for start, truth in ((wide, narrow), (near, wide)):
        rows = enough_rows(rng, truth)
        assert steps_in_single(Block(0, rows), len(rows), start.parameters, FULL, Rule.SOFT)
        (moments, following, _), (_, expected, _) = (
            em_step(ArraySource(form), ENGINE, start, Objective(np.zeros(3)), {}, is_exact=is_exact)
            for form, is_exact in ((rows, False), (rows.astype(float), True))
        )
        assert not moments.in_single
        assert np.abs(whitened(following, expected) - np.eye(3)).max() < 1e-10  # a² times the rounding of double
    assert loss(near.means, wide) > 30


def test_moments_in_float32_say_so(rng, mixture):
    rows = enough_rows(rng, mixture, 2.0)
    block = Block(0, rows)
    state = ENGINE.open(block, FULL, 3)
    moments = ENGINE.step(block, state, mixture.parameters, FULL)
    double = ENGINE.step(block, state, mixture.parameters, FULL, anchor=mixture.means)
    assert moments.in_single
    assert not double.in_single
    assert (moments + double).in_single
    assert (double + moments).in_single
    np.testing.assert_array_equal(moments.anchor, mixture.means.astype(np.float32).astype(float))


def mixed(rng, n_rows=4000, n_features=4):
    """Rows of three correlated clusters."""
    means = 3 * rng.normal(size=(3, n_features))
    factors = np.eye(n_features) + 0.4 * np.tril(rng.normal(size=(3, n_features, n_features)))
    labels = rng.integers(3, size=n_rows)
    return means[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(n_rows, n_features)))


def with_column(rows, column):
    return np.column_stack([rows, column])


def with_row(rows, value):
    return np.concatenate([rows, np.full((1, rows.shape[1]), value)])


HARD = {
    "offset 1e4": lambda rows, rng: rows + 1e4,
    "offset 1e7": lambda rows, rng: rows + 1e7,
    "unit 1e-30": lambda rows, rng: rows * 1e-30,
    "unit 1e-9": lambda rows, rng: rows * 1e-9,
    "unit 1e12": lambda rows, rng: rows * 1e12,
    "unit 1e18": lambda rows, rng: rows * 1e18,
    "units of their own": lambda rows, rng: rows * [1e-9, 1e9, 1.0, 1e4],
    "constant column": lambda rows, rng: with_column(rows, np.full(len(rows), 7.0)),
    "constant 1e8": lambda rows, rng: with_column(rows, np.full(len(rows), 1e8)),
    "collinear": lambda rows, rng: with_column(rows, 2 * rows[:, 0]),
    "nearly collinear": lambda rows, rng: with_column(rows, rows[:, 0] + 1e-3 * rng.normal(size=len(rows))),
    "outlier 1e6": lambda rows, rng: with_row(rows, 1e6),
    "outlier 1e18": lambda rows, rng: with_row(rows, 1e18),
    "heavy tails": lambda rows, rng: rng.standard_t(2, size=rows.shape),
    "one in 100 at 60 deviations": lambda rows, rng: np.where(np.arange(len(rows))[:, None] % 100, rows, 60 * rows),
    "whole numbers": lambda rows, rng: np.round(rows),
    "repeated rows": lambda rows, rng: np.repeat(rows[:1000], 4, axis=0),
}


@pytest.mark.filterwarnings("ignore:Column .* constant:RuntimeWarning")
@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
@pytest.mark.parametrize("name", HARD)
def test_hard_float32_data_are_fitted_as_their_doubles(rng, monkeypatch, name, covariance_type):
    """As many steps, and means to 1e-5 deviations, with weights of 1e50, float32 wherever it claims to be safe."""
    monkeypatch.setattr("gaussmix.engines.native.visits.LONG_PASS", 0)
    rows = HARD[name](mixed(rng), rng).astype(np.float32)
    weight = rng.uniform(0, 2e50, len(rows))
    single, double = (
        GaussianMixture(3, covariance_type=covariance_type, random_state=0, tol=1e-4).fit(X, sample_weight=weight)
        for X in (rows, rows.astype(float))
    )
    assert single.n_iter_ == double.n_iter_
    deviations = double.mixture_.parameters.deviations
    assert (np.abs(single.mixture_.means - double.mixture_.means) / deviations).max() < 1e-5
    assert np.abs(whitened(single.mixture_.model, double.mixture_.model) - np.eye(rows.shape[1])).max() < 1e-3
    assert abs(single.lower_bound_ - double.lower_bound_) < 1e-5
