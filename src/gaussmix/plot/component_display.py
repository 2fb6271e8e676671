"""The components of a mixture, drawn over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from gaussmix.checks import check_real
from gaussmix.mixture.mixture import Mixture
from gaussmix.numerics.arrays import Array
from gaussmix.plot.features import Feature, chosen_features, names_of
from gaussmix.plot.geometry import normal_density, one_sigma_axes, points_for_curves
from gaussmix.plot.palette import COLORS, MARKERS, checked_colors, faded

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Options = Mapping[str, Any] | None

ROW_ALPHA = 0.6  # opacity of a row whose component is certain; a less certain row is paler
FILL_ALPHA = 0.08  # opacity of one ellipse; nested ellipses add up
MOST_IN_LEGEND = 12


@dataclass(eq=False, repr=False, kw_only=True)
class ComponentDisplay:
    """Rows in the colours of their components, and each component by its 1, 2 and 3 σ ellipses.

    Make it with `from_estimator`. In one feature the rows are a histogram and the components are curves of
    π_k N(x | μ_k, σ_k²) below their sum; the levels are then intervals about the mean.

    Parameters
    ----------
    rows : (n_rows, 1) or (n_rows, 2), the features shown, data units.
    responsibilities : (n_rows, n_components), p(k | x) by all features, whether shown or not.
    weights : (n_components,), π_k; sum to 1.
    means : (n_components, 1) or (n_components, 2), of the features shown, data units.
    covariances : (n_components, 1, 1) or (n_components, 2, 2), of the features shown, data units².
    feature_names : the names of the features shown, for the axes.

    Attributes
    ----------
    ax_ : the `matplotlib.axes.Axes` drawn on. `plot` sets this attribute and all that follow.
    figure_ : the `matplotlib.figure.Figure` of these axes.
    rows_ : a collection of points for each component, or the bars of the histogram.
    components_ : for each component a list: its ellipses by level, or its curve.
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
    responsibilities: Array
    weights: Array
    means: Array
    covariances: Array
    feature_names: Sequence[str]
    ax_: Axes = field(init=False)
    figure_: Any = field(init=False)
    rows_: Any = field(init=False)
    components_: list[list[Any]] = field(init=False)
    colors_: list[Any] = field(init=False)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        features: Feature | Sequence[Feature] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> ComponentDisplay:
        """Draw a fitted estimator, or a mixture, over rows.

        Parameters
        ----------
        estimator : a fitted `gaussmix.GaussianMixture`, or a `gaussmix.Mixture`.
        X : (n_samples, n_features), all features of the mixture, data units.
        features : one or two features to show, by index or by name; the first two by default. The ellipses are those of
            the marginal distribution of these features.
        feature_names : one for each feature of X; by default those of the mixture, or those of X.
        ax : axes to draw on; new ones by default.
        **options : for `plot`.

        Returns
        -------
        display : the display, drawn.

        Raises
        ------
        ImportError : matplotlib is not installed.
        NotFittedError : before `fit`.
        ValueError : a feature does not exist, or X is not numbers of shape (n_samples, n_features).
        TypeError : `estimator` has no mixture, or X is not numbers.
        """
        mixture = _mixture_of(estimator)
        names = names_of(mixture.n_features, feature_names, mixture.feature_names, getattr(X, "columns", None))
        shown = chosen_features(features, names)
        dense = mixture.model.covariances.dense()
        display = cls(
            responsibilities=mixture.responsibilities(X),
            rows=np.asarray(X, dtype=np.float64)[:, shown],
            weights=mixture.weights,
            means=mixture.means[:, shown],
            covariances=dense[:, shown][:, :, shown],
            feature_names=[names[j] for j in shown],
        )
        return display.plot(ax, **options)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        levels: Sequence[float] = (1, 2, 3),
        colors: Sequence[Any] = COLORS,
        legend: bool = True,
        row_kwargs: Options = None,
        component_kwargs: Options = None,
    ) -> ComponentDisplay:
        """Draw.

        Parameters
        ----------
        ax : axes to draw on; new ones by default.
        levels : radii of the ellipses, or half-widths of the intervals, in standard deviations; all positive.
        colors : of the components, in turn; by default six that people with any kind of colour vision can distinguish.
            Further components get the same colours again, with another marker.
        legend : whether to name the components, with their weights; no legend names more than 12.
        row_kwargs : for `Axes.scatter` or, in one feature, `Axes.hist`.
        component_kwargs : for each `matplotlib.patches.Ellipse` or, in one feature, for each curve by `Axes.plot`.

        Returns
        -------
        display : this one.

        Raises
        ------
        ImportError : matplotlib is not installed.
        ValueError : a level that is not positive or not finite, no colour, or something that is none.
        TypeError : levels are not numbers.
        """
        radii = check_real("levels", levels)
        if radii.ndim != 1 or not ((radii > 0) & (radii < np.inf)).all():
            raise ValueError(f"levels={levels!r:.60} must be positive numbers of standard deviations, in a list.")
        pyplot = _import_pyplot()
        palette = checked_colors(colors)
        self.ax_ = pyplot.subplots()[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        self.colors_ = [palette[k % len(palette)] for k in range(len(self.weights))]
        draw = self._draw_curves if self.rows.shape[1] == 1 else self._draw_ellipses
        draw(sorted(radii.tolist()), dict(row_kwargs or {}), dict(component_kwargs or {}))
        self.ax_.set_xlabel(self.feature_names[0])
        self.ax_.set_ylabel("density" if self.rows.shape[1] == 1 else self.feature_names[1])
        if legend:
            self._draw_legend()
        return self

    def _draw_ellipses(self, levels: list[float], row_kwargs: dict[str, Any], component_kwargs: dict[str, Any]) -> None:
        from matplotlib.patches import Ellipse

        self.rows_ = self._scatter(row_kwargs)
        self.components_ = []
        for mean, covariance, color in zip(self.means, self.covariances, self.colors_, strict=True):
            axes = one_sigma_axes(covariance)
            ellipses = []
            for nth, level in enumerate(levels, start=1):
                look = {"facecolor": faded(color, FILL_ALPHA), "edgecolor": faded(color, nth**-0.5), "linewidth": 1.3}
                size = 2 * level * axes.longer, 2 * level * axes.shorter
                ellipse = Ellipse(tuple(mean), *size, angle=axes.angle, zorder=3, **{**look, **component_kwargs})
                ellipses.append(self.ax_.add_patch(ellipse))
            self.components_.append(ellipses)
        self.ax_.autoscale_view()

    def _scatter(self, kwargs: dict[str, Any]) -> list[Any]:
        """Draw the rows of each component as points; a row is paler, the less certain its component is."""
        labels, certainty = self.responsibilities.argmax(axis=1), self.responsibilities.max(axis=1)
        points = []
        for k, color in enumerate(self.colors_):
            mine = labels == k
            shades = np.tile(faded(color, ROW_ALPHA), (mine.sum(), 1))
            shades[:, 3] *= certainty[mine]
            look = {"color": shades, "marker": self._marker(k), "s": 18, "linewidths": 0, "zorder": 2}
            points.append(self.ax_.scatter(*self.rows[mine].T, **{**look, **kwargs}))
        return points

    def _draw_curves(self, levels: list[float], row_kwargs: dict[str, Any], component_kwargs: dict[str, Any]) -> None:
        n_bins = int(np.clip(2 * len(self.rows) ** (1 / 3), 8, 100))  # Rice's rule
        look: dict[str, Any] = {"bins": n_bins, "density": True, "color": "0.5", "alpha": 0.25, "zorder": 1}
        self.rows_ = self.ax_.hist(self.rows[:, 0], **{**look, **row_kwargs})[2]
        means, deviations = self.means[:, 0], np.sqrt(self.covariances[:, 0, 0])
        points = points_for_curves(means, deviations, reach=max([4.0, *levels]))
        self.components_, total = [], np.zeros(len(points))
        for k, color in enumerate(self.colors_):
            curve = self.weights[k] * normal_density(points, means[k], deviations[k])
            total += curve
            self.components_.append(self.ax_.plot(points, curve, **{"color": color, "zorder": 3, **component_kwargs}))
            for level in levels:
                inside = abs(points - means[k]) <= level * deviations[k]
                self.ax_.fill_between(points, curve, where=inside, color=color, alpha=1.5 * FILL_ALPHA, linewidth=0)
        (line,) = self.ax_.plot(points, total, linewidth=1, linestyle="--", zorder=2)
        line.set_color(self.ax_.xaxis.label.get_color())  # the colour of text, which is visible on this background

    def _marker(self, component: int) -> str:
        return MARKERS[component // len({faded(color, 1.0) for color in self.colors_}) % len(MARKERS)]

    def _draw_legend(self) -> None:
        from matplotlib.lines import Line2D

        if len(self.weights) > MOST_IN_LEGEND:
            return
        handles = []
        for k, (color, weight) in enumerate(zip(self.colors_, self.weights, strict=True)):
            is_curve = self.rows.shape[1] == 1
            look: dict[str, Any] = {"linestyle": "-"} if is_curve else {"linestyle": "", "marker": self._marker(k)}
            handles.append(Line2D([], [], color=color, label=f"component {k} ({weight:.0%})", **look))
        self.ax_.legend(handles=handles, frameon=False)


def _mixture_of(estimator: Any) -> Mixture:
    if isinstance(estimator, Mixture):
        return estimator
    check_is_fitted(estimator)
    mixture = getattr(estimator, "mixture_", None)
    if not isinstance(mixture, Mixture):
        raise TypeError(f"{type(estimator).__name__} is not drawn: give a gaussmix estimator or a gaussmix.Mixture.")
    return mixture


def _import_pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("Pictures need matplotlib: install it with pip install 'gaussmix[plot]'.") from None
    return pyplot
