"""`GaussianMixtureImputer`: missing values filled with their conditional mean, or with a draw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags, get_tags
from sklearn.utils.validation import check_is_fitted

from gaussmix.engines import check_jobs
from gaussmix.estimators.attributes import narrowed
from gaussmix.estimators.base import fitted_of, unchanged_on_failure
from gaussmix.estimators.docs import documented
from gaussmix.estimators.parameters import check_flag
from gaussmix.estimators.predictor import Counts, MixturePredictor, Structures
from gaussmix.estimators.validation import check_row_weight, check_rows
from gaussmix.numerics.arrays import Array, Places, Rows


@documented
class GaussianMixtureImputer(OneToOneFeatureMixin, TransformerMixin, MixturePredictor):
    """Fill missing values (NaN) with their mean under a mixture, given the known values of the row.

    Parameters
    ----------
    n_components : int or iterable of int, default 1
        Number of components; of several BIC chooses.
    <choice>
    sample_posterior : bool, default False
        Fill with a draw from the conditional distribution of the missing values instead of with its mean. Means make
        columns vary less and correlate more than they do. Several draws with different seeds show how much a result
        depends on the missing values (multiple imputation, Rubin 1987).
    <em>

    Attributes
    ----------
    mixture_ : Mixture
        The distribution of a row, in float64.
    <found>

    References
    ----------
    Ghahramani & Jordan (1994), NIPS 6, 120–127; Little & Rubin (2002), Statistical Analysis with Missing Data, 11.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixtureImputer
    >>> X = np.array([[1.0, 2.0], [2.0, 4.1], [3.0, 5.9], [4.0, 8.0]])
    >>> GaussianMixtureImputer().fit(X).transform([[2.5, np.nan], [np.nan, 4.0]]).round(1)
    array([[2.5, 5. ],
           [2. , 4. ]])
    """

    sample_posterior: bool

    def __init__(
        self,
        n_components: Counts = 1,
        *,
        covariance_type: Structures = "full",
        n_factors: Counts | None = None,
        sample_posterior: bool = False,
        tol: float = 1e-3,
        reg_covar: float | str = "auto",
        max_iter: int = 100,
        n_init: int = 1,
        init_params: Any = "kmeans",
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self._keep(locals())

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the mixture to the complete rows.

        Parameters
        ----------
        X : (n_samples, n_features), numbers in data units, NaN where they are missing; an array or a data frame.
        y : ignored; pipelines pass it.
        sample_weight : (n_samples,), frequency weights ≥ 0: a row of weight 2 counts as two rows.

        Returns
        -------
        self : the fitted estimator.

        Raises
        ------
        ValueError : a parameter or the data can't be used; a column, or some value of every row, is missing.
        TypeError : a parameter or the data is of the wrong type.

        Warns
        -----
        ConvergenceWarning, RuntimeWarning : as for `GaussianMixture`.
        """
        with unchanged_on_failure(self):
            check_flag("sample_posterior", self.sample_posterior)
            rows = check_rows(self, X, reset=True, may_miss=True)
            weight = check_row_weight(sample_weight, len(rows))
            _check_columns(rows, self._names)
            fitted = self._mixture_estimator(self._names)
            if not get_tags(fitted).input_tags.allow_nan:
                rows, weight = _complete(rows, weight)
            fitted.fit(rows, sample_weight=weight)
            self._publish(fitted_of(fitted), self._names)
        return self

    def transform(self, X: ArrayLike) -> Rows:
        """Fill the missing values of rows.

        Parameters
        ----------
        X : (n_samples, n_features), NaN where a value is missing; a row without any value is filled completely.

        Returns
        -------
        X : (n_samples, n_features), a copy without NaN.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X is not numbers or NaN of shape (n_samples, n_features).
        """
        rows = self._rows(X)
        filled = rows.astype(np.float64)
        rng = self._rng() if check_flag("sample_posterior", self.sample_posterior) else None
        for places, known in _patterns(np.isnan(rows)):
            unknown = np.delete(np.arange(rows.shape[1]), known)
            filled[np.ix_(places, unknown)] = self._expected(filled[np.ix_(places, known)], known, rng)
        return narrowed(filled, rows.dtype)

    def _expected(self, values: Array, known: Places, rng: np.random.Generator | None) -> Array:
        """Values (n_rows, n_unknown) for rows that lack the same features, from their known ones (n_rows, n_known)."""
        mixture, n_jobs = self.mixture_, check_jobs(self.n_jobs)
        if rng is not None:
            if not known.size:
                return mixture.sample(len(values), rng, n_jobs=n_jobs)[0]
            return mixture.sample_conditional(values, known, rng, n_jobs=n_jobs)
        if not known.size:
            return np.tile(mixture.weights @ mixture.means, (len(values), 1))
        return mixture.conditional_mean(values, known, n_jobs=n_jobs)

    def _rows(self, X: ArrayLike) -> Rows:
        check_is_fitted(self)
        return check_rows(self, X, reset=False, may_miss=True)


def _patterns(missing: NDArray[np.bool_]) -> Iterator[tuple[Places, Places]]:
    """The places of rows that lack the same features, with the features they have; complete rows are left out."""
    holed = np.flatnonzero(missing.any(axis=1))
    packed, pattern = np.unique(np.packbits(missing[holed], axis=1), axis=0, return_inverse=True)
    order = holed[np.argsort(pattern, kind="stable")]
    for places in np.split(order, np.cumsum(np.bincount(pattern, minlength=len(packed)))[:-1]):
        if places.size:
            yield places, np.flatnonzero(~missing[places[0]])


def _complete(rows: Rows, row_weight: Array | None) -> tuple[Rows, Array | None]:
    """The rows without missing values, and their weights."""
    complete = np.flatnonzero(~np.isnan(rows).any(axis=1))
    if not complete.size:
        raise ValueError(
            "Every row of X has missing values, and a mixture is fitted to complete rows: leave columns out."
        )
    if len(complete) == len(rows):
        return rows, row_weight
    if len(complete) == 1:
        raise ValueError(
            "Only one row of X has no missing values, and a mixture is fitted to two complete rows or more: leave "
            "columns out."
        )
    return rows[complete], None if row_weight is None else row_weight[complete]


def _check_columns(rows: Rows, names: Any) -> None:
    """Raise ValueError for a column without any value."""
    empty = np.flatnonzero(np.isnan(rows).all(axis=0))
    if empty.size:
        where = repr(str(names[empty[0]])) if names is not None else str(empty[0])
        raise ValueError(f"Column {where} of X has no value at all, so nothing can be learned of it: leave it out.")
