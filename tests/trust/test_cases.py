"""Tests of inputs with known results: a fit gives the known result or, if the case allows it, raises an error."""

import contextlib
import re
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from trust_cases import CASES, truth
from trust_cases.case import CENTRES, STRUCTURES, blobs, initial

from gaussmix import GaussianMixture

REJECTION = "escale the column|precisions_init.* must be finite"


def marked_cases():
    """Return all cases; two thirds are marked heavy, so that a default run leaves them out."""
    marks = [], [pytest.mark.heavy], [pytest.mark.heavy]
    return [pytest.param(case, id=name, marks=marks[i % 3]) for i, (name, case) in enumerate(CASES.items())]


@pytest.mark.heavy(n_default=145)
@pytest.mark.parametrize("case", marked_cases())
def test_each_case_gives_its_known_result(case):
    expected_error = pytest.raises(ValueError, match=REJECTION) if case.may_reject else contextlib.nullcontext()
    with warnings.catch_warnings(), expected_error:
        # Warnings of gaussmix are ignored. Any other warning, for example of NumPy, makes the test fail.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "component", RuntimeWarning)
        warnings.filterwarnings("ignore", "Columns? .* constant", RuntimeWarning)
        case.check(GaussianMixture)


@pytest.mark.parametrize("structure", ["full", "tied"])
@pytest.mark.parametrize("distance", [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e10, 1e12, 1e15])
@pytest.mark.parametrize("direction", [(1.0, 1.0, 1.0), (1.0, 0.25, -0.75)])
def test_log_densities_with_an_outlier_are_accurate_or_the_fit_is_rejected(structure, distance, direction):
    """Check that log densities agree with long double to 1e-6, or to 30 times the error that the warning states."""
    X = np.vstack([blobs()[:200], [distance * np.array(direction)]])
    mixture = GaussianMixture(1, covariance_type=structure, reg_covar=0)
    if distance > 1e8:
        with pytest.raises(ValueError, match="ill-defined empirical covariance"):
            mixture.fit(X)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = mixture.fit(X)
    warned = [re.search(r"nearly singular .* log densities by about (\S+) nats", str(w.message)) for w in caught]
    rows = X.astype(np.longdouble)
    offsets = rows - rows.mean(axis=0)
    exact = truth.log_density(truth.log_joint(X, [1.0], [rows.mean(axis=0)], [offsets.T @ offsets / len(X)]))
    error = np.abs(fitted.score_samples(X) - exact).max()
    # The warning estimates one rounding of the covariance, but the fit rounds a few dozen times.
    assert error <= (30 * float(warned[0][1]) if warned else 1e-6)
    assert bool(warned) == (distance >= 1e6)


def test_collinear_columns_with_the_automatic_ridge_cause_no_warning():
    X = blobs()
    GaussianMixture(3, random_state=0, max_iter=300).fit(np.column_stack([X, X.sum(axis=1), 1e6 * X[:, 0]]))


@pytest.mark.pairwise
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("scale", [1e-150, 1e-20, 1.0, 1e100, 1e150])
@pytest.mark.parametrize("weight", [1e-310, 1e-300, 1e-100, 3.0, 1e100, 1e147])
def test_weighted_squares_neither_overflow_nor_underflow(structure, scale, weight):
    """Check that equal weights do not change the fit, even if squares of the rows are very large or very small."""
    X, start = blobs() * scale, initial(structure, CENTRES * scale, 1 / scale**2)
    plain = GaussianMixture(3, reg_covar=0, **start).fit(X)
    weighted = GaussianMixture(3, reg_covar=0, **start).fit(X, sample_weight=np.full(len(X), weight))
    # Sums of 450 weighted rows differ by 450 ε because of rounding. EM reduces this difference on clear groups.
    np.testing.assert_allclose(weighted.score_samples(X), plain.score_samples(X), rtol=0, atol=1e-9)
    assert weighted.score(X, sample_weight=np.full(len(X), weight)) == pytest.approx(plain.score(X), rel=1e-10)


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
def test_scaling_all_weights_by_a_power_of_2_gives_the_same_bits(init):
    X, weight = blobs(), np.arange(450) % 4
    fits = [
        GaussianMixture(3, init_params=init, reg_covar=0, random_state=0, max_iter=300).fit(X, sample_weight=w)
        for w in (weight, weight * 2.0**300, weight * 2.0**-600)
    ]
    assert fits[0].lower_bounds_ == fits[1].lower_bounds_ == fits[2].lower_bounds_
