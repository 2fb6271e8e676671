"""Tests of priors and equal weights against R's mclust from the same labels, and against Fraley & Raftery (2007)."""

import numpy as np
import pytest
from common import StopReason, family_named
from mclust_extras import (
    EQUAL,
    MCLUST_FAILURES,
    ROWS,
    joint_labels,
    objective_for,
    prior_fits,
    with_equal_weights,
    with_prior,
)

from gaussmix import GaussianMixture

# mclust stops when a step changes the log-likelihood by a relative 1e-10. Because EM with a prior does not maximise the
# likelihood, the likelihood of slow fits then has a relative distance of up to 3e-7 from its limit.
RELATIVE_ERROR = 5e-7
PRIOR_FITS = [pytest.param(data, fit, id=f"{data}-{fit['model']}{fit['G']}") for data, fit in prior_fits()]
EQUAL_FITS = [pytest.param(fit, id=f"{fit['model']}{fit['G']}") for fit in EQUAL["datasets"]["faithful"]["fits"]]


@pytest.mark.parametrize(("data", "fit"), PRIOR_FITS)
def test_fits_with_a_prior_agree_with_mclust(data, fit):
    end, rows = with_prior(data, fit), ROWS[data]
    assert end.stop_reason is StopReason.CONVERGED
    if fit["loglik"] is None:  # mclust failed, but gaussmix must end with finite values
        assert np.isfinite(end.trace.last_objective)
        return
    assert end.trace.log_likelihood[-1] * len(rows) == pytest.approx(fit["loglik"], rel=RELATIVE_ERROR)
    # The relative error of weights and means in slow fits is about the square root of RELATIVE_ERROR.
    np.testing.assert_allclose(end.model.weights, fit["pro"], atol=2e-5)
    np.testing.assert_allclose(end.model.means, fit["mean"], rtol=1e-3)


@pytest.mark.parametrize(("data", "fit"), PRIOR_FITS)
def test_default_hyperparameters_agree_with_mclust(data, fit):
    rows, hyper, family = ROWS[data], fit["hyper"], family_named(fit["model"])
    prior, n_features = objective_for(rows, family, fit["G"]).prior, rows.shape[1]
    np.testing.assert_allclose(prior.mean, hyper["mean"], rtol=1e-12)
    assert (prior.shrinkage, family.prior_dof(n_features)) == (hyper["shrinkage"], hyper["dof"])
    scale = prior.scale[np.tril_indices(n_features)] if prior.scale.ndim == 2 else prior.scale
    np.testing.assert_allclose(scale, np.broadcast_to(hyper["scale"], scale.shape), rtol=1e-11)


def denominators(model, nu, n, n_k, d, n_components):
    """Return the denominators of Fraley & Raftery (2007) for the variances or covariances of a model."""
    return {
        "EII": nu + 2 + (n + n_components) * d,
        "VII": nu + 2 + (n_k + 1) * d,
        "EEI": nu + n + n_components + 2,
        "VVI": nu + n_k + 3,
        "EEE": nu + d + n + n_components + 1,
        "VVV": nu + d + n_k + 2,
    }[model]


@pytest.mark.parametrize("data", ROWS)
@pytest.mark.parametrize("model", ["EII", "VII", "EEI", "VVI", "EEE", "VVV"])
def test_an_m_step_with_a_prior_equals_the_formula_of_the_paper(model, data):
    """Compare with the formula of Fraley & Raftery (2007), row by row; mclust deviates from it for EII and EEI."""
    rows, n_components, kappa = ROWS[data], 3, 0.01
    (n, d), labels = rows.shape, joint_labels(data, 3)
    nu, prior_mean = d + 2, rows.mean(axis=0)
    scale = np.cov(rows.T) / n_components ** (2 / d)
    if model[2] == "I":
        scale = np.trace(scale) / d * np.eye(d)
    sums, counts, means = np.zeros((n_components, d, d)), np.zeros(n_components), np.zeros((n_components, d))
    for row, k in zip(rows, labels, strict=True):
        counts[k] += 1
        means[k] += row
    means /= counts[:, None]
    for row, k in zip(rows, labels, strict=True):
        sums[k] += np.outer(row - means[k], row - means[k])
    for k in range(n_components):
        sums[k] += kappa * counts[k] / (kappa + counts[k]) * np.outer(means[k] - prior_mean, means[k] - prior_mean)
    expected = []
    for k in range(n_components):
        total = scale + (sums.sum(axis=0) if model[0] == "E" else sums[k])
        if model[1:] == "II":
            total = (scale[0, 0] + np.trace(total - scale)) * np.eye(d)
        if model[2] == "I":
            total = np.diag(np.diag(total))
        expected.append(total / denominators(model, nu, n, counts[k], d, n_components))
    gm = GaussianMixture(3, covariance_type=model, prior="default", init_params=labels, max_iter=0).fit(rows)
    np.testing.assert_allclose(gm.mixture_._model.covariances.dense(), expected, rtol=1e-10, atol=1e-12)
    shrunk = (counts[:, None] * means + kappa * prior_mean) / (counts + kappa)[:, None]
    np.testing.assert_allclose(gm.means_, shrunk, rtol=1e-12)


@pytest.mark.heavy(n_default=31)
@pytest.mark.parametrize("fit", EQUAL_FITS)
def test_fits_with_equal_weights_agree_with_mclust(fit):
    """gaussmix may end far above, because mclust 6.0.0 ends below the fit of one component for some structures."""
    gm, rows = with_equal_weights(fit), ROWS["faithful"]
    assert gm.n_parameters_ == fit["npar"]
    log_likelihood = gm.score(rows) * len(rows)
    assert gm.bic(rows) == pytest.approx(fit["npar"] * np.log(len(rows)) - 2 * log_likelihood, rel=1e-12)
    if fit["model"] not in MCLUST_FAILURES:
        assert log_likelihood == pytest.approx(fit["loglik"], rel=1e-8)
    elif fit["model"] == "VVI":
        assert sum(fit["pro"]) == pytest.approx(len(rows) / fit["G"])
    else:
        assert fit["loglik"] is None or log_likelihood > fit["loglik"] + 0.05 * len(rows)
