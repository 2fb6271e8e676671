"""Tests that contours, grids of pairs, projections and decision regions agree with the mixture or the estimator."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import gaussmix
from gaussmix import FAMILIES, GaussianMixture, GaussianMixtureDetector, GaussianMixtureDimensionReducer, Mixture
from gaussmix._src.plot.projection_display import direction_label
from gaussmix.plot import ComponentDisplay, DecisionRegionDisplay, DensityDisplay, PairDisplay, ProjectionDisplay


@pytest.fixture
def mixture():
    covariances = [[[1.0, 0.6], [0.6, 2.0]], [[0.3, 0.0], [0.0, 0.5]]]
    return Mixture([0.4, 0.6], [[0.0, 0.0], [4.0, 1.0]], covariances, FAMILIES["full"], ["length", "width"])


def test_density_contours_contain_their_probability_mass(mixture):
    """Check that the expected number of 100,000 drawn rows lies inside, within 5 standard errors."""
    display = DensityDisplay.from_estimator(mixture, coverages=[0.9, 0.5])
    np.testing.assert_allclose(display.contours_.levels, display.levels_, rtol=1e-9)
    density = mixture.log_density(mixture.sample(100_000, rng=0)[0])
    for mass, level in zip([0.9, 0.5], display.levels_, strict=True):
        assert abs((density >= level).mean() - mass) < 5 * np.sqrt(mass * (1 - mass) / 100_000) + 1e-3
    for level, paths in zip(display.levels_, display.contours_.get_paths(), strict=True):
        # Contours are straight between grid lines.
        np.testing.assert_allclose(mixture.log_density(paths.vertices), level, atol=0.02)


def test_the_density_of_one_feature_is_a_curve_over_its_regions(mixture):
    display = DensityDisplay.from_estimator(mixture, features="length", coverages=[0.5])
    x, height = display.contours_.get_data()
    marginal = mixture.marginal(["length"])
    np.testing.assert_allclose(height, np.exp(marginal.log_density(x[:, None])))
    assert np.trapezoid(height, x) == pytest.approx(1, abs=1e-3)
    inside = height >= np.exp(display.levels_[0])
    assert np.trapezoid(np.where(inside, height, 0), x) == pytest.approx(0.5, abs=0.02)
    assert [text.get_text() for text in display.legend_.get_texts()] == ["50% of the mass"]


def test_density_display_shows_all_rows(mixture):
    display = DensityDisplay.from_estimator(mixture, [[0.0, 0.0], [30.0, -9.0]])
    np.testing.assert_array_equal(display.rows_[0].get_offsets(), [[0.0, 0.0], [30.0, -9.0]])
    assert display.ax_.get_xlim()[1] > 30
    assert display.ax_.get_ylim()[0] < -9


@pytest.mark.parametrize("masses", [[], [0.0], [0.5, 1.0]])
def test_density_display_rejects_coverages_outside_0_to_1(mixture, masses):
    with pytest.raises(ValueError, match="must be numbers above 0 and below 1"):
        DensityDisplay.from_estimator(mixture, coverages=masses)


@pytest.fixture
def mixture_pairs():
    means = [[0.0, 5.0, -3.0], [3.0, 6.0, 0.0]]
    return Mixture([0.25, 0.75], means, np.ones((2, 3)), FAMILIES["diag"], ["length", "width", "mass"])


def test_panels_of_a_pair_display_equal_component_displays(mixture_pairs, rng):
    rows = mixture_pairs.sample(50, rng)[0]
    display = PairDisplay.from_estimator(mixture_pairs, rows, levels=[1.5])
    assert display.legend_.get_texts()[-1].get_text() == "67.5% within 1.5 σ\n(diagonal: 86.6%)"
    for (i, j), ax in np.ndenumerate(display.axes_):
        panel = display.component_displays[i][j]
        single = ComponentDisplay.from_estimator(mixture_pairs, rows, features=[i] if i == j else [j, i], levels=[1.5])
        assert panel.ax_ is ax
        np.testing.assert_array_equal(panel.means, single.means)
        np.testing.assert_array_equal(panel.covariances, single.covariances)
        if i == j:
            for (one,), (other,) in zip(panel.components_, single.components_, strict=True):
                np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())
        else:
            np.testing.assert_array_equal(panel.rows_[0].get_offsets(), single.rows_[0].get_offsets())


def test_pair_display_names_each_feature_once_below_and_once_at_the_left(mixture_pairs):
    axes = PairDisplay.from_estimator(mixture_pairs).axes_
    assert [ax.get_xlabel() for ax in axes[-1]] == ["length", "width", "mass"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["length", "width", "mass"]
    assert {ax.get_xlabel() for ax in axes[:-1].flat} == {ax.get_ylabel() for ax in axes[:, 1:].flat} == {""}


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("n_features", [1, 2, 3])
@pytest.mark.parametrize("scale", [1e-6, 1e5])
def test_labels_of_a_pair_display_fit_and_each_feature_has_ticks(scale, n_features):
    means = scale * np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 8.0]])
    mixture = Mixture([0.5, 0.5], means, np.full(2, 0.01 * scale**2), FAMILIES["spherical"])
    names = ["the income of a household, before taxes, in a year", "b", "c"]
    display = PairDisplay.from_estimator(mixture, features=range(n_features), feature_names=names)
    display.figure_.canvas.draw()
    page, last = display.figure_.bbox, display.axes_[0, -1]
    for ax in [*display.axes_[:, 0], *display.axes_[-1], last]:
        box = ax.get_tightbbox()
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        assert page.y0 <= box.y0 < box.y1 <= page.y1
    numbers = [*display.axes_[-1, 0].get_xticklabels(), *(last.get_yticklabels() if n_features > 1 else ())]
    assert {label.get_text()[-1] for label in numbers if label.get_text()} <= {"0", "k", "n", "µ"}


def test_pair_display_draws_on_the_passed_axes(mixture_pairs):
    figure, axes = plt.subplots(2, 2)
    display = PairDisplay.from_estimator(mixture_pairs, features=["mass", 0], ax=axes, legend=False)
    assert (display.figure_, display.legend_) == (figure, None)
    assert axes[1, 0].get_xlabel() == "mass"
    with pytest.raises(
        ValueError, match=r"ax must be \(3, 3\) axes, one for each plot, not an array of shape \(2, 2\)"
    ):
        PairDisplay.from_estimator(mixture_pairs, ax=axes)


def test_pair_display_rejects_more_than_eight_features(rng):
    X = rng.normal(size=(60, 9))
    gm = GaussianMixture(1).fit(X)
    with pytest.raises(ValueError, match=r"There are 9 features, .* choose some of them with features=\[…\]"):
        PairDisplay.from_estimator(gm, X)
    with pytest.raises(ValueError, match="must be 1 to 8 different features"):
        PairDisplay.from_estimator(gm, X, features=range(9))
    assert PairDisplay.from_estimator(gm, X, features=[8, 3]).axes_.shape == (2, 2)
    assert PairDisplay.from_estimator(gm, X, features=2).axes_.shape == (1, 1)


@pytest.fixture
def X(rng):
    return rng.normal(size=(90, 4)) + np.repeat([[0, 0, 0, 0], [6, 0, 0, 0], [0, 0, 7, 0]], 30, axis=0)


def test_projection_display_equals_the_dimension_reducer(X):
    reducer = GaussianMixtureDimensionReducer(3, random_state=0).fit(X)
    gm = GaussianMixture(3, random_state=0).fit(X)
    display = ProjectionDisplay.from_estimator(gm, X)
    np.testing.assert_allclose(display.directions, reducer.components_)
    np.testing.assert_allclose(display.rows, reducer.transform(X), atol=1e-12)
    np.testing.assert_array_equal(display.labels, gm.predict(X))
    np.testing.assert_allclose(display.means, reducer.reduced_mixture_.means, atol=1e-12)
    np.testing.assert_allclose(display.covariances, reducer.reduced_mixture_.covariances, atol=1e-12)
    assert display.ax_.get_xlabel().startswith("direction 0 (features in σ)\n")


def test_terms_in_names_of_directions_do_not_depend_on_units(X):
    names = []
    for units in (1.0, np.array([1e4, 1.0, 1.0, 1e-3])):
        gm = GaussianMixture(3, random_state=0, reg_covar=0).fit(X * units)
        ax = ProjectionDisplay.from_estimator(gm, X * units, feature_names=list("abcd")).ax_
        names.append(ax.get_xlabel().split("\n")[1])
    assert names[0].split()[1] in ("a", "c")  # only these features separate the groups
    assert names[0] == names[1]
    assert direction_label(np.array([-3.0, 0.1, 4.0]), ["a", "b", "c"]) == "0.8 c − 0.6 a"
    assert direction_label(np.array([-2.0, 0.0]), ["a", "b"]) == "−1 a"


def test_the_projection_of_one_component_has_two_orthogonal_directions(X):
    """Check that the second direction is orthogonal if components are equal or differ along one direction only."""
    display = ProjectionDisplay.from_estimator(GaussianMixture(1).fit(X), X)
    np.testing.assert_allclose(display.directions @ display.directions.T, np.eye(2), atol=1e-12)
    assert (
        ProjectionDisplay.from_estimator(GaussianMixture(2, random_state=0).fit(X), X, n_directions=1).ax_.get_ylabel()
        == "density"
    )
    with pytest.raises(ValueError, match="n_directions=3 must be 1 or 2"):
        ProjectionDisplay.from_estimator(GaussianMixture(1).fit(X), X, n_directions=3)


@pytest.fixture
def data(rng):
    y = np.repeat(["a", "b", "c"], 40)
    return rng.normal(size=(120, 2)) + np.repeat([[0, 0], [5, 0], [2, 5]], 40, axis=0), y


def grid_points(display):
    return np.stack(np.meshgrid(display.x, display.y), axis=-1).reshape(-1, 2)


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("reject_below", [0.0, 0.05])
def test_decision_regions_of_a_classifier_equal_its_predictions(data, reject_below):
    X, y = data
    classifier = gaussmix.GaussianMixtureClassifier([1, 2], random_state=0, reject_below=reject_below).fit(X, y)
    display = DecisionRegionDisplay.from_estimator(classifier, X)
    assert display.region_names == ["a", "b", "c", *["rejected"] * (reject_below > 0)]
    assert display.is_last_grey is (reject_below > 0)
    assert DecisionRegionDisplay.from_estimator(classifier, features=[1, 0]).feature_names == ["x1", "x0"]
    names = np.array(["a", "b", "c", "unknown"])
    drawn = names[np.asarray(display.regions_.get_array(), dtype=int).ravel()]
    np.testing.assert_array_equal(drawn, classifier.predict(grid_points(display)))
    np.testing.assert_array_equal(names[display.labels], classifier.predict(X))
    assert [len(points.get_offsets()) for points in display.rows_] == np.bincount(display.labels).tolist()
    line = DecisionRegionDisplay.from_estimator(classifier, features=0).regions_
    np.testing.assert_allclose(sum(line[k].get_ydata() for k in range(3)), 1.0)
    assert not reject_below or {*line[3].get_ydata()} == {0, 1}


@pytest.mark.parametrize("contamination", ["auto", 0.2])
def test_decision_regions_of_a_detector_equal_its_predictions(data, contamination):
    detector = GaussianMixtureDetector(3, contamination=contamination, random_state=0).fit(data[0])
    display = DecisionRegionDisplay.from_estimator(detector, data[0])
    drawn = 1 - 2 * np.asarray(display.regions_.get_array()).ravel()
    np.testing.assert_array_equal(drawn, detector.predict(grid_points(display)))
    np.testing.assert_array_equal(1 - 2 * display.labels, detector.predict(data[0]))


def test_decision_regions_include_noise(rng):
    X = np.concatenate([rng.normal(size=(100, 2)), [[30.0, 40.0]]])
    gm = GaussianMixture(1, noise=True, random_state=0).fit(X)
    display = DecisionRegionDisplay.from_estimator(gm, X)
    drawn = np.asarray(display.regions_.get_array(), dtype=int).ravel()
    np.testing.assert_array_equal(np.where(drawn == 1, -1, drawn), gm.predict(grid_points(display)))
    assert display.region_names == ["component 0", "noise"]


def test_legends_state_the_weight_of_noise_that_is_not_drawn(rng):
    X = np.concatenate([rng.normal(size=(200, 2)), rng.uniform(-9, 9, size=(100, 2))])
    gm = GaussianMixture(1, noise=True, random_state=0).fit(X)
    noise = gm.mixture_.noise.weight
    for display in (gaussmix.plot.ConditionalDisplay, DensityDisplay):
        assert display.from_estimator(gm, X).legend_.get_title().get_text() == f"without noise ({noise:.0%})"
    curve = DensityDisplay.from_estimator(gm, X, features=0)
    assert curve.legend_.get_title().get_text() == f"1 of 2 features\nwithout noise ({noise:.0%})"
    assert np.trapezoid(*curve.contours_.get_data()[::-1]) == pytest.approx(1 - noise, rel=1e-3)
    for display in (ComponentDisplay, ProjectionDisplay):
        assert display.from_estimator(gm, X).legend_.get_texts()[0].get_text() == f"component 0 ({1 - noise:.0%})"


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize(("n", "n_listed"), [(24, 24), (40, 40), (61, 0)])
def test_a_legend_of_many_regions_fits_or_is_left_out(n, n_listed):
    grid = {"x": np.arange(n), "y": np.arange(2), "scores": np.stack([np.eye(n)] * 2, axis=1)}
    none = {"rows": np.empty((0, 2)), "labels": np.empty(0, dtype=int)}
    display = DecisionRegionDisplay(region_names=[str(k) for k in range(n)], feature_names="ab", **grid, **none).plot()
    display.figure_.canvas.draw()
    texts = display.legend_.get_texts() if n_listed else []
    assert len(texts) == n_listed
    assert all(text.get_window_extent().y0 >= 0 for text in texts)


def test_boundaries_are_at_equal_responsibilities():
    mixture = Mixture([0.5, 0.5], [[0.0, 0.0], [4.0, 0.0]], [1.0, 1.0], FAMILIES["spherical"])
    (boundary,) = DecisionRegionDisplay.from_estimator(mixture).boundaries_
    np.testing.assert_allclose(boundary.get_paths()[0].vertices[:, 0], 2.0, atol=1e-2)


def test_decision_regions_of_one_feature_are_responsibilities():
    mixture = Mixture([0.5, 0.5], [[0.0, 0.0], [4.0, 0.0]], [1.0, 1.0], FAMILIES["spherical"])
    display = DecisionRegionDisplay.from_estimator(mixture, features=0)
    responsibilities = mixture.marginal([0]).responsibilities(display.x[:, None])
    for line, of_component in zip(display.regions_, responsibilities.T, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.column_stack([display.x, of_component]))
    assert [line.get_xdata()[0] for line in display.boundaries_] == pytest.approx([2.0], abs=0.05)


def test_decision_regions_integrate_out_hidden_features():
    """Check that the marginal of a detector has the region of the same mass."""
    X = np.random.default_rng(0).normal(size=(200, 3))
    detector = GaussianMixtureDetector(coverage=0.9).fit(X)
    display = DecisionRegionDisplay.from_estimator(detector, features=[0, 2])
    marginal = detector.mixture_.marginal([0, 2])
    inside = marginal.in_highest_density_region(grid_points(display), 0.9)
    np.testing.assert_array_equal(np.asarray(display.regions_.get_array()).ravel() == 0, inside)


def test_decision_regions_of_a_detector_use_only_the_shown_features():
    """Check that rows have their region's colour, or a third colour if only hidden features make them outliers."""
    X = np.random.default_rng(0).normal(size=(200, 4))
    detector = GaussianMixtureDetector(coverage=0.9).fit(X)
    display = DecisionRegionDisplay.from_estimator(detector, X, features=[0, 2])
    inside = detector.mixture_.marginal([0, 2]).in_highest_density_region(X[:, [0, 2]], 0.9)
    np.testing.assert_array_equal(display.labels != 1, inside)
    np.testing.assert_array_equal(display.labels == 2, inside & (detector.predict(X) < 0))
    entries = [text.get_text() for text in display.legend_.get_texts()]
    assert entries == ["inside", "outlier", "outlier only in all 4 features"]
    assert display.legend_.get_title().get_text() == "2 of 4 features"
    assert DecisionRegionDisplay.from_estimator(detector, features=0).ax_.get_ylabel() == "decision (1: yes, 0: no)"
    classes = DecisionRegionDisplay.from_estimator(detector.mixture_, X).legend_
    assert classes.get_title().get_text() == "2 of 4 features,\ncolours by all 4"
