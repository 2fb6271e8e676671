"""Inputs that doubles cannot represent raise an error, because results would be wrong without notice."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from trust_cases.case import CENTRES, STRUCTURES, blobs, given, identity

from gaussmix import GaussianMixture, GaussianMixtureClassifier, GaussianMixtureRegressor

LABELS = np.repeat([0, 1, 2], [200, 150, 100])


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("scale", [1e-153, 1e-154, 1e-160, 1e-161])
def test_squares_that_underflow_are_named_without_a_ridge_too(structure, scale):
    mixture = GaussianMixture(3, covariance_type=structure, init_params=LABELS, reg_covar=0)
    with pytest.raises(ValueError, match=r"varies by only .* in column \d .*Rescale the columns of X"):
        mixture.fit(blobs() * scale)


@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
def test_a_component_whose_variances_lose_digits_is_none(structure):
    """Check a component with too small variances, in columns that vary enough because of other rows."""
    X = blobs()
    X[:200] *= 1e-160
    mixture = GaussianMixture(3, covariance_type=structure, init_params=LABELS, reg_covar=0)
    with pytest.raises(ValueError, match=r"ill-defined empirical covariance.*scale the input data.*component 0"):
        mixture.fit(X)


@pytest.mark.parametrize("kind", ["datetime64[s]", "timedelta64[s]", "datetime64[ns]"])
@pytest.mark.parametrize("frame", [np.asarray, pd.Series])
def test_times_are_neither_targets_nor_weights_nor_labels(kind, frame):
    times = frame((np.arange(len(blobs())) % 3).astype(kind))
    classifier = GaussianMixtureClassifier().fit(blobs(), LABELS)
    for fit in GaussianMixtureRegressor().fit, GaussianMixtureClassifier().fit, classifier.score:
        with pytest.raises(TypeError, match=r"^y contains dates, times or durations"):
            fit(blobs(), times)
    with pytest.raises(TypeError, match=r"^sample_weight contains dates, times or durations"):
        GaussianMixture(3).fit(blobs(), sample_weight=times)
    with pytest.raises((TypeError, ValueError), match=r"^labels.*label_components"):
        GaussianMixture(3).fit(blobs(), labels=times)


@pytest.mark.filterwarnings("ignore:Column .* constant:RuntimeWarning")
@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("frame", [np.asarray, np.ndarray.tolist, pd.DataFrame, pl.DataFrame])
def test_integers_that_merge_in_a_double_are_refused(dtype, frame):
    X = np.round(blobs() * 100).astype(np.int64)
    large = X + np.array([0, 2**60 + 1, 0])
    large -= large.min(axis=0) * [1, 0, 1]
    said = r"column '?\D*1'?.*integers of size 1\.15e\+18 that differ by at most \d+:"
    for merged in large, large * [1, 0, 1] + [0, 2**60 + 1, 0]:  # in a file, the constant may be ids that have merged
        with pytest.raises(ValueError, match=said):
            GaussianMixture(3).fit(frame(merged.astype(dtype)))
    # A double distinguishes larger differences, and represents multiples of 2**20 exactly.
    for fine in (X * 2**50, X * 2**20 + 2**60):
        assert np.isfinite(GaussianMixture(3, random_state=0).fit(fine).score_samples(fine)).all()


@pytest.mark.parametrize("unit", [1e-50, 1.0, 1e50])
@pytest.mark.parametrize("structure", ["full", "tied"])
def test_asymmetry_is_seen_in_any_unit(structure, unit):
    covariances = identity(structure, 3, 3, unit**2)
    covariances[..., 0, 1] = 0.5 * unit**2
    start = given(structure, CENTRES * unit)
    del start["precisions_init"]
    with pytest.raises(ValueError, match="covariances_init is not symmetric at"):
        GaussianMixture(3, covariances_init=covariances, max_iter=0, **start).fit(blobs() * unit)
