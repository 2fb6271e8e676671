"""Estimators fit and predict rows that are cut into many blocks: as one array, to rounding."""

import numpy as np
import pytest
from many_blocks import ManyBlocks

from gaussmix import GaussianMixture, GaussianMixtureDetector, GaussianMixtureIC
from gaussmix.starts import STARTS
from gaussmix.testing import PROBLEMS

GIVEN = PROBLEMS["weighted"]
ROUNDING = {"rtol": 1e-9, "atol": 1e-9}


def blocks_of(row_weight):
    return ManyBlocks(GIVEN.rows, row_weight)


@pytest.fixture(params=[False, True], ids=["without weights", "weighted"])
def row_weight(request):
    return GIVEN.row_weight if request.param else None


def assert_same_mixture(one, other):
    for name in "weights_", "means_", "covariances_", "lower_bound_":
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), **ROUNDING)
    assert one.n_iter_ == other.n_iter_


@pytest.mark.parametrize("start", [*sorted(STARTS), "labels"])
def test_a_fit(start, row_weight):
    parameters = {"init_params": GIVEN.labels if start == "labels" else start, "random_state": 3, "max_iter": 30}
    expected = GaussianMixture(3, **parameters).fit(GIVEN.rows, sample_weight=row_weight)
    found = GaussianMixture(3, **parameters).fit(blocks_of(row_weight))
    assert_same_mixture(found, expected)
    assert found.n_features_in_ == GIVEN.rows.shape[1]


def test_predictions_and_criteria(row_weight):
    gm = GaussianMixture(3, random_state=0).fit(GIVEN.rows, sample_weight=row_weight)
    for name in "predict", "predict_proba", "score_samples":
        np.testing.assert_array_equal(getattr(gm, name)(blocks_of(None)), getattr(gm, name)(GIVEN.rows))
    for name in "score", "bic", "aic":
        found, expected = (
            getattr(gm, name)(blocks_of(row_weight)),
            getattr(gm, name)(GIVEN.rows, sample_weight=row_weight),
        )
        assert found == pytest.approx(expected, rel=1e-12)
    found, expected = gm.merge(blocks_of(row_weight)), gm.merge(GIVEN.rows, row_weight)
    np.testing.assert_allclose(found.entropy, expected.entropy, **ROUNDING)


@pytest.mark.parametrize("criterion", ["bic", "cv", "stability"])
def test_a_choice(criterion, row_weight):
    parameters = {
        "n_components": [1, 3],
        "covariance_type": ["full", "tied"],
        "criterion": criterion,
        "random_state": 0,
    }
    expected = GaussianMixtureIC(**parameters).fit(GIVEN.rows, sample_weight=row_weight)
    found = GaussianMixtureIC(**parameters).fit(blocks_of(row_weight))
    assert_same_mixture(found, expected)
    np.testing.assert_allclose(found.results_[criterion], expected.results_[criterion], **ROUNDING)


def test_outliers(row_weight):
    expected = GaussianMixtureDetector(3, contamination=0.1, random_state=0).fit(GIVEN.rows, sample_weight=row_weight)
    found = GaussianMixtureDetector(3, contamination=0.1, random_state=0).fit(blocks_of(row_weight))
    assert found.offset_ == pytest.approx(expected.offset_, rel=1e-9)
    np.testing.assert_array_equal(found.predict(blocks_of(None)), expected.predict(GIVEN.rows))


def test_warnings_about_rows():
    rows = np.repeat([[0.0, 1.0], [2.0, 1.0]], 100, axis=0)
    with (
        pytest.warns(RuntimeWarning, match="2 distinct rows"),
        pytest.warns(RuntimeWarning, match=r"Column 1 .* constant"),
    ):
        GaussianMixture(3, random_state=0).fit(ManyBlocks(rows))


def test_weights_that_are_shares_are_scaled():
    gm = GaussianMixture(2, random_state=0).fit(GIVEN.rows)
    shares = GIVEN.row_weight / GIVEN.row_weight.sum()
    with pytest.warns(RuntimeWarning, match="taken for shares"):
        expected = gm.bic(GIVEN.rows, sample_weight=shares)
    with pytest.warns(RuntimeWarning, match="taken for shares"):
        assert gm.bic(blocks_of(shares)) == pytest.approx(expected, rel=1e-12)


def test_what_a_source_cannot_have_is_refused():
    gm = GaussianMixture(2, random_state=0).fit(GIVEN.rows)
    with pytest.raises(ValueError, match="its own row weights"):
        gm.fit(blocks_of(None), sample_weight=GIVEN.row_weight)
    with pytest.raises(ValueError, match="X has 1 features, but GaussianMixture is expecting 2"):
        gm.predict(ManyBlocks(GIVEN.rows[:, :1]))
    with pytest.raises(ValueError, match="callable"):
        gm.set_params(init_params=lambda X, n_components, rng: GIVEN.labels).fit(blocks_of(None))


def test_weights_may_be_smaller_than_what_has_a_reciprocal():
    counts = np.arange(len(GIVEN.rows)) % 4.0
    how = {"init_params": "kmeans", "random_state": 0, "reg_covar": 0}
    expected = GaussianMixture(3, **how).fit(GIVEN.rows, sample_weight=counts)
    found = GaussianMixture(3, **how).fit(GIVEN.rows, sample_weight=counts * 2.0**-1074)
    np.testing.assert_array_equal(found.means_, expected.means_)
    np.testing.assert_array_equal(found.covariances_, expected.covariances_)
