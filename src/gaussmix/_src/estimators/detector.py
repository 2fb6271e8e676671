"""`GaussianMixtureDetector`: an outlier detector that uses the density of a mixture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src.checks import check_within
from gaussmix._src.errors import counted, warn
from gaussmix._src.estimators.base import unchanged_on_failure
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.gaussian_mixture import as_estimator
from gaussmix._src.estimators.predictor import Counts, MixturePredictor
from gaussmix._src.estimators.sklearn_bases import OutlierMixin
from gaussmix._src.formats.values import Reader, instance
from gaussmix._src.interfaces.block import Block
from gaussmix._src.mixture.explaining import Explanation
from gaussmix._src.mixture.levels import MASS
from gaussmix._src.mixture.missing_values import Marginals, density_p_value
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.rows import patterns
from gaussmix._src.report.summary import Summary
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.quantile import lowest_inside
from gaussmix._src.validation.rows import RowsLike

_AUTO = "auto"
_MAX_CACHED_LEVELS = 10_000  # number of thresholds in the cache of a mixture, which then takes about 2 MB


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class GaussianMixtureDetector(OutlierMixin, MixturePredictor):
    """Outlier detector that fits a mixture; outliers are rows outside the region of highest density.

    Parameters
    ----------
    n_components : int or sequence of int, default 1
        Number of components. If you pass several numbers of components, BIC chooses one of them.
    contamination : "auto" or float in (0, 0.5], default "auto"
        Fraction of the training rows that are labelled as outliers. If values are missing, it is the fraction of the
        complete rows, and a row with missing values is an outlier with the same probability under the mixture. With
        "auto", rows are outliers if they lie outside the region that `coverage` defines.
    coverage : float in (0, 1), default 0.95
        Probability of the region of highest density under the fitted mixture. On average, a fraction 1 − `coverage` of
        new rows from the mixture is labelled as outliers. You cannot set both `coverage` and `contamination`.
    <choice>
    <Parameters of MixturePredictor>

    Attributes
    ----------
    mixture_ : Mixture
        The fitted mixture distribution, in float64.
    offset_ : float
        The log density (nats) below which a row is an outlier. You can set `offset_` to a different threshold, for
        example a quantile of `score_samples` for rows that were not used to fit the mixture.
    <Attributes of MixturePredictor>

    References
    ----------
    Hyndman (1996), The American Statistician 50, 120–126, for regions of highest density.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixtureDetector
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> detector = GaussianMixtureDetector().fit(X)
    >>> detector.predict([[0.0, 1.0], [5.0, 5.0]])
    array([ 1, -1])
    >>> detector.p_values([[0.0, 1.0], [5.0, 5.0]]).round(2)
    array([0.58, 0.  ])
    """

    n_components: Counts = field(default=1, kw_only=False)
    contamination: float | str = _AUTO
    coverage: float = MASS

    _attributes: ClassVar[Mapping[str, Reader]] = {"offset_": instance(float)}

    @property
    def offset_(self) -> float:
        """The log density (nats) below which a row is an outlier."""
        if "offset_" not in vars(self):
            raise AttributeError(f"This {type(self).__name__} is not fitted yet and has no offset_: call fit first.")
        return vars(self)["offset_"]

    @offset_.setter
    def offset_(self, value: Any) -> None:
        self.__dict__["offset_"] = check_within("offset_", value, "a finite number (a log density)", isfinite)

    def fit(self, X: RowsLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the mixture and find the density below which rows are outliers.

        Parameters
        ----------
        <fit>

        Raises
        ------
        ValueError : if a parameter or the data is invalid.
        TypeError : if a parameter or the data has the wrong type.

        Warns
        -----
        ConvergenceWarning, RuntimeWarning : for the same reasons as in `GaussianMixture`, or if X has fewer rows than
            the mixture has parameters.
        """
        with unchanged_on_failure(self):
            rate, coverage = self._contamination(), _check_rate("coverage", self.coverage, 1.0)
            source = self._training_rows(X, sample_weight)
            self._fit_mixture(source, X, self._names)
            if rate is None:
                rate = 1 - coverage
                self.offset_ = float(self.mixture_.highest_density_level(coverage))
            else:
                self.offset_ = self._lowest_of_complete_rows(source, rate)
        warn(_overfit_sentence(source.row_totals.n_positive, self.n_parameters_, rate))
        return self

    def score_samples(self, X: RowsLike) -> Array:
        """Return the log density log p(x) of each row, (n_samples,), in nats.

        <raises>
        """
        source = self._source(X)
        return source.per_row(self._density(source), np.float64)

    def decision_function(self, X: RowsLike) -> Array:
        """Return log p(x) − `offset_`, (n_samples,), in nats; the value is negative for outliers.

        For a row with missing values, p(x) is the density of the observed values, and `offset_` is replaced by a
        threshold for the observed features. A row with missing values is below its threshold with the same probability
        as a complete row is below `offset_`. Errors are the same as in `score_samples`.
        """
        source = self._source(X)
        return source.per_row(self._excess(source), np.float64)

    def predict(self, X: RowsLike) -> NDArray[np.int64]:
        """Return 1 for inliers and −1 for outliers, (n_samples,). Errors are the same as in `score_samples`."""
        source = self._source(X)
        return source.per_row(partial(_sides, excess=self._excess(source)), np.int64)

    def p_values(self, X: RowsLike) -> Array:
        """Return the p-value of each row, (n_samples,): the probability that a draw has a lower density than the row.

        The draw is a random row from the mixture, so the p-values of rows from the mixture are uniform on [0, 1]; see
        `Mixture.density_p_value`. Errors are the same as in `score_samples`.
        """
        source = self._source(X)
        return source.per_row(partial(_density_p_value, mixture=self.mixture_), np.float64)

    def explain(self, X: RowsLike) -> Explanation:
        """Explain which features make each row an outlier, and to which component the row most probably belongs.

        The parameters and the result are the same as in `GaussianMixture.explain`.

        Raises
        ------
        NotFittedError : if the detector is not fitted.
        ValueError, TypeError : if X is invalid, or is not in memory.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import GaussianMixtureDetector
        >>> X = np.random.default_rng(0).normal(size=(500, 2))
        >>> why = GaussianMixtureDetector().fit(X).explain([[0.1, 6.0]])
        >>> int(why.contributions[0].argmax())
        1
        """
        mixture = as_estimator(self.mixture_, self.n_jobs)
        mixture._expect_features()
        return mixture.explain(X)

    def _exported(self) -> Mixture:
        """Return the mixture to export; raises NotFittedError."""
        return self.mixture_

    def _excess(self, source: Source) -> Callable[[Block], Array]:
        mixture, offset = self.mixture_, self.offset_
        log_mass = mixture._log_mass_below(offset) if source.may_miss else 0.0
        return _Excess(self._density(source), offset, Marginals(mixture), log_mass)

    def _lowest_of_complete_rows(self, source: Source, rate: float) -> float:
        """Return the lowest log density of an inlier among the complete rows, whose log densities are comparable."""
        lowest = lowest_inside(source, partial(_complete_log_density, log_density=self._density(source)), rate)
        if lowest is None:
            raise ValueError(
                "contamination needs complete rows, but every row of X has missing values. Set coverage instead."
            )
        return lowest

    def _add_prediction(self, result: Summary) -> Summary:
        name, rate = "contamination", self._contamination()
        if rate is None:
            name, rate = "coverage", _check_rate("coverage", self.coverage, 1.0)
        text = f"log density below {self.offset_:.6g} nats, fitted with {name}={rate:g}"
        return replace(result, extra_lines=[("outliers", text)])

    def _contamination(self) -> float | None:
        """Check and return `contamination`; None if it is "auto"."""
        if isinstance(self.contamination, str) and self.contamination == _AUTO:
            return None
        if self.coverage != MASS:
            raise ValueError("contamination and coverage both define how many rows are outliers. Set one of them.")
        return _check_rate("contamination", self.contamination, 0.5, ', or "auto"')


