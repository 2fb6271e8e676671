"""The components of a mixture over all features side by side, or over the curves that a pipeline reduced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline

from gaussmix._src.checks import check_real
from gaussmix._src.mixture.html import shorten
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.frames import Frame
from gaussmix._src.plot.component_display import N_MANY, checked_levels
from gaussmix._src.plot.display import Axes, Display, as_text, component_handles, in_lines, level_handles
from gaussmix._src.plot.palette import NOISE_COLOR, Pen, component_pens, faded
from gaussmix._src.plot.subject import Features, choose_names, chosen_features, make_subject

_MAX_ROWS = 300  # that are drawn as lines
_MAX_TICKS = 12  # features that all have a tick and a marker
_NAMES_WIDTH = 50  # characters of names side by side
_BAND_ALPHA, _BAND_ALPHA_OF_MANY, _ROW_ALPHA = 0.25, 0.1, 0.2


@dataclass(eq=False, repr=False, kw_only=True)
class ProfileDisplay(Display):
    """The mean of each component over the features side by side, in a band of its standard deviations.

    Make it with `from_estimator`, of a mixture or of a pipeline that ends with one. After `PCA` or another affine step
    the picture is of the features before it, such as the points of curves: means A μ_k + b, and variances of A Σ_k Aᵀ and
    of what the steps left out of the rows.

    Parameters
    ----------
    weights : (n_components,), π_k.
    means, deviations : (n_components, n_shown), of each feature in each component: in standard deviations of the
        mixture from its mean, or in data units.
    rows : (n_rows, n_shown), likewise; without rows (0, n_shown).
    labels : (n_rows,), the most probable component; −1 for noise.
    feature_names : the names of the features shown.
    unit : of means, deviations and rows, for the axis.

    Attributes
    ----------
    ax_, figure_ : the axes drawn on, and their figure. `plot` sets these and all that follow.
    lines_ : for each component the line of its means.
    bands_ : for each component its band.
    rows_ : for each component a line through its rows, one after the other.
    legend_ : the legend at the right of the axes, or None.

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
    unit: str

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | None = None,
        *,
        features: Features = None,
        standardize: bool = True,
        feature_names: Sequence[str] | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
        """Draw a fitted estimator, a pipeline that ends with one, or a mixture, over rows or alone.

        All else is as for `ComponentDisplay.from_estimator`.

        Parameters
        ----------
        estimator : as there, or a fitted `sklearn.pipeline.Pipeline` whose steps before the last have an
            `inverse_transform` that is affine, as those of `PCA` and `StandardScaler`. Without X the bands lack what
            `PCA` left out.
        X : rows as the estimator or the pipeline takes them. At most 300 are drawn, chosen at random.
        features : the features to show, in this order; by default all.
        standardize : whether each feature is shown in standard deviations of the mixture from its mean; False for data
            units, where all features have the same, such as the points of curves.

        Raises
        ------
        ValueError : a step of the pipeline has no inverse, or one that is not affine.
        """
        steps = None
        if isinstance(estimator, Pipeline):
            steps, estimator = estimator[:-1] if len(estimator) > 1 else None, estimator[-1]
        scores = X if X is None or steps is None else steps.transform(X)
        subject = make_subject(estimator, scores, feature_names if steps is None else None)
        labels, rows, mixture = subject.labels_and_certainty()[0], subject.rows, subject.mixture
        if steps is None:
            means, variances = mixture.means, mixture._model.covariances.variances()
        else:
            means, variances = _before(steps, mixture)
            rows, frame = None if X is None else np.asarray(check_real("X", X), dtype=np.float64), Frame.from_table(X)
            others = getattr(steps, "feature_names_in_", None), None if frame is None else frame.names
            if rows is not None:
                variances = variances + np.nanmean((rows - steps.inverse_transform(scores)) ** 2, axis=0)
            subject = replace(subject, names=choose_names(means.shape[1], feature_names, *others))
        names, unit = subject.names, "value"
        rows = np.empty((0, len(names))) if rows is None else rows
        if standardize:
            centre, spread = _overall(mixture.weights, means, variances)
            unit = "standard deviations from the mean"
            means, rows, variances = (means - centre) / spread, (rows - centre) / spread, variances / spread**2
        shown = list(range(len(names))) if features is None else chosen_features(features, subject, len(names))
        parts: dict[str, Any] = {"means": means[:, shown], "deviations": np.sqrt(variances[:, shown])}
        parts |= {"rows": rows[:, shown], "labels": labels, "feature_names": [names[j] for j in shown], "unit": unit}
        display = cls(weights=mixture.weights, **parts)
        display._legend_title = f"{len(shown)} of {len(names)} features" if len(shown) < len(names) else ""
        return display.plot(ax, **options)

    def plot(
        self, ax: Axes | None = None, *, level: float = 1.0, colors: Sequence[Any] | None = None, legend: bool = True
    ) -> Self:
        """Draw. All else is as for `ComponentDisplay.plot`.

        Parameters
        ----------
        level : half the height of the bands, standard deviations of the component, positive; 1.64 holds 90% of a
            component at each feature.
        """
        (reach,) = checked_levels([level])
        ax = self._on(ax)
        pens, n_shown = component_pens(len(self.weights), colors, ax.get_facecolor()), len(self.feature_names)
        at, some = np.arange(n_shown), np.random.default_rng(0).permutation(len(self.rows))[:_MAX_ROWS]
        self.rows_: list[Any] = []
        for k, pen in [*enumerate(pens), (-1, Pen(NOISE_COLOR, "", "-"))]:
            mine = self.rows[some][self.labels[some] == k]
            path = np.tile([*at, np.nan], len(mine)), np.column_stack([mine, np.full(len(mine), np.nan)]).ravel()
            self.rows_ += ax.plot(*path, color=faded(pen.color, _ROW_ALPHA), linewidth=0.5, zorder=1)
        alpha = _BAND_ALPHA if len(pens) < N_MANY else _BAND_ALPHA_OF_MANY
        self.bands_: list[Any] = []
        self.lines_: list[Any] = []
        for mean, deviation, pen in zip(self.means, self.deviations, pens, strict=True):
            ends, color = (mean - reach * deviation, mean + reach * deviation), faded(pen.color, alpha)
            self.bands_.append(ax.fill_between(at, *ends, color=color, linewidth=0, zorder=2))
            style = {"color": pen.color, "linestyle": pen.line_style, "zorder": 3}
            self.lines_ += ax.plot(at, mean, marker=pen.marker if n_shown <= _MAX_TICKS else "", **style)
        self._name_places()
        handles = component_handles(pens, self.weights, points=False, lines=True, noise=bool((self.labels < 0).any()))
        return self._with_legend([*handles, *level_handles([reach], 1)], legend)

    def _name_places(self) -> None:
        """Write the names of the features below, all of them or as many as there is room for."""
        names, room = [as_text(name) for name in self.feature_names], _NAMES_WIDTH // len(self.feature_names)
        if len(names) <= _MAX_TICKS:
            turned: dict[str, Any] = {}
            if max(map(len, names)) > room and len(names) > 5:
                names = [as_text(shorten(name)) for name in self.feature_names]
                turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
            elif max(map(len, names)) > room:
                names = [as_text(in_lines(name, room)) for name in self.feature_names]
            self.ax_.set_xticks(range(len(names)), names, **turned)
        else:
            self._count_along_x(nbins=8)
            self.ax_.xaxis.set_major_formatter(lambda at, _: names[int(at)] if 0 <= at < len(names) else "")
        self.ax_.set(xlabel="feature", ylabel=self.unit)


