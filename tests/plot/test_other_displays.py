"""Tests that displays of rows, model selections and regressions agree with direct computations."""

import numpy as np
import pandas as pd
import pytest
from common import NoiseComponent

import gaussmix
from gaussmix import FAMILIES, GaussianMixture, GaussianMixtureIC, GaussianMixtureRegressor, Mixture
from gaussmix.plot import (
    ConditionalDisplay,
    ConvergenceDisplay,
    CoverageDisplay,
    CriterionDisplay,
    MergingDisplay,
    ResponsibilityDisplay,
    UncertaintyDisplay,
)


@pytest.fixture
def mixture():
    means = [[0.0, 0.0], [2.0, 0.0], [20.0, 0.0]]
    return Mixture([0.3, 0.3, 0.4], means, [1.0, 1.0, 1.0], FAMILIES["spherical"])


def heights(area):
    """Return the lower and the upper end of each bar of a filled area with steps, (n_bars, 2)."""
    corners = area.get_paths()[0].vertices
    middles = np.arange(corners[:, 0].max()) + 0.5
    half = len(corners) // 2
    low, high = corners[1:half], corners[half + 1 : -1][::-1]
    ends = (side[np.searchsorted(side[:, 0], middles, side="left"), 1] for side in (low, high))
    return np.column_stack(list(ends))


def test_responsibility_bars_are_sorted_by_component(mixture):
    rows = mixture.sample(40, rng=0)[0]
    display = ResponsibilityDisplay.from_estimator(mixture, rows)
    responsibilities = mixture.responsibilities(rows)
    order = np.lexsort([-responsibilities.max(axis=1), responsibilities.argmax(axis=1)])
    np.testing.assert_array_equal(display.responsibilities, responsibilities[order])
    ends = np.cumsum(np.column_stack([np.zeros(40), display.responsibilities]), axis=1)
    for k, area in enumerate(display.areas_):
        drawn = np.sort(heights(area), axis=1)
        np.testing.assert_allclose(drawn, ends[:, k : k + 2], atol=1e-12)


def test_responsibility_display_averages_many_rows(mixture):
    rows = mixture.sample(2_500, rng=0)[0]
    display = ResponsibilityDisplay.from_estimator(mixture, rows)
    assert display.responsibilities.shape == (1_000, 3)
    np.testing.assert_allclose(display.responsibilities.sum(axis=1), 1)
    counts = np.diff(np.linspace(0, 2_500, 1_001).astype(int))
    np.testing.assert_allclose(counts @ display.responsibilities, mixture.responsibilities(rows).sum(axis=0))


def test_responsibility_display_assigns_noise_the_remaining_probability(rng):
    X = np.concatenate([rng.normal(size=(100, 2)), [[30.0, 40.0]]])
    gm = GaussianMixture(1, noise=True, random_state=0).fit(X)
    display = ResponsibilityDisplay.from_estimator(gm, X)
    assert display.component_names == ["component 0", "noise"]
    np.testing.assert_allclose(display.responsibilities.sum(axis=1), 1)
    with pytest.raises(ValueError, match="X has no rows to show"):
        ResponsibilityDisplay.from_estimator(gm, np.empty((0, 2)))


def test_components_of_equal_colours_get_different_hatches(mixture):
    colors = [np.array([0.0, 0.0, 1.0, 1.0]), "blue", (0, 0, 1)]
    display = ResponsibilityDisplay.from_estimator(mixture, np.zeros((3, 2)), colors=colors)
    assert len({area.get_hatch() for area in display.areas_}) == 3


def test_merging_display_equals_the_merge_method(mixture):
    X = mixture.sample(400, rng=0)[0]
    gm = GaussianMixture(4, random_state=0).fit(X)
    display, merging = MergingDisplay.from_estimator(gm, X), gm.merge(X)
    np.testing.assert_allclose(display.line_.get_ydata(), merging.entropy, rtol=1e-9)
    assert display.line_.get_xdata().tolist() == [1, 2, 3, 4]
    assert display.best_.get_offsets()[0, 0] == merging.n_clusters
    for count in (1, 2, 3):
        parts = [int(part) for part in display.merged_components[count - 1].split("+")]
        assert len(set(merging.cluster_labels[count - 1][parts])) == 1
        assert len(set(merging.cluster_labels[count][parts])) == 2
        assert (
            display.texts_[count - 1].get_text()
            == f"{display.merged_components[count - 1]}: overlap {merging.overlap[count - 1]:.1%}"
        )
    assert MergingDisplay.from_estimator(gm, X, min_overlap=1).best_.get_offsets()[0, 0] == 4


