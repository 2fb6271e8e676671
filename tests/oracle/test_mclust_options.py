"""Tests of noise, fitted densities and separating directions against R's mclust (README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest
from common import EPS, family_named
from mclust_extras import NOISE as REFERENCE
from mclust_extras import NOISE_ROWS as ROWS
from mclust_extras import OPTIONS, with_noise
from tables import rows_of

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix._src.mixture.directions import directions

IDS = [f"{fit['model']}{fit['G']}" for fit in REFERENCE["fits"]]


@pytest.mark.parametrize("fit", REFERENCE["fits"], ids=IDS)
def test_fits_with_noise_end_at_the_maximum_of_mclust(fit):
    """Log-likelihoods agree to 1e-7, but EVE and VVE may end higher, because gaussmix tries several initial axes."""
    ours = with_noise(fit)
    total = ours.score(ROWS) * len(ROWS)
    assert ours.mixture_.n_parameters == fit["npar"]
    assert ours.bic(ROWS) == pytest.approx(-2 * total + fit["npar"] * np.log(len(ROWS)), rel=1e-12)
    if fit["model"] in ("EVE", "VVE"):
        assert total > fit["loglik"] - 1e-7 * abs(total)
        return
    assert total == pytest.approx(fit["loglik"], rel=1e-7)
    weights = [*ours.weights_, ours.noise_weight_]  # mclust stops before slow fits have converged
    np.testing.assert_allclose(weights, fit["pro"], atol=1e-3)
    np.testing.assert_allclose(ours.means_, fit["mean"], atol=0.02)


def test_the_noise_volume_agrees_with_mclust():
    fitted = GaussianMixture(2, noise=True).fit(ROWS)
    assert np.exp(-fitted.mixture_.noise.log_volume) == pytest.approx(REFERENCE["Vinv"], rel=1e-13)


TABLE = OPTIONS["density"]
ROUNDING = 64 * EPS  # relative rounding z² ε, where z is a distance in deviations, here up to 7


def fitted(name):
    """Return mclust's mixture."""
    fit = TABLE[name]
    lower = np.array(fit["parameters"]["sigma_tril"])
    if name == "faithful":  # EEE has one covariance for all components
        covariances = np.array([[lower[0, 0], lower[0, 1]], [lower[0, 1], lower[0, 2]]])
    else:
        covariances = lower[:, 0]
    return Mixture(fit["parameters"]["pro"], fit["parameters"]["mean"], covariances, family_named(fit["model"]))


@pytest.mark.parametrize("name", ["galaxies", "eruptions"])
def test_cdf_agrees_with_mclust(name):
    np.testing.assert_allclose(fitted(name).cdf(np.array(TABLE[name]["x"])[:, None]), TABLE[name]["cdf"], rtol=ROUNDING)


@pytest.mark.parametrize("name", ["galaxies", "eruptions"])
def test_quantile_agrees_with_mclust(name):
    mixture, p = fitted(name), np.array(TABLE[name]["p"])
    x = mixture.quantile(p)
    np.testing.assert_allclose(x, TABLE[name]["quantile"], rtol=0, atol=1e-8)  # mclust's tolerance
    np.testing.assert_allclose(mixture.cdf(x[:, None]), p, rtol=ROUNDING)


def test_highest_density_level_agrees_with_mclust():
    """Quantiles of 272 densities must be within three binomial standard errors of the mixture's levels."""
    mixture, p = fitted("faithful"), np.array(TABLE["faithful"]["hdr_prob"])
    rows = rows_of("faithful")
    levels, theirs = mixture.highest_density_level(p), np.log(TABLE["faithful"]["hdrlevels"])
    np.testing.assert_allclose(mixture.log_density(TABLE["faithful"]["x"]), TABLE["faithful"]["logpdf"], rtol=ROUNDING)
    np.testing.assert_allclose(np.quantile(mixture.log_density(rows), 1 - p), theirs, rtol=1e-3)  # interpolated levels
    inside = (mixture.log_density(rows)[:, None] >= levels).mean(axis=0)
    np.testing.assert_array_less(np.abs(inside - p), 3 * np.sqrt(p * (1 - p) / len(rows)))


DIRECTIONS = json.loads((Path(__file__).parent / "mclust_dr.json").read_text())


@pytest.mark.parametrize("case", DIRECTIONS["directions"], ids=lambda case: f"lambda={case['lambda']}")
def test_separating_directions_agree_with_mclust(case):
    """mclust uses the covariance of the rows for Σ, which equals the mixture's covariance up to its tol of 1e-5."""
    mixture = Mixture(*(np.array(DIRECTIONS[name]) for name in ("weights", "means", "covariances")), FAMILIES["full"])
    found = directions(mixture._model, case["lambda"])
    assert len(found.axes) == case["numdir"]
    basis = np.array(case["basis"]).T
    signs = np.sign(np.einsum("ij,ij->i", basis, found.axes))
    np.testing.assert_allclose(found.axes, basis * signs[:, None], atol=1e-4)
    # mclust's eigenvalues are twice as large.
    np.testing.assert_allclose(2 * found.values, case["evalues"][: case["numdir"]], rtol=1e-4)
