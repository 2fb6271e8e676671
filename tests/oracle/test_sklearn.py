"""scikit-learn's mixtures from the same start parameters, with the same reg_covar, for the same number of steps."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture

from gaussmix.em.loop import run_em
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import final
from gaussmix.families import FAMILIES
from gaussmix.mixture.mixture import Mixture
from gaussmix.sources.array import ArraySource
from gaussmix.waist.block import Block

N_STEPS = 8
RIDGE = 1e-3
# scikit-learn takes diagonal and spherical sums as E[x²] − μ²: ε · (μ/σ)² a step, |μ|/σ here below 30. Growth by the
# steps that follow is below 10 on groups as separate as these.
TOLERANCE = N_STEPS * 10 * 30**2 * np.finfo(np.float64).eps


def groups(rng, n_features):
    """Three groups four standard deviations apart or so, of unlike spread."""
    centres = np.arange(3)[:, None] * 4.0 + rng.normal(size=(3, n_features))
    factors = rng.normal(size=(3, n_features, n_features)) / 2 + np.eye(n_features)
    rows = np.concatenate([c + rng.normal(size=(70, n_features)) @ f for c, f in zip(centres, factors, strict=True)])
    return rows, centres + 0.5 * rng.normal(size=centres.shape)


@pytest.mark.parametrize("n_features", [1, 3, 7])
@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_steps_agree_with_scikit_learn(family, n_features, engine, rng):
    rows, means = groups(rng, n_features)
    weights, covariances = np.array([0.5, 0.3, 0.2]), np.ones(FAMILIES[family].shape(3, n_features))
    if covariances.shape[-2:] == (n_features, n_features) and family in ("full", "tied"):
        covariances = covariances * np.eye(n_features)
    theirs = SklearnMixture(
        3,
        covariance_type=family,
        weights_init=weights,
        means_init=means,
        precisions_init=covariances,  # the identity is its own inverse
        reg_covar=RIDGE,
        tol=0,
        max_iter=N_STEPS,
    )
    with pytest.warns(ConvergenceWarning):
        theirs.fit(rows)
    ridge = np.full(n_features, RIDGE)
    start = Mixture(weights, means, covariances, FAMILIES[family]).model
    ours, trace, _ = final(run_em(ArraySource(rows), engine, start, Objective(ridge), Stopping(0.0, N_STEPS)))

    near = {"rtol": TOLERANCE, "atol": TOLERANCE}
    np.testing.assert_allclose(trace.log_likelihood, theirs.lower_bounds_, **near)
    np.testing.assert_allclose(ours.weights, theirs.weights_, **near)
    np.testing.assert_allclose(ours.means, theirs.means_, **near)
    np.testing.assert_allclose(ours.covariances.array, theirs.covariances_, **near)
    block = Block(0, rows)
    np.testing.assert_allclose(engine.log_density(block, ours.parameters), theirs.score_samples(rows), **near)
    np.testing.assert_allclose(engine.responsibilities(block, ours.parameters), theirs.predict_proba(rows), **near)
    assert (engine.labels(block, ours.parameters) == theirs.predict(rows)).all()
    assert -2 * engine.log_density(block, ours.parameters).sum() + ours.n_parameters * np.log(
        len(rows)
    ) == pytest.approx(theirs.bic(rows), rel=TOLERANCE)