def test_texts_of_a_merging_display_end_below_the_top_of_the_axes(rng):
    rows = 6.0 * rng.integers(4, size=(1600, 2)) + rng.normal(size=(1600, 2))
    display = MergingDisplay.from_estimator(GaussianMixture(16, random_state=0).fit(rows), rows)
    display.figure_.canvas.draw()
    top = display.ax_.get_window_extent().y1
    assert max(text.get_window_extent().y1 for text in display.texts_) < top
    assert display.ax_.get_xlim()[0] > 0


def test_merging_display_uses_row_weights_and_errors(mixture, rng):
    X = mixture.sample(400, rng=0)[0]
    gm = GaussianMixture(4, random_state=0).fit(X)
    for known in ({"sample_weight": rng.random(400) ** 4}, {"X_error": np.full(X.shape, 0.5)}):
        display, merging = MergingDisplay.from_estimator(gm, X, **known), gm.merge(X, **known)
        np.testing.assert_array_equal(display.line_.get_ydata(), merging.entropy)
        assert not np.allclose(merging.entropy, gm.merge(X).entropy, rtol=0.01)


def test_merging_display_rejects_noise_as_the_merge_method_does(rng):
    X = np.concatenate([rng.normal(size=(100, 2)), [[30.0, 40.0]]])
    gm = GaussianMixture(2, noise=True, random_state=0).fit(X)
    for draw in (gm.merge, lambda X: MergingDisplay.from_estimator(gm, X)):
        with pytest.raises(ValueError, match="merge does not support noise"):
            draw(X)


def test_convergence_display_draws_the_traces_of_all_starts(mixture):
    X = mixture.sample(200, rng=0)[0]
    gm = GaussianMixture(3, n_init=3, init_params="random_from_data", random_state=0).fit(X)
    display = ConvergenceDisplay.from_estimator(gm)
    for line, trace in zip(display.lines_, gm.outcome_.traces, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), trace)
    assert max(trace[-1] for trace in gm.outcome_.traces) == pytest.approx(gm.lower_bound_)
    assert [text.get_text() for text in display.legend_.get_texts()][1] == "2 other starts"
    best = display.lines_[display.best_index]
    np.testing.assert_array_equal(best.get_ydata(), gm.lower_bounds_)
    np.testing.assert_array_equal(best.get_xdata(), np.arange(1, gm.n_iter_ + 1))
    ends = f"{gm.n_iter_} steps,\nlast value −{-gm.lower_bound_:.6g}"
    assert display.legend_.get_texts()[0].get_text() == f"kept: {ends}"
    single = ConvergenceDisplay(traces=[gm.lower_bounds_], best_index=0).plot()
    assert single.legend_.get_texts()[0].get_text() == f"one start: {ends}"
    assert display.ax_.get_ylabel() == "mean log-likelihood, nats"
    bayesian = ConvergenceDisplay.from_estimator(gaussmix.BayesianGaussianMixture(3, random_state=0).fit(X))
    assert bayesian.ax_.get_ylabel() == "bound, nats"
    other = ConvergenceDisplay.from_estimator(GaussianMixture(prior="default", trim=0.1).fit(X))
    assert other.ax_.get_ylabel() == "mean log posterior of the kept rows, nats"


def test_convergence_display_rejects_a_mixture_without_a_trace(mixture):
    with pytest.raises(TypeError, match="Mixture stores no EM steps"):
        ConvergenceDisplay.from_estimator(mixture)


@pytest.fixture
def mixture_two():
    return Mixture([0.5, 0.5], [[0.0, 0.0], [3.0, 0.0]], [1.0, 1.0], FAMILIES["spherical"])


