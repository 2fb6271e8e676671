"""Tests of inputs that doubles can't represent: they raise an error, because results would silently be wrong."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from trust_cases.case import CENTRES, STRUCTURES, blobs, identity, initial

from gaussmix import GaussianMixture, GaussianMixtureClassifier, GaussianMixtureRegressor

LABELS = np.repeat([0, 1, 2], [200, 150, 100])


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("scale", [1e-153, 1e-154, 1e-160, 1e-161])
def test_columns_whose_squares_underflow_are_rejected_without_a_ridge(structure, scale):
    mixture = GaussianMixture(3, covariance_type=structure, init_params=LABELS, reg_covar=0)
    with pytest.raises(ValueError, match=r"varies by only .* in column \d .*Rescale the columns of X"):
        mixture.fit(blobs() * scale)


@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
def test_a_component_whose_variances_underflow_is_rejected(structure):
    """Check a component whose variances are too small, although the columns vary enough because of other rows."""
    X = blobs()
    X[:200] *= 1e-160
    mixture = GaussianMixture(3, covariance_type=structure, init_params=LABELS, reg_covar=0)
    with pytest.raises(ValueError, match=r"ill-defined empirical covariance.*scale the input data.*component 0"):
        mixture.fit(X)


@pytest.mark.parametrize("dtype", ["datetime64[s]", "timedelta64[s]", "datetime64[ns]"])
@pytest.mark.parametrize("convert", [np.asarray, pd.Series])
def test_dates_and_durations_are_rejected_as_targets_weights_and_labels(dtype, convert):
    times = convert((np.arange(len(blobs())) % 3).astype(dtype))
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
@pytest.mark.parametrize("convert", [np.asarray, np.ndarray.tolist, pd.DataFrame, pl.DataFrame])
def test_integers_that_a_double_cannot_distinguish_are_rejected(dtype, convert):
    X = np.round(blobs() * 100).astype(np.int64)
    large = X + np.array([0, 2**60 + 1, 0])
    large -= large.min(axis=0) * [1, 0, 1]
    message = r"column '?\D*1'?.*integers of size 1\.15e\+18 that differ by at most \d+:"
    # In a file, a constant column may consist of ids that became equal when they were converted to double.
    for integers in large, large * [1, 0, 1] + [0, 2**60 + 1, 0]:
        with pytest.raises(ValueError, match=message):
            GaussianMixture(3).fit(convert(integers.astype(dtype)))
    # A double distinguishes larger differences, and it represents multiples of 2**20 exactly.
    for integers in (X * 2**50, X * 2**20 + 2**60):
        assert np.isfinite(GaussianMixture(3, random_state=0).fit(integers).score_samples(integers)).all()


@pytest.mark.parametrize("unit", [1e-50, 1.0, 1e50])
@pytest.mark.parametrize("structure", ["full", "tied"])
def test_asymmetric_covariances_init_is_rejected_in_any_unit(structure, unit):
    covariances = identity(structure, 3, 3, unit**2)
    covariances[..., 0, 1] = 0.5 * unit**2
    parameters = initial(structure, CENTRES * unit)
    del parameters["precisions_init"]
    with pytest.raises(ValueError, match="covariances_init is not symmetric at"):
        GaussianMixture(3, covariances_init=covariances, max_iter=0, **parameters).fit(blobs() * unit)
