"""A display of a mixture of several features as a grid with a plot for each pair of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from gaussmix._src.plot.component_display import ComponentDisplay, checked_levels, default_levels
from gaussmix._src.plot.display import (
    FeatureDisplay,
    as_text,
    in_lines,
    legend_beside,
    level_handles,
    new_figure,
    shorten_tick_labels,
)
from gaussmix._src.plot.palette import background, component_pens
from gaussmix._src.plot.subject import MAX_GRID_FEATURES, Subject

_LEGEND_AT = 1.25  # left edge of the legend, in axes widths, to the right of the tick labels


@dataclass(eq=False, repr=False, kw_only=True)
class PairDisplay(FeatureDisplay):
    """Grid of plots for all pairs of features, with the density of each single feature on the diagonal.

    Create a display with `from_estimator`. Each plot is a `ComponentDisplay`, with rows and ellipses or, on the
    diagonal, with a histogram and curves.

    Parameters
    ----------
    component_displays : a list for each row of the grid, from top to bottom, with one `ComponentDisplay` for each
        column.

    Attributes
    ----------
    axes_ : (n_shown, n_shown), the `matplotlib.axes.Axes` of the plots.
    figure_ : the `matplotlib.figure.Figure` that contains the axes.
    legend_ : the legend at the right of the grid, or None if there is no legend.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture
    >>> from gaussmix.plot import PairDisplay
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> display = PairDisplay.from_estimator(GaussianMixture(2, random_state=0).fit(X), X)
    >>> display.axes_.shape, display.axes_[2, 0].get_xlabel(), display.axes_[2, 0].get_ylabel()
    ((3, 3), 'x0', 'x2')
    """

    component_displays: Sequence[Sequence[ComponentDisplay]]

    _max_features = MAX_GRID_FEATURES

    @classmethod
    def from_fit(cls, subject: Subject, shown: Sequence[int]) -> Self:
        """Create the displays of the features `shown` without drawing the displays."""
        known = subject.labels_and_certainty()
        pairs = [[[i] if i == j else [j, i] for j in shown] for i in shown]
        return cls(
            component_displays=[[ComponentDisplay.from_fit(subject, pair, known) for pair in row] for row in pairs]
        )

    def _options(self) -> list[str]:
        return self.component_displays[0][0]._options()

    def plot(
        self, ax: Any = None, *, levels: Sequence[float] | None = None, legend: bool = True, **options: Any
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : (n_shown, n_shown), array of the axes to draw on; new axes by default.
        levels : radii of the ellipses, as in `ComponentDisplay.plot`. The default levels are 1 and 2, or only 2 if
            there are five or more components.
        **options : keyword arguments passed to each `ComponentDisplay.plot`.
        legend : whether to draw a legend of the components to the right of the grid.

        Returns
        -------
        display : this display.

        Raises
        ------
        ImportError, TypeError, ValueError : same as in `ComponentDisplay.plot`; in addition, ValueError if `ax` does
            not have the shape (n_shown, n_shown).
        """
        n, n_components = len(self.component_displays), len(self.component_displays[0][0].weights)
        radii = checked_levels(default_levels(n_components, [1, 2]) if levels is None else levels)
        axes = new_grid(n) if ax is None else np.asarray(ax, dtype=object)
        if axes.shape != (n, n):
            raise ValueError(f"ax must be ({n}, {n}) axes, one for each plot, not an array of shape {axes.shape}.")
        self.axes_: Any = axes
        self.figure_: Any = axes[0, 0].figure
        for i, row in enumerate(self.component_displays):
            for j, cell in enumerate(row):
                cell.plot(axes[i, j], levels=radii, legend=False, **options)
        self._hide_inner_labels()
        pens = component_pens(n_components, options.get("colors"), background(axes[0, 0]))
        # The legend is made by the last display in the top row, which plots two features unless there is only one
        # feature.
        handles = self.component_displays[0][-1]._legend_handles(pens, radii)
        if n > 1:
            for ellipse, interval in zip(handles[len(handles) - len(radii) :], level_handles(radii, 1), strict=True):
                ellipse.set_label(f"{ellipse.get_label()}\n(diagonal: {interval.get_label().split()[0]})")
        target = self.figure_ if ax is None else axes[0, -1]
        self.legend_: Any = legend_beside(target, handles, self._legend_title, _LEGEND_AT) if legend else None
        return self

    def _hide_inner_labels(self) -> None:
        """Label features only at the bottom and at the left edge of the grid, and hide the scales of the densities."""
        shown = [row[i].feature_names[0] for i, row in enumerate(self.component_displays)]
        names = [as_text(in_lines(name, min(20, 120 // len(shown)))) for name in shown]
        last = len(names) - 1
        for (i, j), ax in np.ndenumerate(self.axes_):
            ax.set_xlabel(names[j] if i == last else "")
            ax.tick_params(bottom=i == last, labelbottom=i == last, left=j == 0, labelleft=j == 0)
            shorten_tick_labels(ax.xaxis)
            shorten_tick_labels(ax.yaxis)
            if last:  # the only plot of one feature keeps the name and the scale of its density
                ax.set_ylabel(names[i] if j == 0 else "")
                if i == j:
                    ax.set_yticks([])
        if last:  # the scale of the top row is at the right end, because the first plot of this row shows a density
            self.axes_[0, -1].tick_params(right=True, labelright=True)


def new_grid(n: int) -> Any:
    """Create (n, n) axes with a common horizontal range in each column and a common vertical range in each row.

    Plots on the diagonal have separate vertical ranges, because these plots show densities.
    """
    side = float(np.clip(2.1 * n, 4.0, 12.0))
    axes = new_figure(n, n, figsize=(side + 2.5, side + 0.7), sharex="col", squeeze=False)[1]
    for (i, j), ax in np.ndenumerate(axes):
        first = 0 if i else 1
        if j not in (i, first):
            ax.sharey(axes[i, first])
    return axes
