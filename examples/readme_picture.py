"""Draw the picture of README.md for light and for dark pages.

python examples/readme_picture.py      # needs pip install '.[plot]'
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_iris, make_moons

from gaussmix import GaussianMixture, GaussianMixtureIC
from gaussmix.plot import ComponentDisplay, ConditionalDisplay, CriterionDisplay, DensityDisplay

ROOT = Path(__file__).parents[1]
STRUCTURES = "full", "tied", "diag", "spherical"
NAMES = ["eruption, minutes", "wait for the next, minutes"]

# Colours of text and lines on light and dark pages, and two colours of the displays that are visible there.
PAGES = {
    "light": {"text": "#1f2328", "lines": "#8c959f", "components": ["#0072B2", "#D55E00"]},
    "dark": {"text": "#e6edf3", "lines": "#6e7681", "components": ["#56B4E9", "#E69F00"]},
}


def write(page: str, path: Path) -> None:
    """Write the picture for light or dark pages."""
    with plt.rc_context(style(PAGES[page]["text"], PAGES[page]["lines"])):
        figure = draw(page)
        # Without the program's name, the bytes do not depend on the release of matplotlib.
        figure.savefig(path, dpi=120, transparent=True, metadata={"Software": None}, pil_kwargs={"optimize": True})
        plt.close(figure)


def style(text: str, lines: str) -> dict[str, object]:
    """Return settings for simple axes in the colours of a page."""
    return {
        "font.size": 9,
        "axes.titlesize": 14,  # legible on a phone
        "font.family": "DejaVu Sans",  # part of matplotlib, so that the picture is the same everywhere
        "text.color": text,
        "axes.labelcolor": text,
        "axes.edgecolor": lines,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": lines,
        "ytick.color": lines,
        "xtick.labelcolor": text,
        "ytick.labelcolor": text,
    }


def draw(page: str) -> Figure:
    """Draw six tasks, each with its display."""
    colors, shown = PAGES[page]["components"], {"legend": False}
    figure, axes = plt.subplots(2, 3, figsize=(10.5, 6.4), layout="constrained")
    (clusters, number, density), (prediction, junk, sure) = axes
    rng, rows = np.random.default_rng(0), np.loadtxt(ROOT / "examples" / "faithful.csv", delimiter=",", skiprows=1)
    gm = GaussianMixture(2, random_state=0, tol=1e-6, max_iter=1000).fit(rows)
    ComponentDisplay.from_estimator(gm, rows, ax=clusters, feature_names=NAMES, colors=colors, **shown)
    clusters.set_title("Find clusters")

    search = GaussianMixtureIC(range(1, 7), covariance_type=list(STRUCTURES), random_state=0).fit(load_iris().data)
    search_lines = CriterionDisplay.from_estimator(search, ax=number, **shown).lines_
    number.legend(
        handles=[*search_lines.values()], frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.93)
    )
    number.set(title="Choose their number and shape", xlabel="components", ylabel="BIC", ylim=(550, 900))

    moons = make_moons(1000, noise=0.08, random_state=0)[0]
    DensityDisplay.from_estimator(GaussianMixture(8, random_state=0).fit(moons), moons, ax=density, **shown)
    density.set(title="Estimate a density", xlabel="", ylabel="", xticks=[], yticks=[])

    ConditionalDisplay.from_estimator(gm, rows, feature=0, target=1, ax=prediction, feature_names=NAMES, **shown)
    prediction.set_title("Predict, with uncertainty")

    noisy = np.concatenate([rows, rng.uniform(rows.min(axis=0), rows.max(axis=0), size=(272, 2))])
    with_noise = GaussianMixture(2, noise=True, random_state=0, tol=1e-6, max_iter=1000).fit(noisy)
    ComponentDisplay.from_estimator(with_noise, noisy, ax=junk, feature_names=NAMES, colors=colors, **shown)
    junk.set_title("Leave junk out")

    few = rows[::8]
    fit = GaussianMixture(2, random_state=0).fit(few)
    about = {
        "uncertainty": fit.bootstrap(few, n_resamples=99, random_state=0).sample_mixtures(8),
        "feature_names": NAMES,
        "colors": colors,
    }
    ComponentDisplay.from_estimator(fit, few, ax=sure, **about, **shown)
    sure.set_title("Know how sure you are")
    return figure


if __name__ == "__main__":
    for page in PAGES:
        write(page, ROOT / "docs" / "_static" / f"tasks-{page}.png")