def _overfit_sentence(n_rows: int, n_parameters: int, rate: float) -> str | None:
    """Return a warning if there are fewer rows than parameters, so that the mixture overfits; otherwise None."""
    if n_rows >= n_parameters:
        return None
    return (
        f"The mixture has {counted(n_parameters, 'parameter')}, but X has {counted(n_rows, 'row')}, so a much larger "
        f"fraction of new rows than {rate:.2g} may be labelled outliers. Pass more rows, lower n_components, choose a "
        "covariance_type with fewer parameters, such as 'diag', or set offset_ from rows that were not used to fit."
    )


def _check_rate(name: str, value: Any, largest: float, hint: str = "") -> float:
    """Check and return a fraction above 0, at most `largest` and below 1, so that inliers and outliers are possible."""
    wanted = f"a number above 0 and {'below 1' if largest == 1 else f'at most {largest:g}'}{hint}"
    return check_within(name, value, wanted, lambda rate: 0 < rate <= largest and rate < 1)


def _sides(block: Block, excess: Callable[[Block], Array]) -> NDArray[np.int64]:
    return np.where(excess(block) < 0, -1, 1)


@dataclass(frozen=True, eq=False)
class _Excess:
    """The function log p(x) minus a threshold, in nats; the threshold depends on which features of a row are observed.

    Parameters
    ----------
    log_density : function that computes log p(x) of the observed values of each row of a block.
    offset : threshold for rows without missing values.
    marginals : the marginals of the fitted mixture.
    log_mass : log of the probability that the density of a row is below its threshold, whichever features are observed.
    """

    log_density: Callable[[Block], Array]
    offset: float
    marginals: Marginals
    log_mass: float

    def __call__(self, block: Block) -> Array:
        result, levels = self.log_density(block), np.full(block.n_rows, self.offset)
        for indices, seen in sorted(patterns(np.isnan(block.rows)), key=lambda pattern: pattern[1].size):
            if seen.size < block.rows.shape[1]:  # The result is 0 for rows without an observed value.
                levels[indices] = self._level(seen) if seen.size else result[indices]
        return result - levels

    def _level(self, seen: Indices) -> float:
        """Return the threshold for a subset of the features; cache thresholds, because computing one is slow."""
        cache, key = self.marginals.mixture._level_cache, (seen.tobytes(), self.log_mass)
        if (level := cache.get(key)) is None:
            level = self.marginals.of_features(seen)._level_quantile(self.log_mass)
            if len(cache) >= _MAX_CACHED_LEVELS:
                cache.clear()
            cache[key] = level
        return level


def _density_p_value(block: Block, mixture: Mixture) -> Array:
    return density_p_value(block.rows, mixture)


def _complete_log_density(block: Block, log_density: Callable[[Block], Array]) -> Array:
    """Return log p(x) of complete rows, and NaN for rows with missing values."""
    return np.where(np.isnan(block.rows).any(axis=1), np.nan, log_density(block))