def _overall(weights: Array, means: Array, variances: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each feature in the mixture; 1 for one that does not vary."""
    shares = weights / weights.sum()
    centre = shares @ means
    spread = np.sqrt(shares @ (variances + (means - centre) ** 2))
    return centre, np.where(spread > 0, spread, 1.0)


def _before(steps: Pipeline, mixture: Mixture) -> tuple[Array, Array]:
    """Means and variances of each component in the features before some steps, (n_components, n_features).

    The steps are undone at the mean of all, one and two standard deviations from it along each axis, and at the means.
    """
    model, n = mixture._model, mixture.n_features
    centre, spread = _overall(mixture.weights, mixture.means, model.covariances.variances())
    steps_along = np.diag(spread)
    points = np.concatenate([[centre], centre + steps_along, centre - 2 * steps_along, mixture.means])
    is_affine, back = False, np.empty(0)
    if hasattr(steps, "inverse_transform"):
        back = np.asarray(steps.inverse_transform(points), dtype=np.float64)
        moves = back - back[0]
        expected = np.concatenate([-2 * moves[1 : n + 1], (mixture.means - centre) / spread @ moves[1 : n + 1]])
        is_affine = np.allclose(moves[n + 1 :], expected, rtol=0, atol=1e-5 * abs(moves).max())
    if not is_affine:
        raise ValueError(
            "Means and variances are known only before steps with an affine inverse_transform, such as PCA and "
            f"StandardScaler, not before {steps!r:.90}. Give the last step and its rows."
        )
    axes = moves[1 : n + 1] / spread[:, None]
    variances = np.einsum("ia,kij,ja->ka", axes, model.covariances.dense(), axes, optimize=True)
    return back[2 * n + 1 :], np.maximum(variances, 0.0)
