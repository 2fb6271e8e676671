"""The picture of a search: each candidate's criterion, the one that was chosen, and those that failed."""

import numpy as np
import pytest

from gaussmix import GaussianMixture, GaussianMixtureIC
from gaussmix.plot import CriterionDisplay


@pytest.fixture
def search(rng):
    X = np.concatenate([rng.normal(size=(40, 2)), rng.normal(8, 1, size=(40, 2))])
    return GaussianMixtureIC(range(1, 5), covariance_type=["full", "EII"], random_state=0).fit(X)


def test_lines_are_the_results(search):
    display = CriterionDisplay.from_estimator(search)
    table = search.results_
    assert list(display.lines_) == ["full", "EII"]
    for name, line in display.lines_.items():
        mine = [i for i, structure in enumerate(table["structure"]) if structure == name]
        np.testing.assert_array_equal(line.get_xdata(), [table["n_components"][i] for i in mine])
        np.testing.assert_array_equal(line.get_ydata(), [table["bic"][i] for i in mine])
    chosen = table["n_components"][search.best_index_], table["bic"][search.best_index_]
    np.testing.assert_array_equal(display.best_.get_offsets(), [chosen])
    assert display.ax_.get_ylabel() == "BIC (lower is better)"


def test_another_criterion(search):
    display = CriterionDisplay.from_estimator(search, criterion="icl", legend=False)
    np.testing.assert_array_equal(display.lines_["full"].get_ydata(), search.results_["icl"][:4])
    assert display.legend_ is None
    with pytest.raises(ValueError, match="criterion='cv' is not one of 'bic', 'icl', 'aic', 'aicc'"):
        CriterionDisplay.from_estimator(search, criterion="cv")


def test_failures_are_crosses_above_their_number(rng):
    X = np.column_stack([rng.normal(size=(60, 2)), np.ones(60)])
    search = GaussianMixtureIC(range(1, 4), covariance_type=["EII", "full"], random_state=0)
    with pytest.warns(RuntimeWarning, match="3 of 6 candidates could not be fitted"):
        search.fit(X)
    display = CriterionDisplay.from_estimator(search)
    assert list(display.failures_) == ["full"]
    crosses = display.failures_["full"]
    np.testing.assert_array_equal(np.round(crosses.get_xdata()), [1, 2, 3])
    assert (crosses.get_ydata() > 1).all()  # of the height of the axes: above all lines
    assert display.legend_.get_texts()[-1].get_text() == "failed"


def test_what_searched_for_nothing_is_refused(search):
    gm = GaussianMixture(1).fit(np.arange(3.0)[:, None])
    with pytest.raises(TypeError, match="GaussianMixture compares no candidates: give a fitted GaussianMixtureIC"):
        CriterionDisplay.from_estimator(gm)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_ten_best_decide_the_axis(sign):
    bic = sign * np.array([3700.0 + 10 * k for k in range(12)] + [11_000.0, 10_500.0])
    results = {"n_components": [*range(1, 15)], "structure": ["full"] * 14, "bic": bic, "cv": bic}
    results["failure"] = [None] * 14
    display = CriterionDisplay(results=results, best_index=0, criterion="bic" if sign > 0 else "cv").plot()
    low, high = sorted(sign * np.array(display.ax_.get_ylim()))
    assert low < 3700
    assert 3790 < high < 3900
    assert display.note_.get_text() == f"{'↑' if sign > 0 else '↓'} 3 worse candidates"  # 3810 among them
    near = results | {"bic": bic[:12], "cv": bic[:12], "n_components": [*range(1, 13)], "structure": ["full"] * 12}
    display = CriterionDisplay(results=near, best_index=0, criterion="bic" if sign > 0 else "cv").plot()
    assert display.note_ is None
    low, high = display.ax_.get_ylim()
    assert ((low < bic[:12]) & (bic[:12] < high)).all()
