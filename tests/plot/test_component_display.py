"""Tests of shapes, positions and labels in `ComponentDisplay`; no pictures are compared."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import sklearn.mixture
from matplotlib.colors import to_rgb
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import gaussmix
from gaussmix import FAMILIES, BayesianGaussianMixture, GaussianMixture, GaussianMixtureDetector, Mixture, Noise
from gaussmix._src.plot.display import percent
from gaussmix._src.plot.palette import COLORS, component_pens
from gaussmix.plot import ComponentDisplay, DensityDisplay, PairDisplay, ProjectionDisplay

WEIGHTS = np.array([0.25, 0.75])
MEANS = np.array([[0.0, 5.0, -3.0], [3.0, 6.0, 0.0]])  # close enough that some rows are uncertain


@pytest.fixture(params=sorted(FAMILIES))
def mixture(request, rng):
    """Return two components in three features, of every covariance structure."""
    family = FAMILIES[request.param]
    roots = rng.normal(size=(2, 3, 3))
    dense = roots @ roots.transpose(0, 2, 1) + np.eye(3)
    variances, is_shared = np.diagonal(dense, axis1=1, axis2=2), family.is_shared
    compact = {
        3: dense,
        2: dense[0] if is_shared else variances,
        1: variances[0] if is_shared else variances.mean(axis=1),
        0: variances.mean(),
    }
    if family.non_default_params:
        return Mixture(WEIGHTS, MEANS, np.concatenate((roots[..., :1], variances[..., None]), axis=2), family)
    return Mixture(WEIGHTS, MEANS, compact[len(family.shape(2, 3))], family)


@pytest.fixture
def rows(mixture, rng):
    return mixture.sample(80, rng)[0]


def outline(ellipse):
    """Return points of an ellipse as matplotlib draws it, in data units: (n_points, 2)."""
    path = ellipse.get_path()
    # Other vertices are control points of the Bézier curves of the ellipse.
    on_curve = np.linalg.norm(path.vertices, axis=1) < 1 + 1e-9
    return ellipse.get_patch_transform().transform(path.vertices[on_curve])


def test_ellipses_are_at_the_mahalanobis_distance_of_their_level(mixture, rows):
    """Check (x − μ)ᵀ Σ⁻¹ (x − μ) = level² on the ellipse, by a solver that displays do not use."""
    display = ComponentDisplay.from_estimator(mixture, rows, features=[2, 0], levels=(3, 1.5))
    dense = mixture._model.covariances.dense()
    for k, ellipses in enumerate(display.components_):
        assert len(ellipses) == 2
        for ellipse, level in zip(ellipses, (1.5, 3), strict=True):
            offsets = outline(ellipse) - MEANS[k, [2, 0]]
            assert len(offsets) >= 8
            covariance = dense[k][np.ix_([2, 0], [2, 0])]
            squares = np.einsum("ij,ij->i", offsets, np.linalg.solve(covariance, offsets.T).T)
            # The condition number is below 1e3, and the angle of the ellipse is stored in degrees.
            np.testing.assert_allclose(squares, level**2, rtol=1e-9)


def test_row_colours_show_the_component_and_its_probability(mixture, rows):
    display = ComponentDisplay.from_estimator(mixture, rows, features=(1, 2))
    responsibilities = mixture.responsibilities(rows)
    assert responsibilities.max(axis=1).min() < 0.9
    for k, points in enumerate(display.rows_):
        is_member = responsibilities.argmax(axis=1) == k
        np.testing.assert_array_equal(points.get_offsets(), rows[is_member][:, [1, 2]])
        colors = points.get_facecolors()
        np.testing.assert_allclose(colors[:, :3], [to_rgb(COLORS[k])] * is_member.sum())
        np.testing.assert_allclose(colors[:, 3], 0.6 * responsibilities[is_member, k])
        assert display.components_[k][0].get_edgecolor()[:3] == to_rgb(COLORS[k])


def test_curves_of_one_feature_integrate_to_the_weights(mixture, rows):
    display = ComponentDisplay.from_estimator(mixture, rows, features=1, levels=[6])
    dense = mixture._model.covariances.dense()
    for k, (curve,) in enumerate(display.components_):
        points, density = curve.get_data()
        # The tolerance allows for the error of the trapezoidal rule with steps of σ / 13.
        assert np.trapezoid(density, points) == pytest.approx(WEIGHTS[k], rel=1e-2)
        assert points[density.argmax()] == pytest.approx(MEANS[k, 1])
        assert density.max() == pytest.approx(WEIGHTS[k] / np.sqrt(2 * np.pi * dense[k, 1, 1]))
        assert curve.get_color() == COLORS[k]
    heights = [bar.get_height() * bar.get_width() for bar in display.rows_]
    assert sum(heights) == pytest.approx(1)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("x1", "density")


@pytest.mark.parametrize("kind", [ComponentDisplay, DensityDisplay, PairDisplay, ProjectionDisplay])
def test_histograms_use_the_row_weights(kind):
    """Check that the bars equal the bars of repeated rows, without the row whose value is missing."""
    X, weight = np.array([[0.0], [0.0], [1.0], [np.nan]]), np.array([2.0, 1.0, 6.0, 9.0])
    mixture = Mixture([1.0], [[0.5]], [1.0], FAMILIES["spherical"])
    options = {"n_directions": 1} if kind is ProjectionDisplay else {}
    display = kind.from_estimator(mixture, X, sample_weight=weight, **options)
    bars = (display.component_displays[0][0] if kind is PairDisplay else display).rows_
    areas = [bar.get_height() * bar.get_width() for bar in bars]
    assert (areas[0], areas[-1]) == pytest.approx((1 / 3, 2 / 3))


def test_percent_does_not_round_small_weights_to_zero():
    assert [*map(percent, (0.0, 0.0027, 0.25, 0.99973, 1.0))] == ["0%", "0.3%", "25%", "99.97%", "100%"]
    assert [*map(percent, (0.005, 0.995))] == ["0.5%", "99.5%"]


@pytest.mark.heavy(n_default=1)
def test_pair_display_accepts_no_levels_and_rows_of_weight_0(mixture, rows):
    display = PairDisplay.from_estimator(mixture, rows, sample_weight=np.arange(len(rows)) == 0, levels=[])
    assert not any(display.component_displays[0][1].components_)


def test_a_narrow_curve_next_to_a_wide_one_is_drawn_up_to_its_peak():
    mixture = Mixture(WEIGHTS, np.array([[0.0], [5.0]]), np.array([1e-12, 1e6]), FAMILIES["spherical"])
    display = ComponentDisplay.from_estimator(mixture, np.array([[0.0], [5.0]]))
    narrow = display.components_[0][0].get_ydata()
    assert narrow.max() == pytest.approx(0.25 / np.sqrt(2 * np.pi) * 1e6)
    assert (narrow > narrow.max() / 2).sum() > 10


def test_axis_labels_are_the_feature_names_of_the_fit(rng):
    frame = pd.DataFrame(rng.normal(size=(30, 3)), columns=["length", "width", "mass"])
    gm = GaussianMixture(2, random_state=0).fit(frame)
    ax = ComponentDisplay.from_estimator(gm, frame, features=["mass", 0]).ax_
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("mass", "length")
    ax = ComponentDisplay.from_estimator(gm, frame.set_axis(["a", "b", "c"], axis=1), features=["mass", 0]).ax_
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("mass", "length")
    ax = ComponentDisplay.from_estimator(gm.mixture_, frame).ax_
    assert {ax.get_xlabel(), ax.get_ylabel()} < {"length", "width", "mass"}
    ax = ComponentDisplay.from_estimator(
        gm.mixture_, frame.to_numpy(), features=(-1, "b"), feature_names=list("abc")
    ).ax_
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("c", "b")
    ax = ComponentDisplay.from_estimator(gm.mixture_.with_feature_names(None), frame.to_numpy(), features=[0, 1]).ax_
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x0", "x1")


def test_component_display_draws_on_the_passed_axes_and_can_be_plotted_again(mixture, rows):
    figure, (left, right) = plt.subplots(1, 2)
    display = ComponentDisplay.from_estimator(mixture, rows, ax=left, legend=False)
    assert (display.ax_, display.figure_, left.get_legend()) == (left, figure, None)
    assert display.plot(right) is display
    assert (display.ax_, display.figure_) == (right, figure)
    named = ["component 0 (25%)", "component 1 (75%)", "39.3% within 1 σ", "86.5% within 2 σ", "98.9% within 3 σ"]
    assert [text.get_text() for text in right.get_legend().get_texts()] == named
    assert right.get_legend().get_title().get_text() == "2 of 3 features,\ncolours by all 3"
    assert display.plot().figure_ is not figure


@pytest.mark.heavy(n_default=3)
def test_row_and_component_options_reach_matplotlib(mixture, rows):
    options = {"row_kwargs": {"s": 3, "alpha": 0.2}, "component_kwargs": {"linewidth": 4, "fill": False}}
    display = ComponentDisplay.from_estimator(mixture, rows, colors=["black", "0.5"], **options)
    assert display.rows_[0].get_sizes() == [3]
    assert display.components_[0][0].get_linewidth() == 4
    assert display.components_[1][0].get_edgecolor()[:3] == (0.5, 0.5, 0.5)
    one = {"row_kwargs": {"bins": 3}, "component_kwargs": {"linewidth": 4}}
    display = ComponentDisplay.from_estimator(mixture, rows, features=0, **one)
    assert len(display.rows_) == 3
    assert display.components_[0][0].get_linewidth() == 4


def test_five_components_have_one_ellipse_each_without_a_fill():
    """Check the mass within 2 σ in the legend, which differs between ellipses and the intervals of one feature."""
    means = np.c_[np.arange(5.0), np.zeros(5)]
    mixture = Mixture(np.full(5, 0.2), means, np.full(5, 0.01), FAMILIES["spherical"])
    display = ComponentDisplay.from_estimator(mixture)
    for (ellipse,) in display.components_:
        assert ellipse.width == pytest.approx(2 * 2 * 0.1)
        assert ellipse.get_facecolor()[3] == 0
    assert display.legend_.get_texts()[-1].get_text() == "86.5% within 2 σ"
    line = ComponentDisplay.from_estimator(mixture, features=0).legend_
    assert line.get_texts()[-1].get_text() == "95.4% within 2 σ"
    assert line.get_title().get_text() == "1 of 2 features"


@pytest.mark.parametrize("n_more", [0, 30])
def test_the_features_that_separate_components_best_are_shown(n_more):
    """Check features 1 and 2, which separate one of three components, and feature 4, which separates another."""
    means = np.zeros((3, 5 + n_more))
    means[0, [1, 2]], means[1, 4] = 6.0, 5.0
    for scale in 1e-6, 1e6:
        mixture = Mixture([0.3, 0.3, 0.4], scale * means, np.full(3, scale**2), FAMILIES["spherical"])
        assert ComponentDisplay.from_estimator(mixture).features == [1, 4]
    for variance in 0.0, 1.0:
        alike = Mixture([0.5, 0.5], np.zeros((2, 3)), [variance] * 2, FAMILIES["spherical"])
        assert ComponentDisplay.from_estimator(alike).features == [0, 1]


def test_components_beyond_the_palette_get_other_markers_lines_and_indices():
    """Check that no two of 20 components have the same colour and marker, or the same colour and line."""
    means = np.c_[np.arange(20.0), np.zeros(20)]
    mixture = Mixture(np.full(20, 0.05), means, np.full(20, 0.01), FAMILIES["spherical"])
    display = ComponentDisplay.from_estimator(mixture, means[:10])  # ten of the components have no rows
    pens = component_pens(20)
    assert [pen.color for pen in pens] == display.colors_
    assert len({(pen.color, pen.marker) for pen in pens}) == 20
    assert len({(pen.color, pen.line_style) for pen in pens}) == 20
    assert [number.get_text() for number in display.texts_] == [str(k) for k in range(20)]


def test_many_rows_are_drawn_as_an_image_of_counts():
    """Check that opacity increases with the rows of a pixel, distant rows are points, and the legend covers nothing."""
    mixture = Mixture([0.5, 0.5], [[0.0, 0.0], [9.0, 0.0]], [1.0, 1.0], FAMILIES["spherical"])
    rows = np.concatenate([mixture.sample(30_000, 1)[0], [[50.0, 50.0]]])
    display = ComponentDisplay.from_estimator(mixture, rows)
    image, distant = display.rows_
    np.testing.assert_array_equal(distant.get_offsets(), [[50.0, 50.0]])
    shades = np.asarray(image.get_array())
    left, right, low, high = image.get_extent()
    counts = np.histogram2d(rows[:-1, 1], rows[:-1, 0], shades.shape[0], [[low, high], [left, right]])[0]
    np.testing.assert_array_equal(shades[..., 3] > 0, counts > 0)
    order = np.argsort(counts, axis=None)
    assert (np.diff(shades[..., 3].ravel()[order]) >= 0).all()
    middle = shades.shape[0] // 2
    np.testing.assert_allclose(shades[middle, middle // 4, :3], to_rgb(COLORS[0]), atol=1e-6)
    assert display.components_[0][0].get_zorder() > image.get_zorder()
    display.figure_.draw_without_rendering()
    assert display.legend_.get_window_extent().x0 > display.ax_.get_window_extent().x1


def test_a_mixture_is_drawn_without_rows(mixture):
    plane = ComponentDisplay.from_estimator(mixture)
    assert [len(points.get_offsets()) for points in plane.rows_] == [0, 0]
    assert len(plane.components_) == 2
    line = ComponentDisplay.from_estimator(mixture, features=0)
    assert line.rows_ == []
    assert len(line.components_) == 2


def test_rows_with_missing_values_are_assigned_by_their_observed_values():
    mixture = Mixture([0.5, 0.5], [[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]], [1.0, 1.0], FAMILIES["spherical"])
    rows = np.array([[0.0, 0.0, np.nan], [9.0, np.nan, 9.0], [np.nan, 9.0, 9.0], [9.0, 9.0, np.nan]])
    display = ComponentDisplay.from_estimator(mixture, rows, features=[0, 1])
    assert display.labels.tolist() == [0, 1, 1, 1]
    assert [points.get_offsets().tolist() for points in display.rows_] == [[[0.0, 0.0]], [[9.0, 9.0]]]


def test_missing_values_with_noise_of_a_volume_raise_as_in_predict(rng):
    X = np.concatenate([rng.normal(size=(100, 2)), [[30.0, 40.0]]])
    gm = GaussianMixture(1, noise=Noise(volume=2000.0), missing="allow", random_state=0).fit(X)
    incomplete = np.where(X.max() == X, np.nan, X)
    for use in gm.predict, lambda incomplete: ComponentDisplay.from_estimator(gm, incomplete):
        with pytest.raises(ValueError, match="X has missing values, and noise with only a volume has no density"):
            use(incomplete)


def test_rows_of_noise_are_drawn_and_named_in_the_legend(rng):
    X = np.concatenate([rng.normal(size=(100, 2)), [[30.0, 40.0]]])
    gm = GaussianMixture(1, noise=True, random_state=0).fit(X)
    display = ComponentDisplay.from_estimator(gm, X)
    np.testing.assert_array_equal(display.labels, gm.predict(X))
    np.testing.assert_array_equal(display.rows_[-1].get_offsets(), X[display.labels == -1])
    assert [text.get_text() for text in display.legend_.get_texts()][1] == "noise"


def test_colours_are_lighter_on_a_dark_background(mixture, rows):
    with plt.style.context("dark_background"):
        display = ComponentDisplay.from_estimator(mixture, rows)
    for color, own in zip(display.colors_, COLORS, strict=False):
        np.testing.assert_allclose(color, 0.75 * np.array(to_rgb(own)) + 0.25)
    with plt.rc_context({"axes.facecolor": "none"}):  # the white background of the figure remains visible
        assert ComponentDisplay.from_estimator(mixture, rows).colors_ == list(COLORS[:2])


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"features": ["x0", "x7"]}, ValueError, "'x7' is not one of 'x0', 'x1', 'x2'"),
        ({"features": [0, 3]}, ValueError, "There is no feature 3: the mixture has features 0 to 2"),
        ({"features": [1, "x1"]}, ValueError, "must be 1 to 2 different features"),
        ({"features": [0.5, 1]}, TypeError, r"A feature must be an index or a name, not 0\.5"),
        ({"feature_names": ["a", "b"]}, ValueError, "must be a list of 3 names"),
        ({"levels": [1, 0]}, ValueError, "must be a list of positive numbers, in standard deviations"),
        ({"levels": 2}, ValueError, "levels=2 must be a list of positive numbers, in standard deviations"),
        ({"levels": ["a"]}, TypeError, "levels must be real numbers, not"),
        ({"colors": []}, ValueError, "one or more colours"),
        ({"colors": ["red", "blau"]}, ValueError, "colours that matplotlib recognises"),
    ],
    ids=str,
)
def test_component_display_rejects_invalid_options(options, kind, message):
    mixture = Mixture(WEIGHTS, MEANS, np.ones(2), FAMILIES["spherical"])
    with pytest.raises(kind, match=message):
        ComponentDisplay.from_estimator(mixture, MEANS, **options)


@pytest.mark.parametrize(
    "Estimator", [gaussmix.GaussianMixtureClassifier, gaussmix.GaussianMixtureRegressor, GaussianMixtureDetector]
)
def test_component_display_accepts_all_estimators_with_a_mixture(Estimator, rng):
    """Check estimators that predict components, classes or target values, or that have no probabilities."""
    X, y = rng.normal(size=(60, 2)), np.repeat([0, 1], 30)
    X[30:] += 4.0
    estimator = Estimator(2).fit(X, y)
    rows = np.column_stack([X, y]) if estimator.mixture_.n_features == 3 else X
    display = ComponentDisplay.from_estimator(estimator, rows)
    np.testing.assert_array_equal(display.labels, estimator.mixture_.predict(rows))
    assert len(display.colors_) == len(display.rows_) == estimator.mixture_.n_components


def test_component_display_rejects_unfitted_and_foreign_estimators():
    with pytest.raises(NotFittedError):
        ComponentDisplay.from_estimator(GaussianMixture(), MEANS)
    with pytest.raises(TypeError, match=r"GaussianMixture.* can.t be drawn: pass a gaussmix estimator"):
        ComponentDisplay.from_estimator(sklearn.mixture.GaussianMixture().fit(MEANS), MEANS)
    pipeline = make_pipeline(GaussianMixture()).fit(MEANS)
    with pytest.raises(TypeError, match=r"^Pipeline.* can.t be drawn: pass its last step, pipeline\[-1\], and"):
        ComponentDisplay.from_estimator(pipeline, MEANS)
    with pytest.raises(TypeError, match=r"^GridSearchCV.* can.t be drawn: pass its best_estimator_\.$"):
        ComponentDisplay.from_estimator(GridSearchCV(GaussianMixture(), {}, cv=2).fit([*MEANS, *MEANS]))
    with pytest.raises(TypeError, match=r"^ComponentDisplay has no option 'color'\. The options are levels, .*colors"):
        ComponentDisplay.from_estimator(GaussianMixture().fit([*MEANS, *MEANS]), color="red")
    with pytest.raises(TypeError, match=r"^Pass a gaussmix estimator or a gaussmix.Mixture first"):
        ComponentDisplay.from_estimator(MEANS, GaussianMixture())


@pytest.mark.heavy(n_default=1)
def test_ellipses_of_uncertainty_and_of_many_components_are_not_filled(mixture):
    """Check that thin ellipses, and ellipses of five or more components, are lines that hide nothing."""
    display = ComponentDisplay.from_estimator(mixture, features=[2, 0], uncertainty=[mixture])
    assert [ellipse.get_facecolor()[3] for ellipse in display.components_[0]] == [0.08] * 3
    six = Mixture(np.full(6, 1 / 6), np.arange(12.0).reshape(6, 2), 1.0, FAMILIES["EII"])
    many = ComponentDisplay.from_estimator(six, component_kwargs={"alpha": 0.9}).components_
    for (ellipse,), opacity in [(display.uncertain_[0][0], 0.35), (many[0], 0.9)]:
        assert (ellipse.get_facecolor()[3], ellipse.get_edgecolor()[3]) == (0, opacity)


@pytest.mark.heavy
def test_uncertainty_draws_the_ellipses_of_sampled_mixtures():
    """Check thin ellipses of mixtures that are drawn from the sandwich covariance or from bootstrap fits."""
    X = np.random.default_rng(0).normal(np.repeat([0.0, 6.0], 60)[:, None], size=(120, 3))
    gm = GaussianMixture(2, random_state=0).fit(X)
    for mixtures in (
        gm.inference(X, kind="sandwich").sample_mixtures(400),
        gm.bootstrap(X, 400, random_state=0).sample_mixtures(400),
    ):
        display = ComponentDisplay.from_estimator(gm, X, features=[2, 0], uncertainty=mixtures)
        assert len(display.uncertain_) == 400
        centres = np.array([[ellipses[0].center for ellipses in each] for each in display.uncertain_])
        assert centres.shape == (400, 2, 2)
        np.testing.assert_allclose(centres.mean(axis=0), gm.means_[:, [2, 0]], atol=0.05)
        errors = gm.inference(X, kind="sandwich").bse[[4, 2, 7, 5]].reshape(2, 2)
        np.testing.assert_allclose(centres.std(axis=0), errors, rtol=0.2)
    display = ComponentDisplay.from_estimator(gm, X, uncertainty=gm.inference(X))
    assert len(display.uncertain_) == len(gm.inference(X).sample_mixtures())
    line = ComponentDisplay.from_estimator(gm, X, features=[1], uncertainty=mixtures[:3])
    assert [len(curves) for curves in line.uncertain_] == [2, 2, 2]
    with pytest.raises(ValueError, match="as many components and features as the plotted mixture"):
        ComponentDisplay.from_estimator(gm, X, uncertainty=[GaussianMixture(3, random_state=0).fit(X).mixture_])
    posterior = BayesianGaussianMixture(2, random_state=0).fit(X).posterior_
    assert len(ComponentDisplay.from_estimator(gm, X, uncertainty=posterior.sample(3, rng=0)).uncertain_) == 3
    for wrong in (posterior, posterior.estimates(2, rng=0).draws.tolist()):
        with pytest.raises(TypeError, match=r"such as posterior_.sample\(50\), not "):
            ComponentDisplay.from_estimator(gm, X, uncertainty=wrong)
