"""The grid of all pairs of features: each cell is the picture of its two features, and the grid can be read."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix.plot import ComponentDisplay, PairDisplay


@pytest.fixture
def mixture():
    means = [[0.0, 5.0, -3.0], [3.0, 6.0, 0.0]]
    return Mixture([0.25, 0.75], means, np.ones((2, 3)), FAMILIES["diag"], ["length", "width", "mass"])


def test_cells_are_pictures_of_their_two_features(mixture, rng):
    rows = mixture.sample(50, rng)[0]
    display = PairDisplay.from_estimator(mixture, rows, levels=[1.5])
    for (i, j), ax in np.ndenumerate(display.axes_):
        cell = display.cells[i][j]
        alone = ComponentDisplay.from_estimator(mixture, rows, features=[i] if i == j else [j, i], levels=[1.5])
        assert cell.ax_ is ax
        np.testing.assert_array_equal(cell.means, alone.means)
        np.testing.assert_array_equal(cell.covariances, alone.covariances)
        if i == j:
            for (one,), (other,) in zip(cell.components_, alone.components_, strict=True):
                np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())
        else:
            np.testing.assert_array_equal(cell.rows_[0].get_offsets(), alone.rows_[0].get_offsets())


def test_each_feature_is_named_once_below_and_once_at_the_left(mixture):
    axes = PairDisplay.from_estimator(mixture).axes_
    assert [ax.get_xlabel() for ax in axes[-1]] == ["length", "width", "mass"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["length", "width", "mass"]
    assert {ax.get_xlabel() for ax in axes[:-1].flat} == {ax.get_ylabel() for ax in axes[:, 1:].flat} == {""}


def test_columns_share_a_range_and_so_do_rows(mixture):
    axes = PairDisplay.from_estimator(mixture).axes_
    for j in range(3):
        assert len({ax.get_xlim() for ax in axes[:, j]}) == 1
        assert len({axes[j, i].get_ylim() for i in range(3) if i != j}) == 1


def test_it_draws_on_axes_that_are_given(mixture):
    figure, axes = plt.subplots(2, 2)
    display = PairDisplay.from_estimator(mixture, features=["mass", 0], ax=axes, legend=False)
    assert (display.figure_, display.legend_) == (figure, None)
    assert axes[1, 0].get_xlabel() == "mass"
    with pytest.raises(
        ValueError, match=r"ax must be \(3, 3\) axes, one for each picture, not an array of shape \(2, 2\)"
    ):
        PairDisplay.from_estimator(mixture, ax=axes)


def test_more_than_eight_features_must_be_chosen(rng):
    X = rng.normal(size=(60, 9))
    gm = GaussianMixture(1).fit(X)
    with pytest.raises(ValueError, match=r"There are 9 features, .* choose some by features=\[…\]"):
        PairDisplay.from_estimator(gm, X)
    with pytest.raises(ValueError, match="must be 1 to 8 different features"):
        PairDisplay.from_estimator(gm, X, features=range(9))
    assert PairDisplay.from_estimator(gm, X, features=[8, 3]).axes_.shape == (2, 2)
    assert PairDisplay.from_estimator(gm, X, features=2).axes_.shape == (1, 1)