def test_uncertainty_display_draws_uncertain_rows_larger(mixture_two, rng):
    rows = mixture_two.sample(100, rng)[0]
    display = UncertaintyDisplay.from_estimator(mixture_two, rows)
    responsibilities = mixture_two.responsibilities(rows)
    np.testing.assert_array_equal(display.uncertainty, 1 - responsibilities.max(axis=1))
    for k, points in enumerate(display.rows_):
        members = np.flatnonzero(responsibilities.argmax(axis=1) == k)
        members = members[np.argsort(display.uncertainty[members], kind="stable")]
        np.testing.assert_array_equal(points.get_offsets(), rows[members])
        np.testing.assert_allclose(points.get_sizes(), 8 + 102 * 2 * display.uncertainty[members])


def test_uncertainty_includes_the_probability_of_noise():
    noise = NoiseComponent(0.2, np.log(0.2 / 0.8 * 2 * np.pi))  # noise has the density of the component at its mean
    mixture_two = Mixture([0.8], np.zeros((1, 2)), [1.0], FAMILIES["spherical"], noise=noise)
    display = UncertaintyDisplay.from_estimator(mixture_two, [[0.0, 0.0], [1.0, 0.0], [9.0, 9.0]])
    sizes = np.concatenate([points.get_sizes() for points in display.rows_])
    np.testing.assert_allclose(np.sort(sizes), 8 + 102 * 2 * np.sort(display.uncertainty))
    assert sizes.max() == pytest.approx(110)
    assert [text.get_text() for text in display.legend_.get_texts()][-1] == "uncertainty 0.50"
    certain = UncertaintyDisplay.from_estimator(mixture_two, [[9.0, 9.0]]).legend_.get_texts()
    assert [text.get_text() for text in certain][1:] == ["noise", "86.5% within 2 σ", "uncertainty 0.00"]


def test_uncertainty_display_numbers_components_of_equal_colours():
    seven = Mixture(np.full(7, 1 / 7), np.arange(14.0).reshape(7, 2), np.ones(7), FAMILIES["spherical"])
    texts = UncertaintyDisplay.from_estimator(seven, seven.means).ax_.texts
    assert [text.get_text() for text in texts] == list("0123456")


def test_uncertainty_in_one_feature_is_drawn_as_height(mixture_two, rng):
    rows = mixture_two.sample(100, rng)[0]
    display = UncertaintyDisplay.from_estimator(mixture_two, rows, features=0)
    drawn = np.concatenate([points.get_offsets() for points in display.rows_])
    expected = np.column_stack([rows[:, 0], display.uncertainty])
    np.testing.assert_array_equal(drawn[np.lexsort(drawn.T)], expected[np.lexsort(expected.T)])
    assert display.ax_.get_ylabel() == "uncertainty"


def test_uncertainty_display_limits_many_rows_to_the_least_certain(mixture_two, rng):
    rows = mixture_two.sample(30_000, rng)[0]
    display = UncertaintyDisplay.from_estimator(mixture_two, rows)
    uncertainty = 1 - mixture_two.responsibilities(rows).max(axis=1)
    np.testing.assert_array_equal(np.sort(display.uncertainty), np.sort(uncertainty)[-20_000:])


def test_uncertainty_display_rejects_a_call_without_rows(mixture_two):
    with pytest.raises(ValueError, match=r"UncertaintyDisplay needs rows\. Pass X of shape"):
        UncertaintyDisplay.from_estimator(mixture_two, None)


@pytest.fixture
def selection(rng):
    X = np.concatenate([rng.normal(size=(40, 2)), rng.normal(8, 1, size=(40, 2))])
    return GaussianMixtureIC(range(1, 5), covariance_type=["full", "EII"], random_state=0).fit(X)


def test_criterion_display_draws_the_results_of_the_selection(selection):
    display = CriterionDisplay.from_estimator(selection)
    table = selection.results_
    assert list(display.lines_) == ["full", "EII"]
    for name, line in display.lines_.items():
        members = [i for i, structure in enumerate(table["structure"]) if structure == name]
        np.testing.assert_array_equal(line.get_xdata(), [table["n_components"][i] for i in members])
        np.testing.assert_array_equal(line.get_ydata(), [table["bic"][i] for i in members])
    chosen = table["n_components"][selection.best_index_], table["bic"][selection.best_index_]
    np.testing.assert_array_equal(display.best_.get_offsets(), [chosen])
    assert display.ax_.get_ylabel() == "BIC (lower is better)"


