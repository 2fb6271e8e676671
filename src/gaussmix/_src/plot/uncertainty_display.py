"""A display of the rows whose component is uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.plot.display import Axes, FeatureDisplay, component_handles, handle, level_handles
from gaussmix._src.plot.layers import MAX_POINTS, draw_ellipses, draw_indices, draw_points
from gaussmix._src.plot.palette import NOISE_COLOR, background, component_pens
from gaussmix._src.plot.subject import Subject

_MIN_AREA, _MAX_AREA = 8.0, 110.0  # smallest and largest area of a point, in typographic points²


@dataclass(eq=False, repr=False, kw_only=True)
class UncertaintyDisplay(FeatureDisplay):
    """Plot of rows in the colours of their components, with larger and more opaque points for more uncertain rows.

    Create a display with `from_estimator`, which needs the rows X. As in mclust, the uncertainty of a row is 1 − max_k
    p(k | x), where x contains all features of the row. The area of a point grows with the uncertainty. With one feature
    the vertical axis shows the uncertainty. If there are more than 20,000 rows, only the 20,000 most uncertain rows are
    drawn.

    Parameters
    ----------
    rows : (n_rows, 1) or (n_rows, 2), values of the plotted features, in data units.
    labels : (n_rows,), the most probable component of each row; −1 for noise.
    uncertainty : (n_rows,), uncertainty of each row, from 0 to 1 − 1 / n, where n is the number of components,
        including noise.
    weights, means, covariances : parameters of the components in the plotted features, as in `ComponentDisplay`.
    feature_names : names of the plotted features, used as axis labels.
    has_noise : whether the mixture has a noise component.

    Attributes
    ----------
    ax_, figure_ : the axes and the figure of the plot. The method `plot` sets all attributes in this list.
    rows_ : a collection of points for each component, and another collection for noise rows, if there are any.
    components_ : the ellipse of 2 σ for each component; empty with one feature.
    texts_ : the component indices, which are written if several components have the same colour.
    legend_ : the legend at the right of the axes, or None if there is no legend.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture
    >>> from gaussmix.plot import UncertaintyDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(90, 2)), rng.normal(3, 1, size=(60, 2))])
    >>> display = UncertaintyDisplay.from_estimator(GaussianMixture(2, random_state=0).fit(X), X)
    >>> bool(display.uncertainty.max() > 0.3)
    True
    """

    rows: Array
    labels: NDArray[np.intp]
    uncertainty: Array
    weights: Array
    means: Array
    covariances: Array
    feature_names: Sequence[str]
    has_noise: bool = False

    @classmethod
    def from_fit(cls, subject: Subject, shown: Sequence[int]) -> Self:
        """Create a display of the features `shown` without drawing it."""
        subject.needed_rows(cls.__name__)
        labels, certainty = subject.labels_and_certainty()
        rows, noise = subject.shown(shown), subject.mixture.noise
        drawn = np.flatnonzero(~np.isnan(rows).any(axis=1))
        if len(drawn) > MAX_POINTS:
            drawn = np.sort(drawn[np.argpartition(certainty[drawn], MAX_POINTS)[:MAX_POINTS]])
        parts = subject.components(shown) | {"has_noise": noise is not None and noise.weight > 0}
        return cls(rows=rows[drawn], labels=labels[drawn], uncertainty=1.0 - certainty[drawn], **parts)

    def plot(self, ax: Axes | None = None, *, colors: Sequence[Any] | None = None, legend: bool = True) -> Self:
        """Draw the display. Parameters, return value and errors are the same as in `ComponentDisplay.plot`."""
        ax = self._set_axes(ax)
        pens = component_pens(len(self.weights), colors, background(ax))
        is_line = self.means.shape[1] == 1
        at = np.column_stack([self.rows, self.uncertainty]) if is_line else self.rows
        self.components_: list[Any] = []
        self.texts_: list[Any] = []
        if not is_line:
            self.components_ = draw_ellipses(ax, self.means, self.covariances, pens, [2.0], {"linewidth": 0.8}, 0.0)
            self.texts_ = draw_indices(ax, self.means, pens)
        order = np.argsort(self.uncertainty, kind="stable")  # the most uncertain rows are drawn last, on top
        strength = (self.uncertainty[order] / max(self._highest, 1e-9)).clip(0, 1)
        sizes = _MIN_AREA + (_MAX_AREA - _MIN_AREA) * strength
        points = at[order], self.labels[order], 0.45 + 0.25 * strength  # opacity below 1, so that all rows stay visible
        self.rows_: Any = draw_points(ax, *points, pens, {"zorder": 4}, sizes)
        self._name_axes(self.feature_names, "uncertainty")
        return self._with_legend(self._handles(pens), legend)

    @property
    def _highest(self) -> float:
        """Return the highest possible uncertainty, reached if all components are equally probable."""
        return 1.0 - 1.0 / (len(self.weights) + self.has_noise)

    def _handles(self, pens: Any) -> list[Any]:
        """Return legend entries for the components and for the sizes of the points."""
        noise = bool((self.labels < 0).any())
        handles = component_handles(pens, self.weights, points=True, lines=False, noise=noise)
        handles += level_handles([2.0], 2) if self.components_ else []
        top = self.uncertainty.max(initial=0.0)
        sizes = {f"uncertainty {value:.2f}": value / max(self._highest, 1e-9) for value in (0.0, 0.5 * top, top)}
        for label, strength in sizes.items() if self._highest else ():
            size = (_MIN_AREA + (_MAX_AREA - _MIN_AREA) * strength) ** 0.5
            handles.append(handle(label, NOISE_COLOR, marker="o", markersize=size, mew=0))
        return handles
