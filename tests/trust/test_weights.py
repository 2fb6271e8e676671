"""Weights of any size: only their ratios matter, except where rows are counted (BIC, the automatic ridge)."""

import numpy as np
import pytest
from trust_cases.case import CENTRES, STRUCTURES, blobs, given

from gaussmix import GaussianMixture


@pytest.mark.pairwise
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("scale", [1e-150, 1e-20, 1.0, 1e100, 1e150])
@pytest.mark.parametrize("weight", [1e-310, 1e-300, 1e-100, 3.0, 1e100, 1e147])
def test_weighted_squares_neither_overflow_nor_vanish(structure, scale, weight):
    """Equal weights change nothing; the unit of the rows makes their squares large or small too."""
    X, start = blobs() * scale, given(structure, CENTRES * scale, 1 / scale**2)
    plain = GaussianMixture(3, reg_covar=0, **start).fit(X)
    weighted = GaussianMixture(3, reg_covar=0, **start).fit(X, sample_weight=np.full(len(X), weight))
    # Sums of 450 weighted rows round apart by 450 ε, and EM on clear groups contracts it.
    np.testing.assert_allclose(weighted.score_samples(X), plain.score_samples(X), rtol=0, atol=1e-9)
    assert weighted.score(X, sample_weight=np.full(len(X), weight)) == pytest.approx(plain.score(X), rel=1e-10)


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
def test_a_power_of_2_in_all_weights_changes_no_bit(init):
    X, weight = blobs(), np.arange(450) % 4
    fits = [
        GaussianMixture(3, init_params=init, reg_covar=0, random_state=0, max_iter=300).fit(X, sample_weight=w)
        for w in (weight, weight * 2.0**300, weight * 2.0**-600)
    ]
    assert fits[0].lower_bounds_ == fits[1].lower_bounds_ == fits[2].lower_bounds_
