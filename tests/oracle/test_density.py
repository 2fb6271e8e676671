"""R's mclust on fitted densities (README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest
from tables import rows_of

from gaussmix import Mixture
from gaussmix.families import family_named
from gaussmix.testing.closeness import EPS

FOLDER = Path(__file__).parent
FITS = json.loads((FOLDER / "mclust_density" / "density.json").read_text())
ROUNDING = 64 * EPS  # relative: of z² ε where z is a distance in deviations, here up to 7


def fitted(name):
    """mclust's mixture."""
    fit = FITS[name]
    lower = np.array(fit["parameters"]["sigma_tril"])
    if name == "faithful":  # EEE: one covariance for all
        covariances = np.array([[lower[0, 0], lower[0, 1]], [lower[0, 1], lower[0, 2]]])
    else:
        covariances = lower[:, 0]
    return Mixture(fit["parameters"]["pro"], fit["parameters"]["mean"], covariances, family_named(fit["model"]))


@pytest.mark.parametrize("name", ["galaxies", "eruptions"])
def test_cdf(name):
    np.testing.assert_allclose(fitted(name).cdf(np.array(FITS[name]["x"])[:, None]), FITS[name]["cdf"], rtol=ROUNDING)


@pytest.mark.parametrize("name", ["galaxies", "eruptions"])
def test_quantile(name):
    mixture, p = fitted(name), np.array(FITS[name]["p"])
    x = mixture.quantile(p)
    np.testing.assert_allclose(x, FITS[name]["quantile"], rtol=0, atol=1e-8)  # mclust's
    np.testing.assert_allclose(mixture.cdf(x[:, None]), p, rtol=ROUNDING)


def test_highest_density_level():
    """A quantile of 272 densities is within three binomial standard errors of the mixture's own."""
    mixture, p = fitted("faithful"), np.array(FITS["faithful"]["hdr_prob"])
    rows = rows_of("faithful")
    levels, theirs = mixture.highest_density_level(p), np.log(FITS["faithful"]["hdrlevels"])
    np.testing.assert_allclose(mixture.log_density(FITS["faithful"]["x"]), FITS["faithful"]["logpdf"], rtol=ROUNDING)
    np.testing.assert_allclose(np.quantile(mixture.log_density(rows), 1 - p), theirs, rtol=1e-3)  # between rows
    inside = (mixture.log_density(rows)[:, None] >= levels).mean(axis=0)
    np.testing.assert_array_less(np.abs(inside - p), 3 * np.sqrt(p * (1 - p) / len(rows)))
