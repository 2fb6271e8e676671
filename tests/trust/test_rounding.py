"""Where a covariance is so nearly singular that digits are lost, the fit says so and by how much."""

import re
import warnings

import numpy as np
import pytest
from trust_cases import truth
from trust_cases.case import blobs

from gaussmix import GaussianMixture


@pytest.mark.parametrize("structure", ["full", "tied"])
@pytest.mark.parametrize("size", [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e10, 1e12, 1e15])
@pytest.mark.parametrize("direction", [(1.0, 1.0, 1.0), (1.0, 0.25, -0.75)])
def test_an_outlier_without_a_component_of_its_own(structure, size, direction):
    """Against the closed form in long double: right to 1e-6, or off by what the warning says, or refused."""
    X = np.vstack([blobs()[:200], [size * np.array(direction)]])
    mixture = GaussianMixture(1, covariance_type=structure, reg_covar=0)
    if size > 1e8:
        with pytest.raises(ValueError, match="ill-defined empirical covariance"):
            mixture.fit(X)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = mixture.fit(X)
    said = [re.search(r"nearly singular .* log densities by about (\S+) nats", str(w.message)) for w in caught]
    long = X.astype(np.longdouble)
    offsets = long - long.mean(axis=0)
    exact = truth.log_density(truth.log_joint(X, [1.0], [long.mean(axis=0)], [offsets.T @ offsets / len(X)]))
    off = np.abs(fitted.score_samples(X) - exact).max()
    # The estimate is of one rounding of the covariance; an exact sum has a few dozen.
    assert off <= (30 * float(said[0][1]) if said else 1e-6)
    assert bool(said) == (size >= 1e6)


def test_collinear_columns_and_the_automatic_ridge_lose_nothing():
    X = blobs()
    GaussianMixture(3, random_state=0, max_iter=300).fit(np.column_stack([X, X.sum(axis=1), 1e6 * X[:, 0]]))
