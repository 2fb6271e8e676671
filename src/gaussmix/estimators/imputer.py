"""`GaussianMixtureImputer`: missing values filled with their conditional mean, or with a draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
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
from gaussmix.estimators.validation import check_source
from gaussmix.mixture.mixture import Mixture
from gaussmix.numerics.arrays import Array, Places, Rows
from gaussmix.sources.base import Source, in_leaves
from gaussmix.sources.lazy import LazySource
from gaussmix.waist.block import Block


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
        X : (n_samples, n_features), numbers in data units, NaN or null where they are missing; an array, a data frame,
            or rows that need not fit into memory (`gaussmix.open` with `missing=True`).
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
            source = check_source(self, X, sample_weight, reset=True, may_miss=True)
            fitted = self._mixture_estimator(self._names)
            fitted.fit(source if get_tags(fitted).input_tags.allow_nan else _complete(source, self._names))
            self._publish(fitted_of(fitted), self._names)
        return self

    def transform(self, X: ArrayLike) -> Rows:
        """Fill the missing values of rows.

        Parameters
        ----------
        X : (n_samples, n_features), NaN where a value is missing; a row without any value is filled completely. Or what
            `fit` takes.

        Returns
        -------
        X : (n_samples, n_features), a copy without NaN. Of Dask a lazy array, of Spark a column of arrays.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X is not numbers or NaN of shape (n_samples, n_features), or X is of Dask or Spark and
            `sample_posterior` is set: a draw depends on the number of its row.
        """
        source = self._source(X)
        seed = None
        if check_flag("sample_posterior", self.sample_posterior):
            if isinstance(source, LazySource):
                raise ValueError(
                    "With sample_posterior draws depend on the numbers of rows, which Dask and Spark do not tell: "
                    "write X to files first, or set sample_posterior=False."
                )
            seed = int(self._rng().integers(2**64, dtype=np.uint64))
        fill = _Filling(self.mixture_, check_jobs(self.n_jobs), seed)
        filled: Rows = source.per_row(partial(in_leaves, task=fill), source.dtype, (source.n_features,))
        return filled

    def _source(self, X: ArrayLike | Source, sample_weight: ArrayLike | None = None) -> Source:
        check_is_fitted(self)
        return check_source(self, X, sample_weight, reset=False, may_miss=True)


@dataclass(frozen=True)
class _Filling:
    """A task that fills the missing values of rows: with draws where it has a seed, else with means."""

    mixture: Mixture
    n_jobs: int | None
    seed: int | None

    def __call__(self, block: Block) -> Rows:
        rows, rng = block.rows, None if self.seed is None else np.random.default_rng([self.seed, block.first_row])
        filled = rows.astype(np.float64, order="C")
        for places, known in _patterns(np.isnan(rows)):
            unknown = np.delete(np.arange(rows.shape[1]), known)
            filled[np.ix_(places, unknown)] = self._values(filled[np.ix_(places, known)], known, rng)
        return narrowed(filled, rows.dtype)

    def _values(self, values: Array, known: Places, rng: np.random.Generator | None) -> Array:
        """Values (n_rows, n_unknown) for rows that lack the same features, from their known ones (n_rows, n_known)."""
        mixture, n_jobs = self.mixture, self.n_jobs
        if rng is not None:
            if not known.size:
                return mixture.sample(len(values), rng, n_jobs=n_jobs)[0]
            return mixture.sample_conditional(values, known, rng, n_jobs=n_jobs)
        if not known.size:
            return np.tile(mixture.weights @ mixture.means, (len(values), 1))
        return mixture.conditional_mean(values, known, n_jobs=n_jobs)


def _patterns(missing: NDArray[np.bool_]) -> Iterator[tuple[Places, Places]]:
    """The places of rows that lack the same features, with the features they have; complete rows are left out."""
    holed = np.flatnonzero(missing.any(axis=1))
    packed, pattern = np.unique(np.packbits(missing[holed], axis=1), axis=0, return_inverse=True)
    order = holed[np.argsort(pattern, kind="stable")]
    for places in np.split(order, np.cumsum(np.bincount(pattern, minlength=len(packed)))[:-1]):
        if places.size:
            yield places, np.flatnonzero(~missing[places[0]])


def _complete(source: Source, names: Any) -> Source:
    """The rows without missing values; raises ValueError where there are too few, or a column has no value at all."""
    is_complete, has_value = zip(*source.map_rows(_known), strict=True)
    complete = np.concatenate(is_complete)
    _check_columns(np.any(has_value, axis=0), names)
    if complete.all():
        whole = source.fresh()
        whole.may_miss = False
        return whole
    n_complete = int(complete.sum())
    if not n_complete:
        raise ValueError(
            "Every row of X has missing values, and a mixture is fitted to complete rows: leave columns out."
        )
    if n_complete == 1:
        raise ValueError(
            "Only one row of X has no missing values, and a mixture is fitted to two complete rows or more: leave "
            "columns out."
        )
    return source.part(complete)


def _known(block: Block) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether rows (n_rows,) have all values, and whether columns (n_features,) have one."""
    is_known: NDArray[np.bool_] = ~np.isnan(block.rows)
    return np.all(is_known, axis=1), np.any(is_known, axis=0)


def _check_columns(has_value: NDArray[np.bool_], names: Any) -> None:
    """Raise ValueError for a column without any value."""
    empty = np.flatnonzero(~has_value)
    if empty.size:
        where = repr(str(names[empty[0]])) if names is not None else str(empty[0])
        raise ValueError(f"Column {where} of X has no value at all, so nothing can be learned of it: leave it out.")
