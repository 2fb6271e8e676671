"""A display of a mixture's density as contours of highest-density regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.plot.display import Axes, FeatureDisplay, checked_masses
from gaussmix._src.plot.layers import covering_box, draw_histogram, draw_plain_rows, make_grid
from gaussmix._src.plot.palette import faded
from gaussmix._src.plot.subject import Subject

_OPACITY = 0.25  # opacity of each region; inner regions look darker, because they are drawn over outer regions


@dataclass(eq=False, repr=False, kw_only=True)
class DensityDisplay(FeatureDisplay):
    """Contour plot of the density of a mixture in two features, with one contour for each highest-density region.

    Create a display with `from_estimator`. The 95% region is the smallest region that contains 95% of the mixture's
    probability, and may consist of several separate pieces (Hyndman 1996, The American Statistician 50, 120–126). If
    only one feature is shown, the density is drawn as a curve, and the regions are filled below the curve. The display
    omits the noise component: the regions contain 95% of the probability of the other components, and the integral of
    the curve is 1 minus the weight of the noise.

    Parameters
    ----------
    mixture : marginal mixture of the one or two plotted features, without the noise component.
    rows : (n_rows, 1) or (n_rows, 2), values of the plotted features, in data units; empty if no rows are plotted.
    feature_names : names of the plotted features, used as axis labels.
    row_weight : (n_rows,), weights of the rows in the histogram; None if all weights are 1.
    noise_weight : weight of the noise component, which the legend's title states; 0 without noise.

    Attributes
    ----------
    ax_, figure_ : the axes and the figure of the plot. The method `plot` sets all attributes in this list.
    levels_ : (n_coverages,), log density of each contour in nats, in ascending order, so that the largest region comes
        first.
    contours_ : the `matplotlib.contour.QuadContourSet` if two features are shown; the density curve if one feature is
        shown.
    regions_ : the filled contours if two features are shown; one filled area for each coverage if one feature is shown.
    rows_ : the matplotlib artists that show the rows.
    legend_ : the legend at the right of the axes, or None if there is no legend.

    Examples
    --------
    >>> from gaussmix import FAMILIES, Mixture
    >>> from gaussmix.plot import DensityDisplay
    >>> m = Mixture([0.5, 0.5], [[0.0, 0.0], [4.0, 1.0]], [1.0, 1.0], FAMILIES["spherical"])
    >>> DensityDisplay.from_estimator(m, coverages=[0.5, 0.9]).levels_.round(2)
    array([-4.63, -3.22])
    """

    mixture: Mixture
    rows: Array
    feature_names: Sequence[str]
    row_weight: Array | None = None
    noise_weight: float = 0.0

    _is_colored_by_all = False

    @classmethod
    def from_fit(cls, subject: Subject, shown: Sequence[int]) -> Self:
        """Create a display of the features `shown` without drawing it."""
        mixture, names = subject.mixture.without_noise.marginal(shown), [subject.names[j] for j in shown]
        parts: dict[str, Any] = {"row_weight": subject.row_weight, "noise_weight": subject.mixture._model.noise_weight}
        return cls(mixture=mixture, rows=subject.shown(shown), feature_names=names, **parts)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        coverages: Sequence[float] = (0.5, 0.8, 0.95),
        color: Any = None,
        legend: bool = True,
    ) -> Self:
        """Draw the display.

        Parameters not listed here, the return value and the errors are the same as in `ConditionalDisplay.plot`.

        Parameters
        ----------
        coverages : probabilities of the regions, above 0 and below 1.
        color : colour of all regions, blue by default; larger regions are more transparent.

        Raises
        ------
        ValueError, TypeError : `coverages` are not numbers above 0 and below 1, or `color` is not a colour.
        """
        probabilities = checked_masses(coverages)
        ax = self._set_axes(ax)
        color = self._line_color(color)
        probabilities = probabilities[::-1]
        self.levels_: Any = self.mixture.highest_density_level(probabilities)
        shades = [faded(color, 1 - (1 - _OPACITY) ** (nth + 1)) for nth in range(len(probabilities))]
        is_line = self.mixture.n_features == 1
        (self._draw_line if is_line else self._draw_plane)(ax, color, shades)
        self._name_axes(self.feature_names, "density")
        return self._with_legend(_handles(probabilities, shades, color), legend)

    def _draw_plane(self, ax: Axes, color: Any, shades: list[Any]) -> None:
        x, y, points = make_grid(self.mixture, self.rows)
        density = self.mixture.log_density(points).reshape(len(y), len(x))
        levels = self.levels_ + np.arange(len(self.levels_)) * 1e-12  # matplotlib needs strictly ascending levels
        top = max(float(density.max()), float(levels[-1])) + 1.0
        self.regions_: Any = ax.contourf(x, y, density, levels=[*levels, top], colors=shades, zorder=1.5)
        style: dict[str, Any] = {"colors": [color], "linewidths": 1.2, "linestyles": "-", "zorder": 3}
        self.contours_: Any = ax.contour(x, y, density, levels=levels, **style)
        box = covering_box(self.mixture.means, self.mixture._model.covariances.dense())
        opacity = min(0.6, 20 * max(len(self.rows), 1) ** -0.5)
        self.rows_: Any = draw_plain_rows(ax, self.rows, self._text_color, opacity, box, {"s": 6})
        self._view(density >= levels[0], x, y)

    def _view(self, inside: Any, x: Array, y: Array) -> None:
        """Set the limits of the axes so that they show the outermost region and all rows, with a margin."""
        rows = self.rows[~np.isnan(self.rows).any(axis=1)]
        for axis, values, own, name in ((0, x, rows[:, 0], "x"), (1, y, rows[:, 1], "y")):
            seen = values[inside.any(axis=axis)]
            ends = np.concatenate([seen, own]) if len(seen) + len(own) else values
            margin = 0.05 * (ends.max() - ends.min())
            getattr(self.ax_, f"set_{name}lim")(ends.min() - margin, ends.max() + margin)

    def _draw_line(self, ax: Axes, color: Any, shades: list[Any]) -> None:
        x = make_grid(self.mixture, self.rows)[0]
        density = np.exp(self.mixture.log_density(x[:, None]))
        self.rows_ = draw_histogram(ax, self.rows[:, 0], self.row_weight, {})
        style = {"color": shades[0], "linewidth": 0}
        inside, height = [density >= np.exp(at) for at in self.levels_], (1.0 - self.noise_weight) * density
        self.regions_ = [ax.fill_between(x, height, where=where, **style) for where in inside]
        (self.contours_,) = ax.plot(x, height, color=color, linewidth=1.3)
        ax.set_ylim(bottom=0.0)


def _handles(probabilities: Array, shades: Sequence[Any], color: Any) -> list[Any]:
    from matplotlib.patches import Patch

    labels = [f"{100 * probability:.4g}% of the mass" for probability in probabilities[::-1].tolist()]
    shaded = zip(labels, shades[::-1], strict=True)
    return [Patch(facecolor=shade, edgecolor=color, label=label) for label, shade in shaded]
