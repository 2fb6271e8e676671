"""Draw the picture of README.md, once for light pages and once for dark ones.

python examples/readme_picture.py      # needs pip install '.[plot]'
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from gaussmix import GaussianMixture
from gaussmix.plot import ComponentDisplay

ROOT = Path(__file__).parents[1]
NAMES = ["eruption, minutes", "wait for the next, minutes"]

# Text and lines of each kind of page, and two of the display's colours that stand out on it.
PAGES = {
    "light": {"text": "#1f2328", "lines": "#8c959f", "components": ["#0072B2", "#D55E00"]},
    "dark": {"text": "#e6edf3", "lines": "#6e7681", "components": ["#56B4E9", "#E69F00"]},
}


def write(page: str, path: Path) -> None:
    """Write the picture for a kind of page."""
    rows = np.loadtxt(ROOT / "examples" / "faithful.csv", delimiter=",", skiprows=1)
    gm = GaussianMixture(n_components=2, random_state=0).fit(rows)
    colors = PAGES[page]
    with plt.rc_context(style(colors["text"], colors["lines"])):
        figure = draw(gm, rows, colors["components"])
        # Without the name of the program the same bytes come from every release of matplotlib that draws the same.
        figure.savefig(path, dpi=140, transparent=True, metadata={"Software": None}, pil_kwargs={"optimize": True})
        plt.close(figure)


def style(text: str, lines: str) -> dict[str, object]:
    """Quiet axes in the colours of a page."""
    return {
        "font.size": 9,
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture everywhere
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


def draw(gm: GaussianMixture, rows: np.ndarray, colors: list[str]) -> Figure:
    """Both features, and beside them the second alone."""
    figure, (both, one) = plt.subplots(1, 2, figsize=(8, 3.6), width_ratios=[2, 1], layout="constrained")
    options = {"feature_names": NAMES, "colors": colors, "legend": False}
    ComponentDisplay.from_estimator(gm, rows, ax=both, **options)
    ComponentDisplay.from_estimator(gm, rows, ax=one, features=1, **options)
    for k, (mean, deviation) in enumerate(zip(gm.means_, np.sqrt(gm.covariances_[:, 0, 0]), strict=True)):
        label = f"component {k}: {gm.weights_[k]:.0%}"
        # Above the shorter eruptions and below the longer ones, where the other component is not.
        side = 1 if mean[0] < rows[:, 0].mean() else -1
        height = mean[1] + side * 3.35 * np.sqrt(gm.covariances_[k, 1, 1])
        both.text(
            mean[0] + side * 0.4 * deviation, height, label, color=colors[k], ha="center", va="center", weight="bold"
        )
    one.set(ylabel="", yticks=[])
    one.spines.left.set_visible(False)
    figure.get_layout_engine().set(wspace=0.06)
    return figure


if __name__ == "__main__":
    for page in PAGES:
        write(page, ROOT / "docs" / "_static" / f"faithful-{page}.png")
