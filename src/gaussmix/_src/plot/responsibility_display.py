"""A display of the responsibilities of all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.plot.display import Axes, Display
from gaussmix._src.plot.palette import NOISE_COLOR, background, component_pens, faded
from gaussmix._src.plot.subject import make_subject, named_probabilities

_MAX_BARS = 1_000  # maximum number of bars; if there are more rows, neighbouring rows are averaged
_HATCHES = ("", "///", "\\\\\\", "xxx", "...", "+++")


@dataclass(eq=False, repr=False, kw_only=True)
class ResponsibilityDisplay(Display):
    """Stacked bar plot with a bar for each row, which is divided into the probabilities p(k | x) of the components.

    Create a display with `from_estimator`. Rows are sorted by their most probable component. The rows of each component
    are sorted from certain to uncertain, so that uncertain rows are to the right of certain rows of the same component.
    If there are more than 1,000 rows, each bar shows the average of several neighbouring rows.

    Parameters
    ----------
    responsibilities : (n_bars, n_components), the heights of the segments of each bar, with an additional column if
        there is noise; each row sums to 1.
    n_rows : number of rows that the bars represent.
    component_names : names of the components, followed by "noise" if there is a noise component.

    Attributes
    ----------
    ax_, figure_ : the axes and the figure of the plot. The method `plot` sets all attributes in this list.
    areas_ : the filled area of each component.
    legend_ : the legend at the right of the axes, or None if there is no legend.

    Examples
    --------
    >>> from gaussmix import FAMILIES, Mixture
    >>> from gaussmix.plot import ResponsibilityDisplay
    >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
    >>> ResponsibilityDisplay.from_estimator(m, [[2.0], [9.0], [-1.0]]).responsibilities.round(2).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    """

    responsibilities: Array
    n_rows: int
    component_names: Sequence[str]

    @classmethod
    def from_estimator(cls, estimator: Any, X: ArrayLike, *, ax: Axes | None = None, **options: Any) -> Self:
        """Draw the responsibilities of rows under a fitted estimator or a mixture.

        Parameters, return value and errors are the same as in `ComponentDisplay.from_estimator`, except that X is
        required and must have rows.
        """
        subject = make_subject(estimator, X)
        rows = subject.needed_rows(cls.__name__)
        names, responsibilities = named_probabilities(subject.mixture, subject.responsibilities(rows))
        labels = responsibilities.argmax(axis=1)
        responsibilities = responsibilities[np.lexsort([-responsibilities.max(axis=1), labels])]
        starts = np.linspace(0, len(responsibilities), min(len(responsibilities), _MAX_BARS) + 1).astype(int)
        grouped = np.add.reduceat(responsibilities, starts[:-1]) / np.diff(starts)[:, None]
        return cls(responsibilities=grouped, n_rows=len(responsibilities), component_names=names)._plotted(ax, options)

    def plot(self, ax: Axes | None = None, *, colors: Sequence[Any] | None = None, legend: bool = True) -> Self:
        """Draw the display.

        Parameters, return value and errors are the same as in `ComponentDisplay.plot`. Components with the same
        colour have different hatches.
        """
        ax = self._set_axes(ax)
        pens = component_pens(len(self.component_names), colors, background(ax))
        edges = np.linspace(0, self.n_rows, len(self.responsibilities) + 1)
        below = np.zeros(len(self.responsibilities))
        self.areas_: list[Any] = []
        seen: dict[Any, int] = {}
        for k, (name, pen) in enumerate(zip(self.component_names, pens, strict=True)):
            color = NOISE_COLOR if name == "noise" else pen.color
            key = faded(color, 1.0)  # RGBA values are compared, because a colour can be written in several ways
            nth = seen[key] = seen.get(key, -1) + 1
            style: dict[str, Any] = {"step": "post", "facecolor": color, "label": name, "linewidth": 0}
            style |= {"hatch": _HATCHES[nth % len(_HATCHES)], "edgecolor": background(ax), "antialiased": False}
            above = below + self.responsibilities[:, k]
            low, high = (np.append(each, each[-1]) for each in (below, above))
            self.areas_.append(ax.fill_between(edges, low, high, **style))
            below = above
        ax.set(xlim=(0, self.n_rows), ylim=(0, 1), xlabel="rows, by component and certainty")
        ax.set_ylabel("probability of the component")
        self._count_along_x(nbins=5)
        return self._with_legend(self.areas_, legend and len(self.component_names) <= 20)
