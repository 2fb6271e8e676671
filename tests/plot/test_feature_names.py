"""Tests that displays show the names of features literally, with any characters."""

import re

import numpy as np
import pytest

from gaussmix import GaussianMixture
from gaussmix._src.plot.display import as_text, in_lines, new_figure
from gaussmix.plot import (
    ComponentDisplay,
    ConditionalDisplay,
    DecisionRegionDisplay,
    DensityDisplay,
    PairDisplay,
    ProjectionDisplay,
    UncertaintyDisplay,
)

NAMES = ["$$", "$\\frac$", "price $ per $", "a\\$b$", "\x1b[0m", "\udcff"]
DISPLAYS = [ComponentDisplay, DensityDisplay, PairDisplay, ProjectionDisplay, DecisionRegionDisplay, UncertaintyDisplay]


def drawn(display):
    """Draw the figure with warnings as errors, and return the labels of its axes."""
    figure = display.figure_
    figure.canvas.draw()
    return [text for ax in figure.axes for text in (ax.get_xlabel(), ax.get_ylabel())]


@pytest.fixture
def X(rng):
    return rng.normal(size=(60, 2)) + np.repeat([[0.0], [5.0]], 30, axis=0)


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_as_text_escapes_any_name(name):
    figure, ax = new_figure()
    ax.set_xlabel(as_text(name))
    figure.canvas.draw()
    shown = "".join(character if character.isprintable() else "?" for character in name)
    assert as_text(name).replace(r"\$", "$") == shown
    assert "$" not in as_text(name).replace(r"\$", "")


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("display", [*DISPLAYS, ConditionalDisplay], ids=lambda display: display.__name__)
def test_displays_show_feature_names_literally(display, X):
    name, which = "$\\frac$ \x1b", {"feature": 0, "target": 1} if display is ConditionalDisplay else {}
    made = display.from_estimator(GaussianMixture(2, random_state=0).fit(X), X=X, feature_names=[name, "b"], **which)
    assert any(r"\$\frac\$ " in text for text in drawn(made)) or display is ProjectionDisplay


@pytest.mark.heavy(n_default=2)
@pytest.mark.parametrize("display", DISPLAYS, ids=lambda display: display.__name__)
def test_displays_shorten_long_feature_names(display, X):
    gm = GaussianMixture(2, random_state=0).fit(X)
    made = display.from_estimator(gm, X, feature_names=["a" * 2000, "b"])
    texts = [text for ax in made.figure_.axes for text in (ax.get_xlabel(), ax.get_ylabel())]
    assert all(len(text.replace("\n", "")) <= 60 for text in texts)
    assert any("aaa…" in text for text in texts)
    assert in_lines("sensor_20_temperature", 15) == "sensor_20_\ntemperature"
    assert in_lines("width_ (cm)", 40) == "width_ (cm)"


def test_a_dollar_sign_is_escaped_at_the_line_break_of_a_name(X):
    gm = GaussianMixture(2, random_state=0).fit(X)
    made = ComponentDisplay.from_estimator(gm, X, feature_names=["a" * 39 + "$x$", "b"])
    assert made.ax_.get_xlabel() == "a" * 39 + r"\$" + "\n" + r"x\$"


@pytest.mark.parametrize("display", [ComponentDisplay, DensityDisplay])
def test_displays_write_large_numbers_with_a_prefix(display, X):
    gm = GaussianMixture(2, random_state=0).fit(1e5 * X)
    made = display.from_estimator(gm, 1e5 * X)
    made.figure_.canvas.draw()
    texts = [text.get_text() for axis in (made.ax_.xaxis, made.ax_.yaxis) for text in axis.get_ticklabels()]
    assert any(text.endswith("k") for text in texts)
    assert not any("000" in text for text in texts)


def test_a_projection_label_contains_only_whole_terms(rng):
    rows = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    names = [f"measurement {index}" for index in range(6)]
    made = ProjectionDisplay.from_estimator(GaussianMixture(2, random_state=0).fit(rows), rows, feature_names=names)
    for label in made.ax_.get_xlabel(), made.ax_.get_ylabel():
        terms = label.partition("\n")[2].replace("\n", " ")
        assert re.fullmatch(r"−?[\d.]+ measurement \d( [+−] [\d.]+ measurement \d)*( …)?", terms)
