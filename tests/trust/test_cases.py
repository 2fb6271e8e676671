"""Every input with a correct result gives it, or an error if the case allows one, but never a wrong result."""

import contextlib
import re
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from trust_cases import CASES, truth
from trust_cases.case import CENTRES, STRUCTURES, blobs, given

from gaussmix import GaussianMixture

REFUSAL = "escale the column|precisions_init.* must be finite"


def one_in_three():
    """Return all cases, or every third in a default run."""
    marks = [], [pytest.mark.heavy], [pytest.mark.heavy]
    return [pytest.param(case, id=name, marks=marks[i % 3]) for i, (name, case) in enumerate(CASES.items())]


@pytest.mark.heavy(but=145)
@pytest.mark.parametrize("case", one_in_three())
def test_an_answer_is_right(case):
    allowed = pytest.raises(ValueError, match=REFUSAL) if case.may_refuse else contextlib.nullcontext()
    with warnings.catch_warnings(), allowed:
        # gaussmix's own warnings are not faults, but a warning of NumPy would be.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "component", RuntimeWarning)
        warnings.filterwarnings("ignore", "Columns? .* constant", RuntimeWarning)
        case.check(GaussianMixture)


@pytest.mark.parametrize("structure", ["full", "tied"])
@pytest.mark.parametrize("size", [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e10, 1e12, 1e15])
@pytest.mark.parametrize("direction", [(1.0, 1.0, 1.0), (1.0, 0.25, -0.75)])
def test_an_outlier_without_a_component_of_its_own(structure, size, direction):
    """Check agreement with long double to 1e-6, or as closely as the warning states, unless the fit is refused."""
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
    # The estimate is one rounding of the covariance; an exact sum has a few dozen.
    assert off <= (30 * float(said[0][1]) if said else 1e-6)
    assert bool(said) == (size >= 1e6)


def test_collinear_columns_and_the_automatic_ridge_lose_nothing():
    X = blobs()
    GaussianMixture(3, random_state=0, max_iter=300).fit(np.column_stack([X, X.sum(axis=1), 1e6 * X[:, 0]]))


@pytest.mark.pairwise
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("scale", [1e-150, 1e-20, 1.0, 1e100, 1e150])
@pytest.mark.parametrize("weight", [1e-310, 1e-300, 1e-100, 3.0, 1e100, 1e147])
def test_weighted_squares_neither_overflow_nor_vanish(structure, scale, weight):
    """Check that equal weights change nothing, in units that make the rows' squares large or small."""
    X, start = blobs() * scale, given(structure, CENTRES * scale, 1 / scale**2)
    plain = GaussianMixture(3, reg_covar=0, **start).fit(X)
    weighted = GaussianMixture(3, reg_covar=0, **start).fit(X, sample_weight=np.full(len(X), weight))
    # Sums of 450 weighted rows differ in rounding by 450 ε, and EM on clear groups reduces it.
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
