"""A display of the components of a mixture over all features, or over a pipeline's input features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from warnings import catch_warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline

from gaussmix._src.checks import check_positive, check_real
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.words import shorten
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.plot.component_display import N_MANY
from gaussmix._src.plot.display import Axes, Display, as_text, component_handles, in_lines, level_handles
from gaussmix._src.plot.palette import NOISE_COLOR, Pen, background, component_pens, faded
from gaussmix._src.plot.subject import Features, choose_names, chosen_features, make_subject, overall

_MAX_ROWS = 300  # maximum number of rows that are drawn as lines
_MAX_TICKS = 12  # up to this number of features, each feature has a tick and a marker
_MAX_NAMED_TICKS = 30  # limit if a name has no digit, because such features are not points of a curve
_NAMES_WIDTH = 50  # maximum total number of characters of feature names that are written horizontally
_BAND_ALPHA, _ROW_ALPHA = 0.25, 0.2


@dataclass(eq=False, repr=False, kw_only=True)
class ProfileDisplay(Display):
    """Plot of each component's mean over all features, with a band of the component's standard deviation around it.

    Create a display with `from_estimator` from a mixture, an estimator, or a pipeline that ends with an estimator. If
    the pipeline begins with `PCA` or other affine steps, the display shows the input features of the pipeline, such as
    the points of curves. The plotted means are A μ_k + b, where x ↦ A x + b is the inverse transformation of the
    pipeline's steps. The plotted variances are the diagonal of A Σ_k Aᵀ plus the variance that the steps remove, which
    is the mean squared residual of the rows.

    Parameters
    ----------
    weights : (n_components,), weights π_k of the components.
    means, deviations : (n_components, n_shown), component means and standard deviations of the plotted features, in
        data units.
    rows : (n_rows, n_shown), values of the plotted features, in data units; (0, n_shown) if no rows are plotted.
    labels : (n_rows,), the most probable component of each row; −1 for noise.
    feature_names : names of the plotted features.

    Attributes
    ----------
    ax_, figure_ : the axes and the figure of the plot. The method `plot` sets all attributes in this list.
    lines_ : the line through the means of each component.
    bands_ : the band around each component's line of means.
    rows_ : one line object for each component, which draws all rows of the component, followed by a line object for
        noise rows.
    legend_ : the legend at the right of the axes, or None if there is no legend.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.pipeline import make_pipeline
    >>> from gaussmix import GaussianMixture
    >>> from gaussmix.plot import ProfileDisplay
    >>> hours, rng = np.arange(24), np.random.default_rng(0)
    >>> curves = np.sin(0.26 * (hours - np.repeat([0, 6], 40)[:, None])) + rng.normal(0, 0.1, (80, 24))
    >>> pipe = make_pipeline(PCA(3), GaussianMixture(2, random_state=0)).fit(curves)
    >>> ProfileDisplay.from_estimator(pipe, curves, standardize=False).means.shape
    (2, 24)
    """

    weights: Array
    means: Array
    deviations: Array
    rows: Array
    labels: NDArray[np.intp]
    feature_names: Sequence[str]

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | None = None,
        *,
        features: Features = None,
        feature_names: Sequence[str] | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
        """Draw a fitted estimator, a pipeline that ends with an estimator, or a mixture, with or without rows.

        Parameters not listed here, the return value and the errors are as in `ComponentDisplay.from_estimator`.

        Parameters
        ----------
        estimator : an estimator or mixture as in `ComponentDisplay`, or a fitted `sklearn.pipeline.Pipeline` in which
            all steps before the last have an affine `inverse_transform`, such as `PCA` and `StandardScaler`. If X is
            None, the bands do not include the variance that `PCA` removed.
        X : rows in the form that the estimator or the pipeline accepts. At most 300 rows, chosen at random, are drawn.
        features : the features to show, in the order of the plot; all features by default.

        Raises
        ------
        ValueError : a step of the pipeline before the last does not have an affine inverse, or there is only one
            feature to show.
        """
        steps, last = None, estimator
        if isinstance(estimator, Pipeline):
            steps, last = estimator[:-1] if len(estimator) > 1 else None, estimator[-1]
        scores = X if X is None or steps is None else steps.transform(X)
        subject = make_subject(last, scores, feature_names if steps is None else None)
        labels, mixture = subject.labels_and_certainty()[0], subject.mixture
        means, variances = mixture.means, mixture._model.covariances.variances()
        if steps is not None:
            means, variances = _untransformed_moments(steps, mixture)
            names = choose_names(means.shape[1], feature_names, getattr(steps, "feature_names_in_", None))
            subject = replace(subject, names=names, rows=None if X is None else check_real("X", X))
            if X is not None:
                variances = variances + np.nanmean((subject.rows - steps.inverse_transform(scores)) ** 2, axis=0)
        names = subject.names
        shown = chosen_features(range(len(names)) if features is None else features, subject, len(names))
        if len(shown) < 2:
            raise ValueError(
                f"A profile needs two or more features, but {names[shown[0]]!r} is the only one: draw it with "
                "ComponentDisplay."
            )
        parts: dict[str, Any] = {"means": means[:, shown], "deviations": np.sqrt(variances[:, shown])}
        parts |= {"rows": subject.shown(shown), "labels": labels, "feature_names": [names[j] for j in shown]}
        display = cls(weights=mixture.weights, **parts)
        display._legend_title = f"{len(shown)} of {len(names)} features" * (len(shown) < len(names))
        return display._plotted(ax, options)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        standardize: bool = True,
        level: float = 1,
        colors: Any = None,
        legend: bool = True,
    ) -> Self:
        """Draw the display.

        Parameters not listed here, the return value and the errors are the same as in `ComponentDisplay.plot`.

        Parameters
        ----------
        standardize : whether to show each feature relative to the mean of the whole mixture, in standard deviations of
            the mixture. If all features have the same unit, for example because they are points of a curve, use
            `standardize=False` to show data units.
        level : half the height of the bands, in standard deviations of the component; positive. With `level=1.64` a
            band contains 90% of the component's probability for each feature.
        """
        reach = check_positive("level", level)
        ax = self._set_axes(ax)
        pens, at = component_pens(len(self.weights), colors, background(ax)), np.arange(len(self.feature_names))
        is_curve = all(any(map(str.isdigit, name)) for name in self.feature_names)
        step = 1 if len(at) <= (_MAX_TICKS if is_curve else _MAX_NAMED_TICKS) else -(-len(at) // 8)
        centre, spread = overall(self.weights, self.means, self.deviations**2) if standardize else (0.0, 1.0)
        drawn = np.random.default_rng(0).permutation(len(self.rows))[:_MAX_ROWS]
        rows, own = (self.rows[drawn] - centre) / spread, self.labels[drawn]
        self.rows_: list[Any] = []
        for k, pen in [*enumerate(pens), (-1, Pen(NOISE_COLOR, "", "-"))]:
            mine = np.pad(rows[own == k], ((0, 0), (0, 1)), constant_values=np.nan)  # NaN ends the line of each row
            path = np.tile([*at, np.nan], len(mine)), mine.ravel()
            self.rows_ += ax.plot(*path, color=faded(pen.color, _ROW_ALPHA), linewidth=0.5, zorder=1)
        self.bands_: list[Any] = []
        self.lines_: list[Any] = []
        alpha = _BAND_ALPHA if len(pens) < N_MANY else 0.4 * _BAND_ALPHA
        for mean, half, pen in zip((self.means - centre) / spread, reach * self.deviations / spread, pens, strict=True):
            style: dict[str, Any] = {"color": faded(pen.color, alpha), "linewidth": 0, "zorder": 2}
            self.bands_.append(ax.fill_between(at, mean - half, mean + half, **style))
            style = {"color": pen.color, "linestyle": pen.line_style, "zorder": 3}
            self.lines_ += ax.plot(at, mean, marker=pen.marker if step == 1 else "", **style)
        names = self.feature_names[::step]
        room = _NAMES_WIDTH // len(names)
        is_rotated = len(names) > 5 and max(map(len, names)) > room
        labels = [as_text(shorten(name) if is_rotated else in_lines(name, room)) for name in names]
        size = "medium" if len(names) <= 20 else "small"
        ax.set_xticks(at[::step], labels, rotation=90.0 * is_rotated, fontsize=size)
        ax.set(xlabel="feature", ylabel="standard deviations from the mean" if standardize else "value")
        handles = component_handles(pens, self.weights, points=False, lines=True, noise=bool((self.labels < 0).any()))
        return self._with_legend([*handles, *level_handles([reach], 1)], legend)


def _untransformed_moments(steps: Pipeline, mixture: Mixture) -> tuple[Array, Array]:
    """Compute the components' means and variances (n_components, n_features) in the input features of the steps.

    To check that `inverse_transform` is affine, the function applies it to the mixture's mean, to the components'
    means, and to points on each axis at one and two standard deviations from the mixture's mean.
    """
    model, n = mixture._model, mixture.n_features
    centre, spread = overall(mixture.weights, mixture.means, model.covariances.variances())
    points = np.concatenate([centre + np.diag(spread), centre - 2 * np.diag(spread), mixture.means])
    if hasattr(steps, "inverse_transform"):
        inverses = steps.inverse_transform(np.vstack([centre, points]))
        origin, ends = np.split(inverses, [1])
        axes = (ends - origin)[:n] / spread[:, None]
        with catch_warnings(action="ignore"):  # hides the warning that arrays have no feature names
            gap = np.asarray(steps.transform(inverses))[1:] - points  # large unless this is the true inverse
        is_affine = np.allclose(ends - origin, (points - centre) @ axes, rtol=0, atol=1e-5 * abs(ends - origin).max())
        if is_affine and (abs(gap) <= 1e-4 * spread).all():
            variances = np.einsum("ia,kij,ja->ka", axes, model.covariances.dense(), axes, optimize=True)
            return ends[2 * n :], np.maximum(variances, 0.0)
    raise ValueError(
        f"Means and variances can't be transformed back, because {steps!r:.90} has no affine inverse_transform. "
        "Pass pipeline[-1] and pipeline[:-1].transform(X)."
    )
