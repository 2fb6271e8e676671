"""A display of calibration, which shows how often rows fall inside the regions that a mixture predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from gaussmix._src.estimators.regressor import as_regressor
from gaussmix._src.mixture.missing_values import density_p_value
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.plot.display import Axes, Display
from gaussmix._src.plot.palette import faded
from gaussmix._src.plot.subject import get_mixture, join_targets, make_subject
from gaussmix._src.validation.rows import check_row_weight, row_count_of_weights

_N_BINS = 10
_CONFIDENCE = 0.95


@dataclass(eq=False, repr=False, kw_only=True)
class CoverageDisplay(Display):
    """Plot that compares the predicted probability of regions with the fraction of rows inside these regions.

    Create a display with `from_estimator`, using rows that were not used for the fit. For a regressor the regions are
    central intervals of p(y | x). For other estimators and for mixtures the regions are highest-density regions of
    p(x). `kind="pit"` shows the histogram of the probability integral transform (Dawid 1984, Journal of the Royal
    Statistical Society A 147, 278–292), which is flat if the model is correct. For a regressor the transform is the
    predicted probability of values below y. A histogram shaped like ∪ means that the predicted distributions are too
    narrow, and a histogram shaped like ∩ means that the predicted distributions are too wide. If the model is correct,
    the plotted line or bar lies in the grey band with a probability of 95% at each point.

    Parameters
    ----------
    values : (n_rows,), predicted probability of values below y given x or, for highest-density regions, predicted
        probability of points with a higher density than the row.
    is_central : whether regions are central intervals, as for a regressor; False for highest-density regions.
    row_weight : (n_rows,), weights of the rows; None if all weights are 1. The grey band treats the
        rounded sum of the weights as the number of rows.

    Attributes
    ----------
    ax_, figure_ : the axes and the figure of the plot. The method `plot` sets all attributes in this list.
    line_ : the line of observed over predicted probabilities; with `kind="pit"`, the bars of the histogram.
    reference_ : the line that a correct model would follow.
    band_ : the grey band of the random variation that is expected for a correct model.
    legend_ : the legend at the right of the axes, or None if there is no legend.

    Examples
    --------
    >>> from gaussmix import FAMILIES, Mixture
    >>> from gaussmix.plot import CoverageDisplay
    >>> m = Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"])
    >>> display = CoverageDisplay.from_estimator(m, [[0.0], [1.0], [-2.0]])
    >>> display.values.round(2).tolist()
    [0.0, 0.68, 0.95]
    """

    values: Array
    is_central: bool
    row_weight: Array | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
        """Draw the calibration of a fitted estimator, or of a mixture.

        Parameters not listed here, the return value and the errors are as in `ComponentDisplay.from_estimator`.

        Parameters
        ----------
        estimator : a fitted `gaussmix.GaussianMixtureRegressor`, another estimator of gaussmix that has a `mixture_`,
            or a `gaussmix.Mixture`.
        X : (n_samples, n_features), rows in the form that `predict` accepts.
        y : (n_samples,), target values for a regressor with one target; None if X contains the target's column.
        sample_weight : (n_samples,), weights ≥ 0 of the rows; a row of weight 2 counts as two rows.

        Raises
        ------
        ValueError : X and y together do not have the features of the mixture, the regressor has several targets,
            `sample_weight` is invalid, or the mixture has noise.
        """
        is_regressor = hasattr(estimator, "predict_quantiles")
        if is_regressor:
            values = _masses_below(estimator, X, y)
        else:  # probability of the region in which the density is higher than at the row
            subject = make_subject(estimator, X)
            values = 1.0 - density_p_value(subject.needed_rows(cls.__name__), subject.mixture)
        weight = None if sample_weight is None else check_row_weight(sample_weight, len(values))
        return cls(values=values, is_central=is_regressor, row_weight=weight)._plotted(ax, options)

    def plot(self, ax: Axes | None = None, *, kind: str = "coverage", color: Any = None, legend: bool = True) -> Self:
        """Draw the display.

        Parameters not listed here, the return value and the errors are the same as in `ConditionalDisplay.plot`.

        Parameters
        ----------
        kind : "coverage" for the fraction of rows in each region, or "pit" for the probability integral transform.

        Raises
        ------
        ValueError : kind is neither "coverage" nor "pit".
        """
        if kind not in ("coverage", "pit"):
            raise ValueError(f'kind={kind!r:.60} must be "coverage" or "pit".')
        ax = self._set_axes(ax)
        color = self._line_color(color)
        band: dict[str, Any] = {"color": faded(self._text_color, 0.15), "linewidth": 0, "label": "chance, 95%"}
        right: dict[str, Any] = {"color": self._text_color, "linewidth": 0.9, "linestyle": "--", "label": "right model"}
        handles = (self._draw_coverage if kind == "coverage" else self._draw_pit)(ax, color, band, right)
        return self._with_legend(handles, legend)

    def _draw_coverage(self, ax: Axes, color: Any, band: dict[str, Any], right: dict[str, Any]) -> list[Any]:
        promised = np.linspace(0, 1, 101)
        inside = np.abs(2 * self.values - 1) if self.is_central else self.values
        order, weight = np.argsort(inside), self._weight
        total = np.concatenate(([0.0], np.cumsum(weight[order])))
        observed = total[np.searchsorted(inside[order], promised, side="right")] / total[-1]
        low, high = _chance_interval(weight, promised)
        self.band_: Any = ax.fill_between(promised, low, high, **band)
        self.reference_: Any = ax.plot([0, 1], [0, 1], **right)[0]
        self.line_: Any = ax.plot(promised, observed, color=color, linewidth=1.8, label="observed")[0]
        what = "intervals" if self.is_central else "regions"
        ax.set(xlabel=f"mass of the {what}", ylabel="share of rows inside", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        return [self.line_, self.reference_, self.band_]

    def _draw_pit(self, ax: Axes, color: Any, band: dict[str, Any], right: dict[str, Any]) -> list[Any]:
        weight = self._weight
        low, high = (_N_BINS * probability for probability in _chance_interval(weight, 1 / _N_BINS))
        style: dict[str, Any] = {"bins": _N_BINS, "range": (0, 1), "facecolor": faded(color, 0.45), "edgecolor": color}
        self.line_ = ax.hist(self.values, weights=weight * (_N_BINS / weight.sum()), **style)[2]
        self.line_.set_label("observed")
        self.band_ = ax.axhspan(low, high, zorder=0, **band)
        self.reference_ = ax.axhline(1.0, **right)
        what = "mass below y given x" if self.is_central else "mass of the region of higher density"
        ax.set(xlabel=what, ylabel="observed rows / expected rows", xlim=(0, 1))
        return [self.line_, self.reference_, self.band_]

    @property
    def _weight(self) -> Array:
        return np.ones(len(self.values)) if self.row_weight is None else self.row_weight


def _chance_interval(weight: Array, probability: Any) -> tuple[Any, Any]:
    """Return the 2.5% and 97.5% quantiles of the fraction of rows that fall inside a region if the model is correct."""
    from scipy.stats import binom  # imported late, because this import is slow

    tail = 0.5 - 0.5 * _CONFIDENCE
    n_rows = round(row_count_of_weights(float(weight.sum()), int((weight > 0).sum())))
    return binom.ppf(tail, n_rows, probability) / n_rows, binom.ppf(1 - tail, n_rows, probability) / n_rows


def _masses_below(regressor: Any, X: ArrayLike, y: ArrayLike | None) -> Array:
    """Compute P(target ≤ y | x) for each row."""
    mixture, indices = get_mixture(regressor), np.atleast_1d(regressor.targets_)
    if len(indices) > 1:
        raise ValueError("CoverageDisplay needs one target, but the regressor has several. Fit a regressor per target.")
    subject = make_subject(mixture, join_targets(X, y, mixture.feature_names))
    rows = subject.needed_rows(CoverageDisplay.__name__)
    target, inputs = rows[:, indices[0]], np.delete(rows, indices, axis=1)
    unnamed = as_regressor(mixture.with_feature_names(None), indices.tolist(), regressor.n_jobs)
    models = unnamed.predict_mixture(inputs)
    deviations = np.sqrt(models._each.variances()[:, 0])
    below = ndtr((target[:, None] - models.means[:, :, 0]) / deviations)
    return np.asarray(np.einsum("nk,nk->n", models.weights, below))
