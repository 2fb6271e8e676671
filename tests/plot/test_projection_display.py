"""The projection is that of the reducer, and its ellipses are those of the projected mixture."""

import numpy as np
import pytest

from gaussmix import GaussianMixture, GaussianMixtureReducer
from gaussmix.plot import ProjectionDisplay


@pytest.fixture
def X(rng):
    return rng.normal(size=(90, 4)) + np.repeat([[0, 0, 0, 0], [6, 0, 0, 0], [0, 0, 7, 0]], 30, axis=0)


def test_it_shows_what_the_reducer_gives(X):
    reducer = GaussianMixtureReducer(3, random_state=0).fit(X)
    gm = GaussianMixture(3, random_state=0).fit(X)
    display = ProjectionDisplay.from_estimator(gm, X)
    np.testing.assert_allclose(display.directions, reducer.components_)
    np.testing.assert_allclose(display.rows, reducer.transform(X), atol=1e-12)
    np.testing.assert_array_equal(display.labels, gm.predict(X))
    np.testing.assert_allclose(display.means, reducer.reduced_mixture_.means, atol=1e-12)
    np.testing.assert_allclose(display.covariances, reducer.reduced_mixture_.covariances, atol=1e-12)
    assert display.ax_.get_xlabel().startswith("direction 0\n")


def test_one_component_has_a_plane_too(X):
    """Components that do not differ, or along one direction only, leave a direction free: it is across the first."""
    display = ProjectionDisplay.from_estimator(GaussianMixture(1).fit(X), X)
    np.testing.assert_allclose(display.directions @ display.directions.T, np.eye(2), atol=1e-12)
    assert (
        ProjectionDisplay.from_estimator(GaussianMixture(2, random_state=0).fit(X), X, n_directions=1).ax_.get_ylabel()
        == "density"
    )
    with pytest.raises(ValueError, match="n_directions=3 must be 1 or 2"):
        ProjectionDisplay.from_estimator(GaussianMixture(1).fit(X), X, n_directions=3)
