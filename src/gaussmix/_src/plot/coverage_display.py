"""Whether what a mixture promises is what happens."""

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
from gaussmix._src.plot.subject import beside, get_mixture, make_subject

_N_BINS = 10
_CONFIDENCE = 0.95


@dataclass(eq=False, repr=False, kw_only=True)
class CoverageDisplay(Display):
    """How many rows lie inside the regions that a mixture says hold 10%, 50% or 90% of them.

    Make it with `from_estimator`, with rows that `fit` has not seen. Of a regressor the regions are the intervals in
    the middle of p(y | x); of other estimators and mixtures they are the smallest regions of p(x). `kind="pit"` shows
    the histogram of the probability integral transform (Dawid 1984, J. R. Stat. Soc. A 147, 278–292), which is flat
    where the model is right. Of a regressor that is the mass of p(y | x) below y: a ∪ says that the predicted
    distributions are too narrow, a ∩ that they are too wide. The grey band holds 95% of what a right model does by
    chance.

    Parameters
    ----------
    values : (n_rows,), the mass below y given x, or the mass where p(x) is higher than at the row.
    is_central : whether regions are in the middle, of a regressor, and not at mass 0.

    Attributes
    ----------
    ax_, figure_ : the axes drawn on, and their figure. `plot` sets these and all that follow.
    line_ : the shares that were observed, over those promised; or with `kind="pit"` the bars.
    reference_ : the line of a right model.
    band_ : what chance allows.
    legend_ : the legend at the right of the axes, or None.

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

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike, y: ArrayLike | None = None, *, ax: Axes | None = None, **options: Any
    ) -> Self:
        """Draw the calibration of a fitted estimator, or of a mixture.

        All else is as for `ComponentDisplay.from_estimator`.

        Parameters
        ----------
        estimator : a fitted `gaussmix.GaussianMixtureRegressor`, another estimator of gaussmix that has a `mixture_`,
            or a `gaussmix.Mixture`.
        X : (n_samples, n_features), rows as for `predict`.
        y : (n_samples,), the targets, of a regressor with one target; None where X has its column.

        Raises
        ------
        ValueError : X and y are not rows of the mixture, a regressor has several targets, or a mixture has noise.
        """
        is_regressor = hasattr(estimator, "predict_quantiles")
        if is_regressor:
            values = _masses_below(estimator, X, y)
        else:  # the mass where the density is higher
            subject = make_subject(estimator, X)
            values = 1.0 - density_p_value(subject.needed_rows(cls.__name__), subject.mixture)
        return cls(values=values, is_central=is_regressor).plot(ax, **options)

    def plot(self, ax: Axes | None = None, *, kind: str = "coverage", color: Any = None, legend: bool = True) -> Self:
        """Draw. All else is as for `ConditionalDisplay.plot`.

        Parameters
        ----------
        kind : "coverage", the share of rows inside each region; or "pit", the histogram.

        Raises
        ------
        ValueError : kind is neither.
        """
        if kind not in ("coverage", "pit"):
            raise ValueError(f'kind={kind!r:.60} must be "coverage" or "pit".')
        ax = self._on(ax)
        color = self._line_color(color)
        band: dict[str, Any] = {"color": faded(self._ink, 0.15), "linewidth": 0, "label": "chance, 95%"}
        right: dict[str, Any] = {"color": self._ink, "linewidth": 0.9, "linestyle": "--", "label": "right model"}
        handles = (self._draw_coverage if kind == "coverage" else self._draw_pit)(ax, color, band, right)
        return self._with_legend(handles, legend)

    def _draw_coverage(self, ax: Axes, color: Any, band: dict[str, Any], right: dict[str, Any]) -> list[Any]:
        promised = np.linspace(0, 1, 101)
        inside = np.sort(np.abs(2 * self.values - 1) if self.is_central else self.values)
        observed = np.searchsorted(inside, promised, side="right") / len(inside)
        low, high = _chance(len(inside), promised)
        self.band_: Any = ax.fill_between(promised, low, high, **band)
        self.reference_: Any = ax.plot([0, 1], [0, 1], **right)[0]
        self.line_: Any = ax.plot(promised, observed, color=color, linewidth=1.8, label="observed")[0]
        what = "intervals" if self.is_central else "regions"
        ax.set(xlabel=f"mass of the {what}", ylabel="share of rows inside", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        return [self.line_, self.reference_, self.band_]

    def _draw_pit(self, ax: Axes, color: Any, band: dict[str, Any], right: dict[str, Any]) -> list[Any]:
        low, high = (_N_BINS * probability for probability in _chance(len(self.values), 1 / _N_BINS))
        how: dict[str, Any] = {"bins": _N_BINS, "range": (0, 1), "facecolor": faded(color, 0.45), "edgecolor": color}
        self.line_ = ax.hist(self.values, weights=np.full(len(self.values), _N_BINS / len(self.values)), **how)[2]
        self.line_.set_label("observed")
        self.band_ = ax.axhspan(low, high, zorder=0, **band)
        self.reference_ = ax.axhline(1.0, **right)
        what = "mass below y given x" if self.is_central else "mass where the density is higher"
        ax.set(xlabel=what, ylabel="rows, times those expected", xlim=(0, 1))
        return [self.line_, self.reference_, self.band_]


def _chance(n_rows: int, probability: Any) -> tuple[Any, Any]:
    """The smallest and the largest part of so many rows that is likely where each counts with some probability."""
    from scipy.stats import binom  # slow to import

    tail = 0.5 - 0.5 * _CONFIDENCE
    return binom.ppf(tail, n_rows, probability) / n_rows, binom.ppf(1 - tail, n_rows, probability) / n_rows


def _masses_below(regressor: Any, X: ArrayLike, y: ArrayLike | None) -> Array:
    """P(target ≤ y | x) of each row."""
    mixture, indices = get_mixture(regressor), np.atleast_1d(regressor.targets_)
    if len(indices) > 1:
        raise ValueError("CoverageDisplay needs one target, and the regressor has several. Fit it with one.")
    subject = make_subject(mixture, beside(X, y, mixture.feature_names))
    rows = subject.needed_rows(CoverageDisplay.__name__)
    target, inputs = rows[:, indices[0]], np.delete(rows, indices, axis=1)
    unnamed = as_regressor(mixture.with_feature_names(None), indices.tolist(), regressor.n_jobs)
    models = unnamed.predict_mixture(inputs)
    deviations = np.sqrt(models.family.covariances(models.covariances, *models.means.shape[1:]).variances()[:, 0])
    below = ndtr((target[:, None] - models.means[:, :, 0]) / deviations)
    return np.asarray(np.einsum("nk,nk->n", models.weights, below))