def test_criterion_display_draws_another_computed_criterion(selection):
    display = CriterionDisplay.from_estimator(selection, criterion="icl", legend=False)
    np.testing.assert_array_equal(display.lines_["full"].get_ydata(), selection.results_["icl"][:4])
    assert display.legend_ is None
    with pytest.raises(ValueError, match="criterion='cv' is not one of 'bic', 'icl', 'aic', 'aicc'"):
        CriterionDisplay.from_estimator(selection, criterion="cv")


def test_criterion_display_counts_failed_candidates_at_crosses(rng):
    X = np.column_stack([rng.normal(size=(60, 2)), np.ones(60)])
    selection = GaussianMixtureIC(range(1, 4), covariance_type=["EII", "full"], random_state=0)
    with pytest.warns(RuntimeWarning, match="3 of 6 candidates could not be fitted"):
        selection.fit(X)
    display = CriterionDisplay.from_estimator(selection)
    crosses = [(k, text.get_text(), *text.get_position()) for k, text in display.failures_.items()]
    assert crosses == [(k, "×1", k, pytest.approx(1.015)) for k in (1, 2, 3)]  # the crosses are above the axes
    many = {name: [*values] * 5 for name, values in selection.results_.items()} | {"n_components": range(30)}
    turned = CriterionDisplay(results=many, best_index=display.best_index, criterion="bic").plot().failures_.values()
    assert [text.get_rotation() for text in turned] == [90] * 15
    named = [text.get_text() for text in display.legend_.get_texts()]
    # The legend does not contain "full".
    assert (named[0], named[-1], len(named)) == ("EII", "3 failed: singular\ncovariance", 3)


def test_criterion_display_rejects_an_estimator_without_candidates():
    gm = GaussianMixture(1).fit(np.arange(3.0)[:, None])
    with pytest.raises(TypeError, match="GaussianMixture does not compare candidates: pass a fitted GaussianMixtureIC"):
        CriterionDisplay.from_estimator(gm)


def test_each_structure_has_a_marker_and_each_visible_one_a_colour():
    """Check a display in which the last three of fourteen structures are in view."""
    names, n_components = [f"S{k}" for k in range(14)], np.repeat([1, 2, 1, 2, 3, 4], [11, 11, 3, 3, 3, 3])
    results = {"structure": names[:-3] * 2 + names[-3:] * 4, "n_components": n_components, "failure": [None] * 34}
    results["bic"] = [9e3] * 22 + [10.0 + k for k in range(12)]
    display = CriterionDisplay(results=results, best_index=22, criterion="bic").plot()
    assert len({line.get_marker() for line in display.lines_.values()}) == 14
    assert len({line.get_color() for line in display.legend_.get_lines()[:3]}) == 3
    assert [text.get_text() for text in display.legend_.get_texts()] == [*names[-3:], "chosen: S11, 1"]
    assert display.note_.get_text() == "↑ 23 worse candidates"
    black = CriterionDisplay(results=results, best_index=22, criterion="bic").plot(colors=["black", "red"]).lines_
    assert [black[name].get_color() for name in names[:3]] == ["black", "red", "black"]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_ten_best_candidates_determine_the_criterion_axis(sign):
    bic = sign * np.array([3700.0 + 10 * k for k in range(12)] + [11_000.0, 10_500.0])
    results = {"n_components": [*range(1, 15)], "structure": ["full"] * 14, "bic": bic, "cv": bic}
    results |= {"failure": [None] * 14, "warning": [None, "Component 0 has 1 distinct row.", *[None] * 12]}
    display = CriterionDisplay(results=results, best_index=0, criterion="bic" if sign > 0 else "cv").plot()
    low, high = sorted(sign * np.array(display.ax_.get_ylim()))
    assert low < 3700
    assert 3790 < high < 3900
    assert display.weak_.get_xdata().tolist() == [2]
    assert "few distinct rows" in [text.get_text() for text in display.legend_.get_texts()]
    # The candidate with the criterion 3810 is one of the three.
    assert display.note_.get_text() == f"{'↑' if sign > 0 else '↓'} 3 worse candidates"
    near = {name: column[:12] for name, column in results.items()}
    display = CriterionDisplay(results=near, best_index=0, criterion="bic" if sign > 0 else "cv").plot()
    assert display.note_ is None
    low, high = display.ax_.get_ylim()
    assert ((low < bic[:12]) & (bic[:12] < high)).all()


