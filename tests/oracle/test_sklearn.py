"""Tests against scikit-learn with the same initial parameters, the same reg_covar and the same number of steps."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture

from gaussmix import GaussianMixture

N_STEPS = 8
# scikit-learn computes diagonal and spherical variances as E[x²] − μ², with an error of ε · (μ/σ)² per step, where
# |μ|/σ is below 30 here. Later steps amplify the error by less than 10, because the groups are well separated.
TOLERANCE = N_STEPS * 10 * 30**2 * np.finfo(np.float64).eps


@pytest.mark.parametrize("n_features", [1, 3, 7])
@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_em_steps_agree_with_scikit_learn(family, n_features, rng):
    """Check three groups of different spread, which are about four standard deviations apart."""
    centres = np.arange(3)[:, None] * 4.0 + rng.normal(size=(3, n_features))
    factors = rng.normal(size=(3, n_features, n_features)) / 2 + np.eye(n_features)
    rows = np.concatenate([c + rng.normal(size=(70, n_features)) @ f for c, f in zip(centres, factors, strict=True)])
    identity = np.eye(n_features)
    settings = {
        "weights_init": [0.5, 0.3, 0.2],
        "means_init": centres + 0.5 * rng.normal(size=centres.shape),
        "precisions_init": {
            "full": np.array([identity] * 3),
            "tied": identity,
            "diag": np.ones((3, n_features)),
            "spherical": np.ones(3),
        }[family],
    }
    settings |= {"covariance_type": family, "reg_covar": 1e-3, "tol": 0, "max_iter": N_STEPS}
    with pytest.warns(ConvergenceWarning):
        ours, theirs = (mixture(3, **settings).fit(rows) for mixture in (GaussianMixture, SklearnMixture))
    for name in "lower_bounds_", "weights_", "means_", "covariances_":
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=TOLERANCE, atol=TOLERANCE)
    for name in "score_samples", "predict_proba", "predict", "bic":
        found, expected = getattr(ours, name)(rows), getattr(theirs, name)(rows)
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
