"""Displays of a mixture in a terminal and in a notebook."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from common import NoiseComponent

from gaussmix import FAMILIES, FactorAnalyzer, Mixture
from gaussmix._src.mixture.html import COLORS, HEIGHT, RADIUS, WIDTH, sketch
from gaussmix.testing import PROBLEMS

COVARIANCES = [[[1.0, 0.5], [0.5, 2.0]], [[4.0, 0.0], [0.0, 1.0]]]
TWO = Mixture([0.25, 0.75], [[0.0, 0.0], [6.0, 2.0]], COVARIANCES, FAMILIES["full"], ["<b>bill</b>", "body & mass"])
LINE = Mixture([0.5, 0.5], [[0.0], [5.0]], [1.0, 4.0], FAMILIES["spherical"])
BOX = NoiseComponent.from_bounds(0.1, np.array([[-5.0, -5.0], [12.0, 9.0]]))
NOISY = Mixture([0.4, 0.5], TWO.means, TWO.covariances, TWO.family, noise=BOX)


def svg_of(html):
    return ET.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])


def test_repr_of_a_mixture_gives_sizes_and_weights_on_one_line():
    assert repr(TWO) == "<Mixture: 2 components, full, 2 features (<b>bill</b>, body & mass), weights 0.25, 0.75>"
    assert repr(NOISY) == "<Mixture: 2 components, full, 2 features, weights 0.4, 0.5, noise 0.1>"
    many = Mixture(np.full(50, 0.02), np.zeros((50, 40)), np.ones(50), FAMILIES["spherical"], [*map(str, range(40))])
    assert repr(many) == (
        f"<Mixture: 50 components, spherical, 40 features (0, 1, 2, 3, 4, …), weights {'0.02, ' * 6}…>"
    )
    q2 = FactorAnalyzer(2)
    assert "factor_analyzer (n_factors=2" in repr(Mixture._from_model(PROBLEMS["overlapping"].start(q2)))


def test_html_table_lists_all_parameters_and_escapes_feature_names():
    html = TWO._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;bill&lt;/b&gt;" in html
    assert "body &amp; mass" in html
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", html)
    assert cells[4:] == ["0", "0.2500", "0.00 ± 1.00", "0.00 ± 1.41", "1", "0.7500", "6.00 ± 2.00", "2.00 ± 1.00"]
    assert re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", NOISY._repr_html_())[-4:] == ["noise", "0.1000", "", ""]


def test_html_sketch_draws_components_of_weight_0_only_if_there_are_no_others():
    noise = NoiseComponent(1.0, 0.0)
    actual = Mixture([0.0, 0.0], LINE.means, LINE.covariances, LINE.family, noise=noise)._repr_html_()
    ends = {up for line in svg_of(actual).iter("polyline") for _, up in re.findall(r"(\S+),(\S+)", line.get("points"))}
    assert len(ends) == 1
    assert "nan" not in actual
    one = Mixture([0.0, 1.0], TWO.means, TWO.covariances, TWO.family)
    assert len(svg_of(one._repr_html_()).findall("ellipse")) == 1


def test_html_table_is_truncated_and_counts_omitted_entries():
    many = Mixture(np.full(50, 0.02), np.zeros((50, 40)), np.ones(50), FAMILIES["spherical"])
    html = many._repr_html_()
    assert "… 32 more" in html
    assert "… 20 more" in html
    assert html.count("<ellipse") == 30


def test_html_sketch_draws_each_component_as_an_ellipse():
    ellipses = svg_of(TWO._repr_html_()).findall("ellipse")[::-1]  # the largest weight is drawn first
    assert len(ellipses) == 2
    transforms = [[float(x) for x in re.findall(r"-?[\d.]+", each.get("transform"))] for each in ellipses]
    # The second ellipse is axis-parallel, and its horizontal deviation is twice the vertical one, which gives the
    # scales of both axes.
    across, up = (float(ellipses[1].get(name)) for name in ("rx", "ry"))
    scale = np.array([across / (RADIUS * 2.0), up / (RADIUS * 1.0)])
    if transforms[1][2] % 180 > 45:  # the longer half-length is vertical in pixels
        scale = np.array([up / (RADIUS * 2.0), across / (RADIUS * 1.0)])
    offset = np.subtract(transforms[1][:2], transforms[0][:2]) / scale
    np.testing.assert_allclose(offset, [6.0, -2.0], rtol=0.02)  # pixels have one decimal
    covariance = TWO.covariances[0] * np.outer(scale * [1, -1], scale * [1, -1])
    radii = RADIUS * np.sqrt(np.linalg.eigvalsh(covariance))
    actual = [float(ellipses[0].get(name)) for name in ("ry", "rx")]
    np.testing.assert_allclose(actual, radii, atol=0.2)


@pytest.mark.parametrize("mixture", [TWO, LINE, NOISY, NOISY.marginal(0), TWO[0]], ids=range(5))
def test_html_sketch_has_a_title_and_component_colours_and_stays_in_its_frame(mixture):
    text = sketch(mixture)
    svg = ET.fromstring(text)
    assert svg.find("title").text
    assert re.findall(r"stroke=\"(#\w+)\"", text) == [COLORS[k] for k in np.argsort(-mixture.weights, kind="stable")]
    assert not re.search(r"rgb|black|white", text)
    assert {each.get("fill") for each in svg.findall("text")} == {"currentColor"}
    for line in svg.findall("polyline"):
        points = np.array([[float(x) for x in pair.split(",")] for pair in line.get("points").split()])
        assert (points >= 0).all()
        assert (points <= [WIDTH, HEIGHT]).all()


def test_html_sketch_draws_the_density_as_the_thickest_curve():
    lines = sorted(ET.fromstring(sketch(LINE)).findall("polyline"), key=lambda line: line.get("stroke-width"))
    points = np.array([[float(x) for x in pair.split(",")] for pair in lines[-1].get("points").split()])
    height = points[:, 1].max() - points[:, 1]
    x = -3.5 + (points[:, 0] - points[0, 0]) / (points[-1, 0] - points[0, 0]) * (12.0 + 3.5)
    density = LINE.pdf(x)
    np.testing.assert_allclose(height / height.max(), density / density.max(), atol=0.02)


def test_html_axis_labels_differ_even_if_values_are_large():
    dates = Mixture([1.0], np.full((1, 2), 20240615.0), [100.0**2], FAMILIES["spherical"])
    texts = [text.text for text in svg_of(dates._repr_html_()).iter("text")]
    assert (texts.count("20240395"), texts.count("20240835")) == (2, 2)


@pytest.mark.parametrize("n_features", [1, 2])
def test_html_sketch_draws_components_narrower_than_rounding(n_features):
    actual = Mixture([1.0], np.full((1, n_features), 1e20), [1e-6], FAMILIES["spherical"])._repr_html_()
    svg_of(actual)
    assert "nan" not in actual
    assert "inf" not in actual


@pytest.mark.parametrize("n_features", [1, 2])
@pytest.mark.parametrize("variances", [[0.0, 1.0], [0.0, 0.0]])
@pytest.mark.parametrize("mean", ["0", "12345.7"])
def test_html_shows_components_of_variance_0(n_features, variances, mean):
    means = np.full((2, n_features), float(mean))
    actual = Mixture([0.5, 0.5], means, variances, FAMILIES["spherical"])._repr_html_()
    svg_of(actual)
    assert f"{mean} ± 0<" in actual
    assert "nan" not in actual
    assert "inf" not in actual
