"""R's mclust with a uniform background, from its start labels: all fourteen models (README.md)."""

import numpy as np
import pytest
from mclust_extras import NOISE as REFERENCE
from mclust_extras import NOISE_ROWS as ROWS
from mclust_extras import with_noise

from gaussmix import GaussianMixture

IDS = [f"{fit['model']}{fit['G']}" for fit in REFERENCE["fits"]]


@pytest.mark.parametrize("fit", REFERENCE["fits"], ids=IDS)
def test_the_same_maximum_from_the_same_labels(fit):
    """Log-likelihoods to 1e-7 of themselves, and the number of parameters; EVE and VVE at least, since axes race."""
    ours = with_noise(fit)
    total = ours.score(ROWS) * len(ROWS)
    assert ours.mixture_.n_parameters == fit["npar"]
    assert ours.bic(ROWS) == pytest.approx(-2 * total + fit["npar"] * np.log(len(ROWS)), rel=1e-12)
    if fit["model"] in ("EVE", "VVE"):
        assert total > fit["loglik"] - 1e-7 * abs(total)
        return
    assert total == pytest.approx(fit["loglik"], rel=1e-7)
    weights = [*ours.weights_, ours.noise_weight_]  # mclust stops where slow fits still move
    np.testing.assert_allclose(weights, fit["pro"], atol=1e-3)
    np.testing.assert_allclose(ours.means_, fit["mean"], atol=0.02)


def test_the_volume_is_that_of_hypvol():
    fitted = GaussianMixture(2, noise=True).fit(ROWS)
    assert np.exp(-fitted.mixture_.noise.log_volume) == pytest.approx(REFERENCE["Vinv"], rel=1e-13)