@pytest.mark.parametrize("name", ["Merging", "Pair", "Profile", "Projection", "Responsibility"])
def test_displays_reject_unknown_options_by_name(name, mixture):
    display = getattr(gaussmix.plot, f"{name}Display")
    with pytest.raises(TypeError, match=rf"^{name}Display has no option 'zz'\. The options are .*color.*\.$"):
        display.from_estimator(mixture, mixture.sample(20, rng=0)[0], zz=1)


@pytest.fixture
def data(rng):
    x = rng.uniform(0, 4, size=(300, 1))
    return x, np.sin(x[:, 0]) + rng.normal(0, 0.2, 300)


@pytest.fixture
def regressor(data):
    return GaussianMixtureRegressor(3, random_state=0).fit(*data)


def test_conditional_display_draws_the_predictions_of_the_regressor(regressor, data):
    display = ConditionalDisplay.from_estimator(regressor, *data, coverages=[0.8])
    x = display.x[:, None]
    np.testing.assert_allclose(display.mean_.get_ydata(), regressor.predict(x), rtol=1e-9)
    low, median, high = regressor.predict_quantiles(x, [0.1, 0.5, 0.9]).T
    np.testing.assert_allclose(display.median_.get_ydata(), median, rtol=1e-9)
    (band,) = display.bands_
    corners = band.get_paths()[0].vertices
    np.testing.assert_allclose(corners[:, 1].max(), high.max(), rtol=1e-9)
    np.testing.assert_allclose(corners[:, 1].min(), low.min(), rtol=1e-9)
    np.testing.assert_array_equal(display.rows_[0].get_offsets(), np.column_stack(data))
    assert (display.x[0], display.x[-1]) == (data[0].min(), data[0].max())


def test_conditional_display_integrates_out_other_features():
    """Compare p(x2 | x0) of three features with the mixture's own marginal and conditional distributions."""
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(2, 3, 3))
    covariances = roots @ roots.transpose(0, 2, 1) + np.eye(3)
    mixture = Mixture([0.4, 0.6], rng.normal(size=(2, 3)) * 3, covariances, FAMILIES["full"], ["a", "b", "c"])
    display = ConditionalDisplay.from_estimator(mixture, feature="a", target="c", coverages=[0.9, 0.5])
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("a", "c")
    for index in (0, 77, 200):
        conditional = mixture.marginal(["a", "c"]).condition({"a": display.x[index]})
        assert display.mean[index] == pytest.approx(conditional.mean[0])
        quantiles = conditional.quantile([0.05, 0.25, 0.5, 0.75, 0.95])
        np.testing.assert_allclose(display.quantiles[index], quantiles, rtol=1e-8)
    with pytest.raises(AttributeError, match=r"^ConditionalDisplay has no savefig\. Use figure_\.savefig\.$"):
        display.savefig("a.png")
    regressor = GaussianMixtureRegressor().fit(np.eye(3), [0.0, 1.0, 3.0])
    with pytest.raises(ValueError, match="Pass the target, too: from_estimator"):
        ConditionalDisplay.from_estimator(regressor, np.eye(3))
    for targets, shown in ((None, ["a", "c"]), ([0], ["b", "a"]), ([0, 1], ["c", "a"])):
        predictor = mixture if targets is None else GaussianMixtureRegressor(targets=targets).fit(mixture.sample(9)[0])
        display = ConditionalDisplay.from_estimator(predictor, feature_names=["a", "b", "c"])
        assert [display.ax_.get_xlabel(), display.ax_.get_ylabel()] == shown
    assert ConditionalDisplay.from_estimator(mixture, target="a").ax_.get_xlabel() == "b"
    with pytest.raises(ValueError, match="feature and target are both 'c'"):
        ConditionalDisplay.from_estimator(mixture, feature="c")
    with pytest.raises(ValueError, match=r"target.*'d' is not one of 'a', 'b', 'c'"):
        ConditionalDisplay.from_estimator(mixture, target="d")


