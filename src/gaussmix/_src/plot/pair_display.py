"""A mixture of several features, two at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from gaussmix._src.plot.component_display import ComponentDisplay
from gaussmix._src.plot.display import FeatureDisplay, as_text, legend_beside, new_figure
from gaussmix._src.plot.palette import component_pens
from gaussmix._src.plot.subject import MAX_GRID_FEATURES, Subject


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

    def plot(self, ax: Any = None, *, levels: Sequence[float] = (1, 2), legend: bool = True, **options: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : (n_shown, n_shown) axes to draw on; new ones by default.
        levels, **options : of each `ComponentDisplay.plot`.
        legend : whether to name the components, at the right of the grid.

        Returns
        -------
        display : this one.

        Raises
        ------
        ImportError, TypeError, ValueError : as for `ComponentDisplay.plot`, or ax is not as many axes as pictures.
        """
        n = len(self.component_displays)
        axes = new_grid(n) if ax is None else np.asarray(ax, dtype=object)
        if axes.shape != (n, n):
            raise ValueError(f"ax must be ({n}, {n}) axes, one for each picture, not an array of shape {axes.shape}.")
        self.axes_: Any = axes
        self.figure_: Any = axes[0, 0].figure
        for i, row in enumerate(self.component_displays):
            for j, cell in enumerate(row):
                cell.plot(axes[i, j], levels=levels, legend=False, **options)
        self._quieten()
        pens = component_pens(
            len(self.component_displays[0][0].weights), options.get("colors"), axes[0, 0].get_facecolor()
        )
        typical = self.component_displays[0][-1]  # two features, where there are
        self.legend_: Any = legend_beside(axes[0, -1], typical._legend_handles(pens)) if legend else None
        return self

    def _quieten(self) -> None:
        """Name each feature once below and once at the left, and show no scale of densities."""
        names = [as_text(row[i].feature_names[0]) for i, row in enumerate(self.component_displays)]
        for (i, j), ax in np.ndenumerate(self.axes_):
            ax.set_xlabel(names[j] if i == len(names) - 1 else "")
            ax.set_ylabel(names[i] if j == 0 and len(names) > 1 else ax.get_ylabel() if len(names) == 1 else "")
            ax.tick_params(labelbottom=i == len(names) - 1, labelleft=j == 0)
            if i == j and len(names) > 1:
                ax.set_yticks([])


def new_grid(n: int) -> Any:
    """Axes (n, n) of a new figure: a column has one horizontal range, and a row one vertical range but on the diagonal.

    Margins are fixed: a layout that measures all labels takes longer than everything else.
    """
    side = float(np.clip(2.1 * n, 4.0, 12.0))
    width, height = side + 2.5, side + 0.7
    edges = {"left": 0.8 / width, "right": (side + 0.8) / width, "bottom": 0.6 / height, "top": 1 - 0.1 / height}
    grid = {"wspace": 0.08, "hspace": 0.08, **edges}
    size = width, height
    axes = new_figure(n, n, figsize=size, sharex="col", squeeze=False, layout=None, gridspec_kw=grid)[1]
    for (i, j), ax in np.ndenumerate(axes):
        first = 0 if i else 1
        if j not in (i, first):
            ax.sharey(axes[i, first])
    return axes
