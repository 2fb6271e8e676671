"""A display of the components of a mixture together with rows."""

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
from gaussmix._src.plot.layers import MAX_POINTS, covering_box, draw_components, draw_histogram, draw_indices, draw_rows
from gaussmix._src.plot.palette import Pen, background, component_pens
from gaussmix._src.plot.subject import Subject

Options = Mapping[str, Any] | None
N_MANY = 5  # minimum number of components for which each component is drawn as a single unfilled ellipse
UNCERTAIN_WIDTH, UNCERTAIN_ALPHA = 0.5, 0.35  # width and opacity of the lines that show the fit's uncertainty


@dataclass(eq=False, repr=False, kw_only=True)
class ComponentDisplay(FeatureDisplay):
    """Plot of rows in the colours of their components, with ellipses at 1, 2 and 3 σ for each component.

    Create a display with `from_estimator`. If there are five or more components, each component has only its 2 σ
    ellipse, without a fill, so that the ellipses do not hide each other. If there are more than 20,000 rows, an image,
    which is darker in denser regions, replaces the points. With one feature the display shows a histogram of the rows,
    the curve π_k N(x | μ_k, σ_k²) of each component, and the sum of the curves. With one feature, the levels 1, 2 and 3
    σ are intervals about each mean.

    Parameters
    ----------
    rows : (n_rows, 1) or (n_rows, 2), values of the plotted features, in data units; empty if no rows are plotted.
    labels : (n_rows,), most probable component of each row given all features, even features that are not plotted; −1
        for noise.
    certainty : (n_rows,), probability of each row's most probable component.
    weights : (n_components,), weights π_k of the components.
    means : (n_components, 1) or (n_components, 2), component means of the plotted features, in data units.
    covariances : (n_components, 1, 1) or (n_components, 2, 2), covariances of the plotted features, in data units².
    feature_names : names of the plotted features, used as axis labels.
    features : indices of the plotted features among all features of the mixture.
    row_weight : (n_rows,), weights of the rows in the histogram; None if all weights are 1.

    Attributes
    ----------
    ax_ : the `matplotlib.axes.Axes` of the plot. The method `plot` sets all attributes in this list.
    figure_ : the `matplotlib.figure.Figure` that contains the axes.
    rows_ : a collection of points for each component, and another collection for noise rows, if there are any. If there
        are more than 20,000 rows, `rows_` has an image, and a collection of points for the rows far from all
        components. If only one feature is shown, `rows_` has the bars of the histogram.
    components_ : one list for each component; the list has an ellipse for each level or, with one feature, the
        component's curve.
    uncertain_ : for each mixture in the argument `uncertainty`, a list like `components_`, but with one level per
        component.
    texts_ : the text objects that number the components at the means if there are more components than colours;
        otherwise empty.
    legend_ : the legend at the right of the axes, or None if there is no legend.
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
    row_weight: Array | None = None

    @classmethod
    def from_fit(cls, subject: Subject, shown: Sequence[int], known: tuple[Any, Any] | None = None) -> Self:
        """Create the display without drawing it; `known` is (labels, certainty) if already computed."""
        labels, certainty = subject.labels_and_certainty() if known is None else known
        rows, components = subject.shown(shown), subject.components(shown)
        parts = components | {"features": shown, "row_weight": subject.row_weight}
        return cls(rows=rows, labels=labels, certainty=certainty, **parts)

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
        """Draw the display.

        Parameters
        ----------
        ax : the `matplotlib.axes.Axes` to draw on; new axes by default. The legend is placed to the right of the axes.
        levels : radii of the ellipses, or half-widths of the intervals, in standard deviations; all positive. The
            default levels are 1, 2 and 3, or only 2 if there are five or more components.
        colors : colours of the components. The default is six colours that people with any kind of colour vision can
            distinguish; on a dark background lighter colours are used. If there are more components than colours,
            colours are reused with different markers and line styles, and each component's index is drawn at the
            component's mean.
        legend : whether to draw a legend that lists the components with their weights, and the fraction of a component
            within each level. If there are more than 20 components, the legend does not list the components.
        uncertainty : result of ``gm.inference(X)`` or ``gm.bootstrap(X)``, or a list of plausible mixtures of all
            features, such as ``posterior_.sample(50)``. For each component of each of these mixtures, a thin line shows
            the ellipse of the smallest level or, with one feature, the curve.
        row_kwargs : keyword arguments passed to `Axes.scatter` or, with one feature, to `Axes.hist`.
        component_kwargs : keyword arguments passed to each `matplotlib.patches.Ellipse` or, with one feature, to
            `Axes.plot` for each curve.

        Returns
        -------
        display : this display.

        Raises
        ------
        ImportError : matplotlib is not installed, or its backend needs a screen.
        ValueError : a level is not positive and finite, `colors` is empty, or an entry of `colors` is not a colour.
        TypeError : `levels` are not numbers, `ax` is not a matplotlib Axes object, or `uncertainty` does not consist of
            mixtures.
        """
        radii = checked_levels(default_levels(len(self.weights), [1, 2, 3]) if levels is None else levels)
        ax = self._set_axes(ax)
        pens = component_pens(len(self.weights), colors, background(ax))
        self.colors_: list[Any] = [pen.color for pen in pens]
        row_options, is_line = dict(row_kwargs or {}), self.means.shape[1] == 1
        if is_line:
            self.rows_: Any = draw_histogram(ax, self.rows[:, 0], self.row_weight, row_options)
        else:
            box = covering_box(self.means, self.covariances)
            self.rows_ = draw_rows(ax, self.rows, self.labels, self.certainty, pens, box, row_options)
        parts = self.weights, self.means, self.covariances
        options, has_fill = dict(component_kwargs or {}), is_line or len(pens) < N_MANY
        self.components_: list[Any] = draw_components(ax, *parts, pens, radii, options, has_fill=has_fill)
        self.texts_: list[Any] = [] if is_line else draw_indices(ax, self.means, pens)
        others: Any = uncertainty.sample_mixtures() if hasattr(uncertainty, "sample_mixtures") else uncertainty
        if not isinstance(others, Sequence) or not all(isinstance(each, Mixture) for each in others):
            raise ParameterTypeError(
                "uncertainty must be the result of inference or bootstrap, or a list of mixtures, such as "
                f"posterior_.sample(50), not {uncertainty!r:.60}."
            )
        self.uncertain_: list[Any] = [self._draw_uncertain(ax, pens, radii[:1], each) for each in others]
        self._name_axes(self.feature_names, "density")
        return self._with_legend(self._legend_handles(pens, radii), legend)

    def _legend_handles(self, pens: Sequence[Pen], levels: Sequence[float]) -> list[Any]:
        """Return the legend entries for components and levels."""
        is_line = self.means.shape[1] == 1
        points = not is_line and 0 < len(self.rows) <= MAX_POINTS
        noise = not is_line and bool((self.labels < 0).any())
        handles = component_handles(pens, self.weights, points=points, lines=not points, noise=noise)
        total = [handle("their sum", self._text_color, "--", linewidth=1)] if is_line and len(pens) > 1 else []
        return [*handles, *total, *level_handles(levels, self.means.shape[1])]

    def _draw_uncertain(self, ax: Axes, pens: list[Pen], levels: list[float], other: Mixture) -> Any:
        """Draw the mixture `other` with thin lines; raise ValueError if it differs in components or lacks a feature."""
        if other.n_components != len(pens) or other.n_features <= max(self.features):
            raise ValueError("uncertainty needs mixtures with as many components and features as the plotted mixture.")
        covariances = other._model.covariances.marginal(np.array(self.features)).dense()
        means, style = other.means[:, list(self.features)], {"linewidth": UNCERTAIN_WIDTH, "alpha": UNCERTAIN_ALPHA}
        return draw_components(ax, other.weights, means, covariances, pens, levels, style, has_fill=False)


def default_levels(n_components: int, usual: list[float]) -> list[float]:
    """Return the levels `usual`, or only the level 2 σ if there are five or more components."""
    return usual if n_components < N_MANY else [2.0]


def checked_levels(levels: Any) -> list[float]:
    """Return levels in standard deviations in ascending order; raise ValueError or TypeError if a level is invalid."""
    radii = check_real("levels", levels)
    if radii.ndim != 1 or not ((radii > 0) & (radii < np.inf)).all():
        raise ValueError(f"levels={levels!r:.60} must be a list of positive numbers, in standard deviations.")
    return sorted(radii.tolist())
