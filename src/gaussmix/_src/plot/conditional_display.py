"""A display of the regression of one feature on another feature, which is computed from a mixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.estimators.regressor import as_regressor
from gaussmix._src.mixture.features import Feature, feature_index
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.plot.display import Axes, Display, checked_masses
from gaussmix._src.plot.layers import draw_plain_rows
from gaussmix._src.plot.palette import faded
from gaussmix._src.plot.subject import choose_names, get_mixture, join_targets, make_subject

_GRID_SIZE = 201


@dataclass(eq=False, repr=False, kw_only=True)
class ConditionalDisplay(Display):
    """Plot of the conditional mean and median of a target feature over another feature, with probability bands.

    Create a display with `from_estimator`. The curves and bands describe p(target | feature). All features of the
    mixture except the feature and the target are marginalised out. The 90% band extends from the 5% quantile to the 95%
    quantile of the target. The curves and bands leave out the noise component, so the 90% band contains 90% of the rows
    that are not noise.

    Parameters
    ----------
    x : (n_points,), values of the feature at which the curves are computed, in data units.
    mean : (n_points,), conditional mean E[target | x], in data units.
    quantiles : (n_points, 2 n_coverages + 1), for each point the ascending quantiles of the target, with the median in
        the middle.
    coverages : (n_coverages,), probability of each band, in ascending order.
    rows : (n_rows, 2), values of the feature and of the target in each row, in data units; empty if no rows are shown.
    feature_names : names of the feature and of the target.
    noise_weight : weight of the noise component, which the legend's title states; 0 without noise.

    Attributes
    ----------
    ax_, figure_ : the axes and the figure of the plot. The method `plot` sets all attributes in this list.
    mean_, median_ : the line of the conditional mean, and the line of the conditional median.
    bands_ : the filled bands, one for each coverage, from the widest to the narrowest.
    rows_ : the matplotlib artists that show the rows.
    legend_ : the legend at the right of the axes, or None if there is no legend.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixtureRegressor
    >>> from gaussmix.plot import ConditionalDisplay
    >>> x = np.linspace(0, 1, 200)[:, None]
    >>> y = np.abs(x[:, 0] - 0.5) + 0.01 * np.sin(99 * x[:, 0])
    >>> regressor = GaussianMixtureRegressor(2, random_state=0).fit(x, y)
    >>> display = ConditionalDisplay.from_estimator(regressor, x, y)
    >>> display.quantiles.shape
    (201, 5)
    """

    x: Array
    mean: Array
    quantiles: Array
    coverages: Array
    rows: Array
    feature_names: Sequence[str]
    noise_weight: float = 0.0

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | None = None,
        y: ArrayLike | None = None,
        *,
        feature: Feature | None = None,
        target: Feature | None = None,
        coverages: Sequence[float] = (0.5, 0.9),
        feature_names: Sequence[str] | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> Self:
        """Draw the regression of a fitted estimator or of a mixture, with or without rows.

        Parameters not listed here, the return value and the errors are as in `ComponentDisplay.from_estimator`.

        Parameters
        ----------
        estimator : a fitted `gaussmix.GaussianMixtureRegressor`, another estimator of gaussmix that has a `mixture_`,
            or a `gaussmix.Mixture`.
        X, y : rows to show: predictors (n_samples, n_predictors) and targets (n_samples,) as in `fit` of the regressor,
            or X alone with all features of the mixture. By default no rows are shown.
        feature : name of the feature on the horizontal axis, or its index among the features of the mixture. The
            default is the first feature that is neither `target` nor a target of the regressor; if there is none, the
            first feature.
        target : name or index of the predicted feature. The default is the regressor's first target or, without a
            regressor, the last feature of the mixture.
        coverages : probabilities of the bands, above 0 and below 1.
        feature_names : a name for each feature of the mixture; the default names are stored in the mixture.

        Raises
        ------
        ValueError, TypeError : `feature` and `target` are the same feature, or `coverages` are not numbers between 0
            and 1.
        """
        mixture = get_mixture(estimator)
        names = choose_names(mixture.n_features, feature_names, mixture.feature_names)
        targets, features = np.atleast_1d(getattr(estimator, "targets_", ())).tolist(), (len(names), tuple(names))
        predicted = feature_index((targets or [-1])[0] if target is None else target, *features, "target")
        default = next((index for index in range(len(names)) if index not in (*targets, predicted)), 0)
        indices = [feature_index(default if feature is None else feature, *features, "feature"), predicted]
        if indices[0] == indices[1]:
            raise ValueError(f"feature and target are both {names[indices[0]]!r}: choose two different features.")
        if y is None and np.asarray(X).shape[1:] == (getattr(estimator, "n_features_in_", 0),) != (mixture.n_features,):
            raise ValueError("X has only the predictors. Pass the target, too: from_estimator(regressor, X, y).")
        probabilities = checked_masses(coverages)
        subject = make_subject(mixture, join_targets(X, y, mixture.feature_names), feature_names)
        rows = subject.shown(indices)
        pair = mixture.without_noise.marginal(indices)
        x = _span(pair.means[:, 0], np.sqrt(pair._model.covariances.dense()[:, 0, 0]), rows[:, 0])
        regressor = as_regressor(pair.with_feature_names(None), [1])
        tails = np.concatenate([0.5 - 0.5 * probabilities[::-1], [0.5], 0.5 + 0.5 * probabilities])
        mean, quantiles = np.asarray(regressor.predict(x[:, None])), regressor.predict_quantiles(x[:, None], tails)
        parts: dict[str, Any] = {"mean": mean[:, 0], "quantiles": quantiles[:, 0], "coverages": probabilities}
        parts |= {"feature_names": [names[index] for index in indices], "noise_weight": mixture._model.noise_weight}
        return cls(x=x, rows=rows, **parts)._plotted(ax, options)

    def plot(self, ax: Axes | None = None, *, color: Any = None, legend: bool = True) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : the `matplotlib.axes.Axes` to draw on; new axes by default.
        color : colour of the lines and bands; blue by default.
        legend : whether to draw a legend that names the lines and bands.

        Returns
        -------
        display : this display.

        Raises
        ------
        ImportError : matplotlib is not installed, or its backend needs a screen.
        """
        ax = self._set_axes(ax)
        color = self._line_color(color)
        low, high = self.quantiles.min(axis=0), self.quantiles.max(axis=0)
        box = np.array([[self.x[0], low[0]], [self.x[-1], high[-1]]])
        self.rows_: Any = draw_plain_rows(ax, self.rows, self._text_color, 0.7, box, {})
        n = len(self.coverages)
        self.bands_: list[Any] = []
        for k, mass in enumerate(self.coverages[::-1].tolist()):
            edges = self.quantiles[:, k], self.quantiles[:, 2 * n - k]
            pen: dict[str, Any] = {"color": faded(color, 0.18 + 0.14 * k), "linewidth": 0, "zorder": 1.5}
            self.bands_.append(ax.fill_between(self.x, *edges, label=f"{100 * mass:.4g}% of the rows", **pen))
        style = {"color": color, "zorder": 4}
        self.mean_: Any = ax.plot(self.x, self.mean, linewidth=1.8, label="mean", **style)[0]
        style |= {"linewidth": 1.2, "linestyle": "--", "label": "median"}
        self.median_: Any = ax.plot(self.x, self.quantiles[:, n], **style)[0]
        self._name_axes(self.feature_names)
        return self._with_legend([self.mean_, self.median_, *reversed(self.bands_)], legend)


def _span(means: Array, deviations: Array, rows: Array) -> Array:
    """Return the range of the horizontal axis, which covers the rows or, without rows, all intervals mean ± 3 σ."""
    rows = rows[~np.isnan(rows)]
    ends = rows if len(rows) else np.concatenate([means - 3 * deviations, means + 3 * deviations])
    return np.linspace(ends.min(), ends.max(), _GRID_SIZE)
