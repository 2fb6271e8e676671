"""Displays of how rows are shared: responsibilities, merged components, runs of EM."""

import numpy as np
import pytest

from gaussmix import FAMILIES, BayesianGaussianMixture, GaussianMixture, Mixture
from gaussmix.plot import ConvergenceDisplay, MergingDisplay, ResponsibilityDisplay


@pytest.fixture
def mixture():
    means = [[0.0, 0.0], [2.0, 0.0], [20.0, 0.0]]
    return Mixture([0.3, 0.3, 0.4], means, [1.0, 1.0, 1.0], FAMILIES["spherical"])


def heights(area):
    """Lower and upper end of each bar of a filled area with steps, (n_bars, 2)."""
    corners = area.get_paths()[0].vertices
    middles = np.arange(corners[:, 0].max()) + 0.5
    half = len(corners) // 2
    low, high = corners[1:half], corners[half + 1 : -1][::-1]
    ends = (side[np.searchsorted(side[:, 0], middles, side="left"), 1] for side in (low, high))
    return np.column_stack(list(ends))


def test_bars_are_responsibilities_in_order(mixture):
    rows = mixture.sample(40, rng=0)[0]
    display = ResponsibilityDisplay.from_estimator(mixture, rows)
    shares = mixture.responsibilities(rows)
    order = np.lexsort([-shares.max(axis=1), shares.argmax(axis=1)])
    np.testing.assert_array_equal(display.shares, shares[order])
    ends = np.cumsum(np.column_stack([np.zeros(40), display.shares]), axis=1)
    for k, area in enumerate(display.areas_):
        drawn = np.sort(heights(area), axis=1)
        np.testing.assert_allclose(drawn, ends[:, k : k + 2], atol=1e-12)


def test_many_rows_are_averaged(mixture):
    rows = mixture.sample(2_500, rng=0)[0]
    display = ResponsibilityDisplay.from_estimator(mixture, rows)
    assert display.shares.shape == (1_000, 3)
    np.testing.assert_allclose(display.shares.sum(axis=1), 1)
    counts = np.diff(np.linspace(0, 2_500, 1_001).astype(int))
    np.testing.assert_allclose(counts @ display.shares, mixture.responsibilities(rows).sum(axis=0))


def test_noise_has_the_rest(rng):
    X = np.concatenate([rng.normal(size=(100, 2)), [[30.0, 40.0]]])
    gm = GaussianMixture(1, noise=True, random_state=0).fit(X)
    display = ResponsibilityDisplay.from_estimator(gm, X)
    assert display.names == ["component 0", "noise"]
    np.testing.assert_allclose(display.shares.sum(axis=1), 1)
    with pytest.raises(ValueError, match="X has no rows to show"):
        ResponsibilityDisplay.from_estimator(gm, np.empty((0, 2)))


def test_colors_may_be_arrays_and_those_alike_have_different_hatches(mixture):
    colors = [np.array([0.0, 0.0, 1.0, 1.0]), "blue", (0, 0, 1)]
    display = ResponsibilityDisplay.from_estimator(mixture, np.zeros((3, 2)), colors=colors)
    assert len({area.get_hatch() for area in display.areas_}) == 3


def test_merging_is_that_of_the_estimator(mixture):
    X = mixture.sample(400, rng=0)[0]
    gm = GaussianMixture(4, random_state=0).fit(X)
    display, merging = MergingDisplay.from_estimator(gm, X), gm.merge(X)
    np.testing.assert_allclose(display.line_.get_ydata(), merging.entropy, rtol=1e-9)
    assert display.line_.get_xdata().tolist() == [1, 2, 3, 4]
    assert display.best_.get_offsets()[0, 0] == merging.n_clusters
    for count in (1, 2, 3):
        parts = [int(part) for part in display.merged[count - 1].split("+")]
        assert len(set(merging.cluster_of[count - 1][parts])) == 1
        assert len(set(merging.cluster_of[count][parts])) == 2
        assert display.texts_[count - 1].get_text() == f"{display.merged[count - 1]}: {merging.overlap[count - 1]:.1%}"
    assert MergingDisplay.from_estimator(gm, X, min_overlap=1).best_.get_offsets()[0, 0] == 4


def test_convergence_is_the_trace(mixture):
    X = mixture.sample(200, rng=0)[0]
    gm = GaussianMixture(3, n_init=3, init_params="random_from_data", random_state=0).fit(X)
    display = ConvergenceDisplay.from_estimator(gm)
    for line, trace in zip(display.lines_, gm.traces_, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), trace)
    assert max(trace[-1] for trace in gm.traces_) == pytest.approx(gm.lower_bound_)
    assert [text.get_text() for text in display.legend_.get_texts()][1] == "2 other starts"
    best = display.lines_[display.best]
    np.testing.assert_array_equal(best.get_ydata(), gm.lower_bounds_)
    np.testing.assert_array_equal(best.get_xdata(), np.arange(1, gm.n_iter_ + 1))
    assert display.legend_.get_texts()[0].get_text() == f"kept: ends at {gm.lower_bound_:.6g}"
    assert display.ax_.get_ylabel() == "mean log-likelihood, nats"
    bayesian = ConvergenceDisplay.from_estimator(BayesianGaussianMixture(3, random_state=0).fit(X))
    assert bayesian.ax_.get_ylabel() == "bound, nats"


def test_convergence_of_what_made_no_step(mixture):
    with pytest.raises(TypeError, match="Mixture was not fitted by EM"):
        ConvergenceDisplay.from_estimator(mixture)
