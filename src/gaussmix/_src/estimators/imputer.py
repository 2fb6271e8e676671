"""`GaussianMixtureImputer`: fills missing values with conditional means, or with random draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src.checks import check_count
from gaussmix._src.engines import check_jobs
from gaussmix._src.errors import counted
from gaussmix._src.estimators.base import unchanged_on_failure
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.predictor import Counts, MixturePredictor
from gaussmix._src.estimators.sklearn_bases import OneToOneFeatureMixin, TransformerMixin
from gaussmix._src.formats.record import Damaged
from gaussmix._src.formats.values import Reader, array_reader
from gaussmix._src.mixture.missing_values import Filling
from gaussmix._src.mixture.words import shorten
from gaussmix._src.numerics.arrays import Rows
from gaussmix._src.report.summary import Summary
from gaussmix._src.sources.base import Source, in_leaves
from gaussmix._src.sources.remote import LazySource
from gaussmix._src.sources.row_statistics import Cells
from gaussmix._src.validation.parameters import check_flag
from gaussmix._src.validation.rows import RowsLike


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class GaussianMixtureImputer(OneToOneFeatureMixin, TransformerMixin, MixturePredictor):
    """Imputer that fills missing values (NaN) with their conditional means, given the observed values of the same row.

    The conditional mean is computed from a mixture that `fit` has fitted to the observed values.

    Parameters
    ----------
    n_components : int or sequence of int, default 1
        Number of components. If you pass several numbers of components, BIC chooses one of them.
    <choice>
    sample_posterior : bool, default False
        Whether to fill with random draws from the conditional distribution of the missing values, instead of their
        conditional mean. Columns filled with means vary less and correlate more than the true values. `impute` makes
        several draws at once.
    <Parameters of MixturePredictor>

    Attributes
    ----------
    mixture_ : Mixture
        The fitted distribution of complete rows, in float64.
    n_missing_ : (n_features,)
        Number of missing values of each feature in the training data.
    <Attributes of MixturePredictor>

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

    n_components: Counts = field(default=1, kw_only=False)
    sample_posterior: bool = False

    n_missing_: NDArray[np.int64] = field(init=False)
    """Number of missing values of each feature, (n_features,)."""
    _attributes: ClassVar[Mapping[str, Reader]] = {"n_missing_": array_reader("i")}

    def fit(self, X: RowsLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the mixture to the observed values (Ghahramani & Jordan 1994); rows may have missing values.

        Parameters
        ----------
        X : (n_samples, n_features), numbers in data units, with NaN or null for missing values. X is an array, a data
            frame, or a source from `gaussmix.open` with `missing=True`, whose rows need not fit into memory.
        y : ignored; the argument exists because scikit-learn's pipelines pass y to every step.
        <weight>

        Raises
        ------
        ValueError : if a parameter or the data is invalid, or a column has no observed value.
        TypeError : if a parameter or the data has the wrong type.

        Warns
        -----
        ConvergenceWarning, RuntimeWarning : for the same reasons as in `GaussianMixture`.
        """
        with unchanged_on_failure(self):
            check_flag("sample_posterior", self.sample_posterior)
            source = self._training_rows(X, sample_weight)
            self._fit_mixture(source, X, self._names)
            self.n_missing_ = source.collect(Cells).n_missing.astype(np.int64)
        return self

    def transform(self, X: RowsLike) -> Rows:
        """Fill the missing values of rows.

        Parameters
        ----------
        X : (n_samples, n_features), with NaN for missing values, in any type that `fit` accepts. If all values of a row
            are missing, the whole row is filled.

        Returns
        -------
        X : (n_samples, n_features), a copy without NaN. The result is a lazy array if X is a Dask collection, a column
            of arrays if X is a Spark data frame, and of the same type as the result of `predict` if X is a Ray dataset.

        Raises
        ------
        NotFittedError : if the estimator is not fitted.
        ValueError, TypeError : if X contains values other than numbers and NaN, or has the wrong shape. ValueError is
            also raised if X is on a cluster and `sample_posterior` is True, because random draws need row indices.
        """
        source = self._source(X)
        is_drawn = check_flag("sample_posterior", self.sample_posterior)
        return self._filled(source, self._drawn_seed(source) if is_drawn else None)

    def impute(self, X: RowsLike, n_imputations: int = 5) -> Rows:
        """Fill the missing values several times with random draws, to show the uncertainty due to missing values.

        The method is multiple imputation (Rubin 1987, Multiple Imputation for Nonresponse in Surveys). All draws are
        from the same fitted mixture, so the spread of the draws does not include the uncertainty of the mixture itself.

        Parameters
        ----------
        X : (n_samples, n_features), rows in memory as in `transform`.
        n_imputations : number of filled copies of X.

        Returns
        -------
        copies : (n_imputations, n_samples, n_features), filled copies of X without NaN.

        Raises
        ------
        NotFittedError, ValueError, TypeError : for the same reasons as in `transform`, or if `n_imputations` is not a
            positive integer.
        """
        source, n_copies = self._source(X), check_count("n_imputations", n_imputations, 1)
        return np.ascontiguousarray(np.moveaxis(self._filled(source, self._drawn_seed(source), (n_copies,)), 1, 0))

    def _restore_attributes(self, own: Mapping[str, Any]) -> None:
        super()._restore_attributes(own)
        if len(self.n_missing_) != self.mixture_.n_features:
            raise Damaged("the file's 'n_missing_' must have one number for each feature")

    def _add_prediction(self, summary: Summary) -> Summary:
        n_rows, incomplete = summary.statistics["n_rows"], np.flatnonzero(self.n_missing_)
        worst = incomplete[np.argsort(-self.n_missing_[incomplete], kind="stable")]
        each = ", ".join(f"{shorten(summary.names[j])} {self.n_missing_[j]:,}" for j in worst[:5].tolist())
        each += ", …" * (len(worst) > 5)
        total = f"{self.n_missing_.sum():,} of {counted(n_rows * len(self.n_missing_), 'cell')}"
        return replace(summary, extra_lines=[("missing", f"{total}: {each}" if each else total)])

    def _drawn_seed(self, source: Source) -> int:
        if isinstance(source, LazySource):
            raise ValueError(
                "Random draws depend on row indices, which rows of Dask, Spark or Ray do not have. Write X to files, "
                "or set sample_posterior=False."
            )
        return int(self._rng().integers(2**64, dtype=np.uint64))

    def _filled(self, source: Source, seed: int | None, copies: tuple[int, ...] = ()) -> Rows:
        fill = Filling(self.mixture_, check_jobs(self.n_jobs), seed, copies)
        return source.per_row(partial(in_leaves, task=fill), source.dtype, (*copies, source.n_features))
