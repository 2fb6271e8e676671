"""A mixture of several features, two at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from gaussmix._src.plot.component_display import ComponentDisplay, checked_levels, default_levels
from gaussmix._src.plot.display import NAME_WIDTH, FeatureDisplay, as_text, in_lines, legend_beside, new_figure
from gaussmix._src.plot.palette import component_pens
from gaussmix._src.plot.subject import MAX_GRID_FEATURES, Subject

_LEGEND_AT = 1.25  # of the width of given axes: beyond the numbers of a scale


@dataclass(eq=False, repr=False, kw_only=True)
class PairDisplay(FeatureDisplay):
    """A grid with a picture of every two features; on its diagonal the curves of each feature alone.

    Make it with `from_estimator`. Each picture is a `ComponentDisplay`: rows and ellipses, or a histogram and curves.

    Parameters
    ----------
    component_displays : n_shown lists of n_shown displays; the first list is the upper row of the grid.

    Attributes
    ----------
    axes_ : (n_shown, n_shown), the `matplotlib.axes.Axes` drawn on.
    figure_ : the `matplotlib.figure.Figure` of these axes.
    legend_ : the legend at the right of the grid, or None.

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
        """Make the displays of some features without drawing them."""
        known = subject.labels_and_certainty()
        pairs = [[[i] if i == j else [j, i] for j in shown] for i in shown]
        return cls(
            component_displays=[[ComponentDisplay.from_fit(subject, pair, known) for pair in row] for row in pairs]
        )

    def plot(
        self, ax: Any = None, *, levels: Sequence[float] | None = None, legend: bool = True, **options: Any
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : (n_shown, n_shown) axes to draw on; new ones by default.
        levels : of the ellipses, as for `ComponentDisplay.plot`; by default 1 and 2, from five components on 2.
        **options : of each `ComponentDisplay.plot`.
        legend : whether to name the components, at the right of the grid.

        Returns
        -------
        display : this one.

        Raises
        ------
        ImportError, TypeError, ValueError : as for `ComponentDisplay.plot`, or ax is not as many axes as pictures.
        """
        n, n_components = len(self.component_displays), len(self.component_displays[0][0].weights)
        radii = checked_levels(default_levels(n_components, [1, 2]) if levels is None else levels)
        axes = new_grid(n) if ax is None else np.asarray(ax, dtype=object)
        if axes.shape != (n, n):
            raise ValueError(f"ax must be ({n}, {n}) axes, one for each picture, not an array of shape {axes.shape}.")
        self.axes_: Any = axes
        self.figure_: Any = axes[0, 0].figure
        for i, row in enumerate(self.component_displays):
            for j, cell in enumerate(row):
                cell.plot(axes[i, j], levels=radii, legend=False, **options)
        self._quieten()
        pens = component_pens(n_components, options.get("colors"), axes[0, 0].get_facecolor())
        handles = self.component_displays[0][-1]._legend_handles(pens, radii)  # of two features, where there are
        target = self.figure_ if ax is None else axes[0, -1]
        self.legend_: Any = legend_beside(target, handles, self._legend_title, _LEGEND_AT) if legend else None
        return self

    def _quieten(self) -> None:
        """Name each feature once below and once at the left, with a scale, and show no scale of densities."""
        from matplotlib.ticker import EngFormatter

        shown = [row[i].feature_names[0] for i, row in enumerate(self.component_displays)]
        names = [as_text(in_lines(name, NAME_WIDTH)) for name in shown]
        last = len(names) - 1
        for (i, j), ax in np.ndenumerate(self.axes_):
            ax.set_xlabel(names[j] if i == last else "")
            ax.set_ylabel(names[i] if j == 0 and len(names) > 1 else ax.get_ylabel() if len(names) == 1 else "")
            ax.tick_params(bottom=i == last, labelbottom=i == last, left=j == 0, labelleft=j == 0)
            for axis in (ax.xaxis, ax.yaxis):
                ends = np.asarray(axis.get_view_interval())
                if not 1e-3 <= abs(ends).max() < 1e4 and np.ptp(ends) > 1e-3 * abs(ends).max():
                    axis.set_major_formatter(EngFormatter(sep=""))  # 100k: no power of ten covers the next picture
            if i == j and last:
                ax.set_yticks([])
        if last:  # the scale of the first feature is at the right, for densities stand at the left
            self.axes_[0, -1].tick_params(right=True, labelright=True)


def new_grid(n: int) -> Any:
    """Axes (n, n) of a new figure: a column has one horizontal range, a row one vertical range but on the diagonal."""
    side = float(np.clip(2.1 * n, 4.0, 12.0))
    axes = new_figure(n, n, figsize=(side + 2.5, side + 0.7), sharex="col", squeeze=False)[1]
    for (i, j), ax in np.ndenumerate(axes):
        first = 0 if i else 1
        if j not in (i, first):
            ax.sharey(axes[i, first])
    return axes
