"""A display of the decision regions of a classifier, a detector or a mixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.mixture.class_mixtures import ClassMixtures
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.plot.display import MAX_LEGEND_ENTRIES, Axes, FeatureDisplay, handle
from gaussmix._src.plot.layers import draw_rows, make_grid
from gaussmix._src.plot.palette import NOISE_COLOR, Pen, background, component_pens, faded
from gaussmix._src.plot.subject import Subject, named_probabilities
from gaussmix._src.validation.targets import no_class

Labels = NDArray[np.intp]
_REGION_ALPHA = 0.22
_REACH = 3.0  # the picture covers this distance, in standard deviations, around the mean of each component


@dataclass(eq=False, repr=False, kw_only=True)
class DecisionRegionDisplay(FeatureDisplay):
    """Plot of the decision regions of a classifier, a detector or a mixture.

    Create a display with `from_estimator` from a fitted classifier, detector or other estimator, or from a mixture. The
    regions show the classes of a classifier, the components of a mixture, or the inliers and the outliers of a
    detector. A classifier with `reject_below` has an additional region, "rejected". The regions are computed from the
    marginal distribution of the plotted features. If all features of the mixture are plotted, the regions agree with
    `predict`. Except for a detector, the colour of each row shows the decision that is based on all features. For a
    detector the colour of a row depends only on the plotted features; a separate colour marks rows that are outliers in
    all features together, but not in the plotted features. If only one feature is plotted, a line for each decision
    shows the probability of this decision.

    Parameters
    ----------
    region_names : names of the decisions, such as classes.
    x, y : coordinates of the grid on which the regions were computed, in data units; y is empty if one feature is
        plotted.
    scores : (n_decisions, n_y, n_x) or (n_decisions, n_x), score of each decision at each grid point; each point
        belongs to the decision with the largest score. For mixtures and classifiers the scores are probabilities. The
        score of "rejected" is the largest of these probabilities plus 1 − p / `reject_below`, where p is the largest
        p-value of any class. For a detector the score of "inside" is 0, and the score of "outlier" is the detector's
        threshold of the log density minus the log density at the grid point, in nats.
    rows : (n_rows, 1) or (n_rows, 2), values of the plotted features, in data units; empty if no rows are plotted.
    labels : (n_rows,), the decision for each row, as an index into `region_names`.
    feature_names : names of the plotted features, used as axis labels.
    is_last_grey : whether the last decision, which is drawn in grey, is the noise component or "rejected".

    Attributes
    ----------
    ax_, figure_ : the axes and the figure of the plot. The method `plot` sets all attributes in this list.
    regions_ : a `matplotlib.collections.QuadMesh` of the regions or, with one feature, a line for each decision.
    boundaries_ : the boundaries between the regions: contours or, with one feature, vertical lines.
    rows_ : the matplotlib artists that show the rows.
    legend_ : the legend at the right of the axes, or None if there is no legend.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixtureClassifier
    >>> from gaussmix.plot import DecisionRegionDisplay
    >>> rng = np.random.default_rng(0)
    >>> X, y = np.concatenate([rng.normal(size=(50, 2)), rng.normal(4, 1, size=(50, 2))]), np.repeat(["a", "b"], 50)
    >>> display = DecisionRegionDisplay.from_estimator(GaussianMixtureClassifier().fit(X, y), X)
    >>> display.region_names
    ['a', 'b']
    """

    region_names: list[str]
    x: Array
    y: Array
    scores: Array
    rows: Array
    labels: NDArray[np.intp]
    feature_names: Sequence[str]
    is_last_grey: bool = False

    @classmethod
    def from_fit(cls, subject: Subject, shown: Sequence[int]) -> Self:
        """Create a display of the features `shown` without drawing it."""
        is_all = shown == list(range(subject.mixture.n_features))
        mixture = subject.mixture if is_all else subject.mixture.marginal(shown)
        rows, features = subject.shown(shown), [subject.names[j] for j in shown]
        x, y, points = make_grid(mixture, rows, _REACH)
        names, scores, labels = _decisions(subject, mixture, points, rows)
        shape = (len(names), len(y), len(x)) if len(y) else (len(names), len(x))
        parts: dict[str, Any] = {"x": x, "y": y, "scores": scores.T.reshape(shape), "rows": rows, "labels": labels}
        is_last_grey = mixture.noise is not None or getattr(subject.estimator, "reject_below", 0) > 0
        display = cls(region_names=names, feature_names=features, is_last_grey=is_last_grey, **parts)
        display._is_colored_by_all = not hasattr(subject.estimator, "p_values")
        return display

    def plot(self, ax: Axes | None = None, *, colors: Sequence[Any] | None = None, legend: bool = True) -> Self:
        """Draw the display.

        Parameters, return value and errors are the same as in `ComponentDisplay.plot`, but `colors` are the colours
        of the decisions. If there are more than 60 decisions, there is no legend.
        """
        ax = self._set_axes(ax)
        pens = component_pens(len(self.region_names), colors, background(ax))
        if self.is_last_grey:
            pens[-1] = Pen(NOISE_COLOR, "X", "-")
        (self._draw_plane if len(self.y) else self._draw_line)(ax, pens)
        self._name_axes(self.feature_names, "probability" if self._is_colored_by_all else "decision (1: yes, 0: no)")
        return self._with_legend(self._handles(pens), legend)

    def _draw_plane(self, ax: Axes, pens: list[Pen]) -> None:
        from matplotlib.colors import ListedColormap

        colors = ListedColormap([faded(pen.color, _REGION_ALPHA) for pen in pens])
        style: dict[str, Any] = {"shading": "nearest", "rasterized": True, "zorder": 0}
        ends = -0.5, len(pens) - 0.5
        decided = self.scores.argmax(axis=0)
        self.regions_: Any = ax.pcolormesh(self.x, self.y, decided, cmap=colors, vmin=ends[0], vmax=ends[1], **style)
        self.boundaries_: list[Any] = []
        for k in range(len(pens) if len(pens) > 2 else 1):
            others = np.delete(self.scores, k, axis=0)
            margin = self.scores[k] - (others.max(axis=0) if len(others) else -1.0)
            if margin.min() < 0 < margin.max():
                style = {"levels": [0.0], "colors": [self._text_color], "linewidths": 0.8, "zorder": 1.5}
                self.boundaries_.append(ax.contour(self.x, self.y, margin, **style))
        certainty, box = np.full(len(self.rows), 1.3), np.array([[self.x[0], self.y[0]], [self.x[-1], self.y[-1]]])
        self.rows_: Any = draw_rows(ax, self.rows, self.labels, certainty, pens, box, {})
        ax.set(xlim=(self.x[0], self.x[-1]), ylim=(self.y[0], self.y[-1]))

    def _draw_line(self, ax: Axes, pens: list[Pen]) -> None:
        self.regions_ = []
        decided = self.scores.argmax(axis=0)
        for k, (pen, score) in enumerate(zip(pens, self.scores, strict=True)):
            # The scores of detectors and of "rejected" are not probabilities; their lines show the decision, 1 or 0.
            is_probability = score.min() >= 0 and 0 < score.max() <= 1 + 1e-9
            height = score if is_probability else (decided == k).astype(float)
            self.regions_ += ax.plot(self.x, height, color=pen.color, linestyle=pen.line_style)
        changes = np.flatnonzero(np.diff(decided))
        at = 0.5 * (self.x[changes] + self.x[changes + 1])
        self.boundaries_ = [ax.axvline(x, color=self._text_color, linewidth=0.8, linestyle=":") for x in at.tolist()]
        self.rows_ = []
        for k, pen in enumerate(pens):
            mine = self.rows[self.labels == k, 0]
            style: dict[str, Any] = {"color": pen.color, "marker": "|", "linestyle": "", "markersize": 8, "alpha": 0.5}
            self.rows_ += ax.plot(mine, np.full(len(mine), -0.06), **style)

    def _handles(self, pens: list[Pen]) -> list[Any]:
        if len(pens) > 3 * MAX_LEGEND_ENTRIES:
            return []
        pairs = list(zip(self.region_names, pens, strict=True))
        if not len(self.y):
            return [handle(name, pen.color, pen.line_style) for name, pen in pairs]
        style: dict[str, Any] = {"markersize": 7, "markeredgewidth": 0}
        return [handle(name, pen.color, marker=pen.marker if len(self.rows) else "s", **style) for name, pen in pairs]


def _decisions(subject: Subject, mixture: Mixture, points: Array, rows: Array) -> tuple[list[str], Array, Labels]:
    """Return the names of the decisions, scores (n_points, n_decisions), and the decision index of each row."""
    estimator, X = subject.estimator, subject.data
    if hasattr(estimator, "offset_") and hasattr(estimator, "p_values"):
        level, names = _level(subject, mixture), ["inside", "outlier"]
        outside = level - mixture.log_density(points)
        scores = np.column_stack([np.zeros(len(outside)), outside])
        labels = np.empty(0, dtype=np.intp) if X is None else (estimator.predict(X) < 0).astype(np.intp)
        if mixture.n_features < subject.mixture.n_features and X is not None:
            here = np.flatnonzero(~np.isnan(rows).any(axis=1))  # rows with missing values are not drawn
            labels *= 2
            labels[here[mixture.log_density(rows[here]) < level]] = 1
            if (labels == 2).any():
                names.append(f"outlier only in all {subject.mixture.n_features} features")
                # With a score of −∞, the added decision is never chosen at a grid point.
                scores = np.column_stack([scores, np.full(len(scores), -np.inf)])
        return names, scores, labels
    probabilities, own = mixture.responsibilities(points), subject.labels_and_certainty()[0]
    if hasattr(estimator, "component_class_"):
        classes = estimator.component_class_
        names = [str(name) for name in estimator.classes_.tolist()]
        scores = np.stack([probabilities[:, classes == k].sum(axis=1) for k in range(len(names))], axis=1)
        labels = own if X is None else estimator.predict_proba(X).argmax(axis=1).astype(np.intp)
        if estimator.reject_below > 0:
            if X is not None:
                labels[estimator.predict(X) == no_class(estimator.classes_)] = len(names)
            each = ClassMixtures(mixture, classes).each
            p_value = np.max([one.density_p_value(points) for one in each], axis=0)
            names.append("rejected")
            scores = np.column_stack([scores, scores.max(axis=1) + 1.0 - p_value / estimator.reject_below])
        return names, scores, labels
    names, probabilities = named_probabilities(mixture, probabilities)
    return names, probabilities, own % len(names)


def _level(subject: Subject, mixture: Mixture) -> float:
    """Return the log density at the boundary of a detector's region.

    For a marginal mixture, the density level is chosen so that the region has the same probability as the detector's
    region in all features.
    """
    detector = subject.estimator
    if mixture.n_features == subject.mixture.n_features:
        return float(detector.offset_)
    return mixture._level_quantile(detector.mixture_._log_mass_below(detector.offset_))