def test_coverage_of_a_regressor_equals_that_of_its_intervals(regressor, data):
    display = CoverageDisplay.from_estimator(regressor, *data)
    promised, observed = display.line_.get_data()
    X, y = data
    for mass in (0.2, 0.5, 0.9):
        low, high = regressor.predict_quantiles(X, [0.5 - mass / 2, 0.5 + mass / 2]).T
        inside = ((y >= low) & (y <= high)).mean()
        assert observed[np.isclose(promised, mass)][0] == pytest.approx(inside, abs=1.5 / len(y))


def test_probability_integral_transforms_count_rows_between_quantiles(regressor, data):
    display = CoverageDisplay.from_estimator(regressor, *data, kind="pit")
    quantiles = regressor.predict_quantiles(data[0], np.arange(1, 10) / 10)
    counts = np.bincount((data[1][:, None] >= quantiles).sum(axis=1), minlength=10)
    np.testing.assert_allclose([bar.get_height() for bar in display.line_], counts / len(data[1]) * 10)


@pytest.mark.parametrize("targets", [None, "y"])
def test_coverage_display_accepts_data_frames_without_a_warning(targets, data):
    frame = pd.DataFrame({"x": data[0][:, 0], "y": data[1]})
    rows = (frame[["x"]], frame["y"]) if targets is None else (frame,)
    regressors = (GaussianMixtureRegressor(targets=targets), *rows), (GaussianMixtureRegressor(), *data)
    named, plain = (CoverageDisplay.from_estimator(each.fit(*rows), *rows) for each, *rows in regressors)
    np.testing.assert_array_equal(named.values, plain.values)


def test_coverage_of_a_mixture_equals_that_of_its_regions():
    mixture = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
    rows = mixture.sample(500, rng=0)[0]
    promised, observed = CoverageDisplay.from_estimator(mixture, rows).line_.get_data()
    for mass in (0.2, 0.5, 0.9):
        inside = mixture.in_highest_density_region(rows, mass).mean()
        assert observed[np.isclose(promised, mass)][0] == pytest.approx(inside, abs=1.5 / 500)


def test_coverage_counts_a_row_of_weight_2_as_two_rows(regressor, data):
    counts = np.arange(len(data[1])) % 3
    weighted = CoverageDisplay.from_estimator(regressor, *data, sample_weight=counts)
    repeated = CoverageDisplay.from_estimator(regressor, *(np.repeat(each, counts, axis=0) for each in data))
    np.testing.assert_allclose(weighted.line_.get_data(), repeated.line_.get_data())
    bands = (display.band_.get_paths()[0].vertices for display in (weighted, repeated))
    np.testing.assert_array_equal(*bands)
    heights = ([bar.get_height() for bar in display.plot(kind="pit").line_] for display in (weighted, repeated))
    np.testing.assert_allclose(*heights)
    with pytest.raises(ValueError, match="sample_weight must be ≥ 0, but row 2"):
        CoverageDisplay.from_estimator(regressor, *data, sample_weight=1.0 - counts)


def test_coverage_display_rejects_invalid_arguments(regressor, data):
    with pytest.raises(ValueError, match='kind=\'both\' must be "coverage" or "pit"'):
        CoverageDisplay.from_estimator(regressor, *data, kind="both")
    with pytest.raises(ValueError, match="X has 300 rows, but y has 2"):
        CoverageDisplay.from_estimator(regressor, data[0], data[1][:2])
    two = GaussianMixtureRegressor().fit(data[0], np.column_stack([data[1], data[1] ** 2]))
    with pytest.raises(ValueError, match="needs one target, but the regressor has several"):
        CoverageDisplay.from_estimator(two, data[0], np.column_stack([data[1], data[1]]))
