"""The components of a mixture, drawn over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.checks import check_real
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.plot.display import Axes, FeatureDisplay, component_handles, handle, level_handles
from gaussmix._src.plot.layers import MAX_POINTS, covered, draw_components, draw_histogram, draw_indices, draw_rows
from gaussmix._src.plot.palette import Pen, component_pens
from gaussmix._src.plot.subject import Subject

Options = Mapping[str, Any] | None
N_MANY = 5  # components whose fills and levels would hide one another
UNCERTAIN_WIDTH, UNCERTAIN_ALPHA = 0.5, 0.35  # lines of mixtures that the truth might be as well


@dataclass(eq=False, repr=False, kw_only=True)
class ComponentDisplay(FeatureDisplay):
    """Rows in the colours of their components, and each component by its 1, 2 and 3 σ ellipses.

    Make it with `from_estimator`. From five components on each has one ellipse of 2 σ, without a fill. More than
    20,000 rows are shades: the more rows, the darker. In one feature the rows are a histogram and the components
    are curves of π_k N(x | μ_k, σ_k²) below their sum; the levels are then intervals about the mean.

    Parameters
    ----------
    rows : (n_rows, 1) or (n_rows, 2), the features shown, data units; without rows (0, 1) or (0, 2).
    labels : (n_rows,), the most probable component by all features, whether shown or not; −1 for noise.
    certainty : (n_rows,), the probability of that component.
    weights : (n_components,), π_k.
    means : (n_components, 1) or (n_components, 2), of the features shown, data units.
    covariances : (n_components, 1, 1) or (n_components, 2, 2), of the features shown, data units².
    feature_names : the names of the features shown, for the axes.
    features : the numbers of the features shown, among those of the mixture.

    Attributes
    ----------
    ax_ : the `matplotlib.axes.Axes` drawn on. `plot` sets this attribute and all that follow.
    figure_ : the `matplotlib.figure.Figure` of these axes.
    rows_ : a collection of points for each component, and one for noise where there is some. Of more than 20,000 rows
        an image, and a collection of the rows far from all components. In one feature the bars of the histogram.
    components_ : for each component a list: its ellipses by level, or its curve.
    uncertain_ : for each mixture in `uncertainty` what `components_` has of one level.
    texts_ : the numbers at the means, where there are more components than colours.
    legend_ : the legend at the right of the axes, or None.
    colors_ : the colour of each component.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture
    >>> from gaussmix.plot import ComponentDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(90, 2)), rng.normal([8, 4], [3, 1], size=(60, 2))])
    >>> gm = GaussianMixture(2, random_state=0).fit(X)
    >>> display = ComponentDisplay.from_estimator(gm, X, feature_names=["length", "width"])
    >>> display.ax_.get_xlabel(), len(display.components_)
    ('length', 2)
    """

    rows: Array
    labels: NDArray[np.intp]
    certainty: Array
    weights: Array
    means: Array
    covariances: Array
    feature_names: Sequence[str]
    features: Sequence[int] = (0, 1)

    @classmethod
    def from_fit(cls, subject: Subject, shown: Sequence[int], known: tuple[Any, Any] | None = None) -> Self:
        """Make the display of some features without drawing it; `known` are labels and certainty, where they are."""
        labels, certainty = subject.labels_and_certainty() if known is None else known
        rows, components = subject.shown(shown), subject.components(shown)
        return cls(rows=rows, labels=labels, certainty=certainty, features=shown, **components)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        levels: Sequence[float] | None = None,
        colors: Sequence[Any] | None = None,
        legend: bool = True,
        uncertainty: Any = (),
        row_kwargs: Options = None,
        component_kwargs: Options = None,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : axes to draw on; new ones by default. The legend stands next to them, at the right.
        levels : radii of the ellipses, or half-widths of the intervals, in standard deviations; all positive. By
            default 1, 2 and 3, from five components on 2.
        colors : of the components, in turn; by default six that people with any kind of colour vision can distinguish,
            lighter on a dark background. Further components get the same colours again, with another marker and line,
            and all components get a number at their means.
        legend : whether to name the components, with their weights, and how much of a component lies within each level;
            no legend names more than 20 components.
        uncertainty : what ``gm.inference(X)`` or ``gm.bootstrap(X)`` found, or mixtures that the truth might be as
            well, of all features, such as ``posterior_.sample(50)``: their first ellipses, or their curves, are thin
            lines.
        row_kwargs : for `Axes.scatter` or, in one feature, `Axes.hist`.
        component_kwargs : for each `matplotlib.patches.Ellipse` or, in one feature, for each curve by `Axes.plot`.

        Returns
        -------
        display : this one.

        Raises
        ------
        ImportError : matplotlib is not installed, or its backend needs a screen.
        ValueError : a level that is not positive or not finite, no colour, or something that is none.
        TypeError : levels are not numbers, ax is none, or uncertainty holds no mixtures.
        """
        radii = checked_levels(default_levels(len(self.weights), [1, 2, 3]) if levels is None else levels)
        ax = self._on(ax)
        pens = component_pens(len(self.weights), colors, ax.get_facecolor())
        self.colors_: list[Any] = [pen.color for pen in pens]
        of_rows, is_line = dict(row_kwargs or {}), self.means.shape[1] == 1
        if is_line:
            self.rows_: Any = draw_histogram(ax, self.rows[:, 0], of_rows)
        else:
            box = covered(self.means, self.covariances)
            self.rows_ = draw_rows(ax, self.rows, self.labels, self.certainty, pens, box, of_rows)
        parts = self.weights, self.means, self.covariances
        how: dict[str, Any] = {"options": dict(component_kwargs or {}), "has_fill": is_line or len(pens) < N_MANY}
        self.components_: list[Any] = draw_components(ax, *parts, pens, radii, **how)
        repeats_colors = not is_line and len(set(map(str, self.colors_))) < len(pens)
        self.texts_: list[Any] = draw_indices(ax, self.means, pens) if repeats_colors else []
        others: Any = uncertainty.sample_mixtures() if hasattr(uncertainty, "sample_mixtures") else uncertainty
        if not isinstance(others, Sequence) or not all(isinstance(each, Mixture) for each in others):
            raise ParameterTypeError(
                "uncertainty must be what inference or bootstrap found, or a list of mixtures, such as "
                f"posterior_.sample(50), not {uncertainty!r:.60}."
            )
        self.uncertain_: list[Any] = [self._draw_uncertain(ax, pens, radii[:1], each) for each in others]
        self._name_axes(self.feature_names, "density")
        return self._with_legend(self._legend_handles(pens, radii), legend)

    def _legend_handles(self, pens: Sequence[Pen], levels: Sequence[float]) -> list[Any]:
        """What a legend of this picture names."""
        is_line = self.means.shape[1] == 1
        points = not is_line and 0 < len(self.rows) <= MAX_POINTS
        noise = not is_line and bool((self.labels < 0).any())
        handles = component_handles(pens, self.weights, points=points, lines=not points, noise=noise)
        total = [handle("their sum", self._ink, "--", linewidth=1)] if is_line and len(pens) > 1 else []
        return [*handles, *total, *level_handles(levels, self.means.shape[1])]

    def _draw_uncertain(self, ax: Axes, pens: list[Pen], levels: list[float], other: Mixture) -> Any:
        """Thin ellipses or curves of another mixture; raises ValueError where it has other features or components."""
        if other.n_components != len(pens) or other.n_features <= max(self.features):
            raise ValueError("uncertainty must hold mixtures with the components and features of the drawn one.")
        covariances = other._model.covariances.marginal(np.array(self.features)).dense()
        means, style = other.means[:, list(self.features)], {"linewidth": UNCERTAIN_WIDTH, "alpha": UNCERTAIN_ALPHA}
        return draw_components(ax, other.weights, means, covariances, pens, levels, style, has_fill=False)


def default_levels(n_components: int, usual: list[float]) -> list[float]:
    """The usual distances in standard deviations, but only one where components are many."""
    return usual if n_components < N_MANY else [2.0]


def checked_levels(levels: Any) -> list[float]:
    """Distances in standard deviations, ascending; raises ValueError or TypeError."""
    radii = check_real("levels", levels)
    if radii.ndim != 1 or not ((radii > 0) & (radii < np.inf)).all():
        raise ValueError(f"levels={levels!r:.60} must be positive numbers of standard deviations, in a list.")
    return sorted(radii.tolist())
