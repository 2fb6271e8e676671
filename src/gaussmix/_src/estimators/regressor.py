"""`GaussianMixtureRegressor`: numbers predicted from a mixture of predictors and targets together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import Tags, _safe_indexing
from sklearn.utils.validation import check_is_fitted

from gaussmix._src.engines import check_jobs
from gaussmix._src.errors import SingularCovarianceError, warn
from gaussmix._src.estimators.base import unchanged_on_failure
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.mixture_estimator import MixtureEstimator
from gaussmix._src.estimators.predictor import Counts, MixturePredictor
from gaussmix._src.estimators.sklearn_bases import RegressorMixin
from gaussmix._src.fit.fitted import FitResult
from gaussmix._src.formats.record import Damaged
from gaussmix._src.formats.values import Reader, array_reader
from gaussmix._src.interfaces.block import Block
from gaussmix._src.mixture.features import Features
from gaussmix._src.mixture.html import names_of, shorten
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.predictive import PredictiveDistribution, Regression
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.frames import Frame
from gaussmix._src.report.summary import Summary
from gaussmix._src.sources.base import Source, in_leaves
from gaussmix._src.sources.opening import is_table, open
from gaussmix._src.validation.parameters import check_flag, check_floats
from gaussmix._src.validation.rows import RowsLike, check_source, scale_weights
from gaussmix._src.validation.targets import check_target, check_targets, copied_column, target_names


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class GaussianMixtureRegressor(RegressorMixin, MixturePredictor):
    """Regression by a mixture fitted to predictors and targets together: p(y | x) is a mixture for every x.

    Parameters
    ----------
    n_components : int or iterable of int, default 1
        Number of components; 1 is linear regression. With several numbers BIC chooses, on all columns together.
    targets : int, str, a list of them or None, default None
        Columns of X to predict, by number or name; `fit` then takes no y. None if `fit` takes y.
    covariance_type : str, structure or list of these, default "full"
        As of `GaussianMixture`; of several, or "all", BIC chooses. With "diag" and "spherical" a component predicts the
        same for every x, and only the weights of the components change.
    <Parameters of MixturePredictor>

    Attributes
    ----------
    mixture_ : Mixture
        p(x, y): the columns of X and then y, or with `targets` the columns of X.
    targets_ : int or (n_targets,)
        Places of the targets in `mixture_`; one number where y has one dimension or `targets` is not a list.
    converged_, n_iter_, lower_bound_, lower_bounds_, outcome_ : as for `GaussianMixture`
    results_, best_index_ : as for `GaussianMixtureIC`, where BIC chooses
    n_features_in_, feature_names_in_ : of the predictors, as in scikit-learn.

    References
    ----------
    Ghahramani & Jordan (1994), NIPS 6, 120–127; Sung (2004), Gaussian Mixture Regression and Classification.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixtureRegressor
    >>> x = np.linspace(0, 1, 200)[:, None]
    >>> y = np.abs(x[:, 0] - 0.5)
    >>> regressor = GaussianMixtureRegressor(2, random_state=0).fit(x, y)
    >>> regressor.predict([[0.25], [0.75]]).round(2)
    array([0.25, 0.25])
    """

    n_components: Counts = field(default=1, kw_only=False)
    targets: Features | None = None

    targets_: int | NDArray[np.int64] = field(init=False)
    """Indices of the targets in `mixture_`."""
    _attributes: ClassVar[Mapping[str, Reader]] = {
        "targets_": lambda value: array_reader("i", 0)(value).item() if type(value) is int else array_reader("i")(value)
    }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output, tags.target_tags.required = True, self.targets is None
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the mixture of predictors and targets.

        Parameters
        ----------
        X : (n_samples, n_features), numbers in data units, NaN or null where they are missing; an array, a data frame,
            or with `targets` rows that need not fit into memory (`gaussmix.open`).
        y : (n_samples,) or (n_samples, n_targets), what to predict; None with `targets`.
        <weight>

        Raises
        ------
        ValueError : a parameter or the data can't be used, or a target is a predictor too and `reg_covar` is 0.
        TypeError : a parameter or the data is of the wrong type.

        Warns
        -----
        ConvergenceWarning, RuntimeWarning : as for `GaussianMixture`.
        """
        with unchanged_on_failure(self):
            _check_beside(X, y)
            source = scale_weights(check_source(self, X, sample_weight, reset=True, may_miss=True), self.weight_type)
            columns, self.targets_, names = self._split_targets(source, y)
            joint = source if columns is None else _beside(source, columns, self._mixture_estimator(names))
            try:
                self._fit_mixture(joint, X, names)
            except SingularCovarianceError as error:
                raise _explained(joint, self._target_indices, error) from None
            self._expect_features()
        return self

    @overload
    def predict(self, X: ArrayLike, *, return_std: Literal[False] = False) -> Array: ...
    @overload
    def predict(self, X: ArrayLike, *, return_std: Literal[True]) -> tuple[Array, Array]: ...
    @overload
    def predict(self, X: ArrayLike, *, return_std: bool) -> Array | tuple[Array, Array]: ...
    def predict(self, X: ArrayLike, *, return_std: bool = False) -> Array | tuple[Array, Array]:
        """E[y | x], the best guess in least squares.

        Parameters
        ----------
        X : (n_samples, n_features), the predictors; with `targets` X may have the columns of the targets, which are not
            read. Or what `fit` takes.
        return_std : whether to return the standard deviation of y given x.

        Returns
        -------
        y : (n_samples,) or (n_samples, n_targets), as it was in `fit`, data units.
        std : the same shape, with `return_std`.

        <raises>
        """
        wants_std, source, task = check_flag("return_std", return_std), self._source(X), self._task
        mean: Array = self._per_row(source, task.mean)
        return (mean, self._per_row(source, task.deviation)) if wants_std else mean

    def predict_quantiles(self, X: ArrayLike, quantiles: ArrayLike = (0.05, 0.5, 0.95)) -> Array:
        """Quantiles of each target given x.

        Parameters
        ----------
        X : as for `predict`.
        quantiles : (n_quantiles,), the mass below, between 0 and 1.

        Returns
        -------
        y : (n_samples, n_quantiles) or (n_samples, n_targets, n_quantiles), data units. Errors as for `predict`.
        """
        levels = check_floats("quantiles", quantiles)
        if levels.ndim != 1 or not ((levels > 0) & (levels < 1)).all():
            raise ValueError(f"quantiles={quantiles!r:.60} must be a list of numbers between 0 and 1.")
        source = self._source(X)
        return self._per_row(source, partial(self._task.quantiles, levels=levels), (len(levels),))

    def predict_mixture(self, X: ArrayLike) -> PredictiveDistribution:
        """The whole distribution p(y | x) of each row: item i of the result is a `Mixture` of the targets.

        Parameters and errors as for `predict`. The result is in memory, wherever X is.
        """
        source = self._source(X)
        return PredictiveDistribution.concatenate([*source.map_rows(self._task.predictive)])

    def score(self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """R², the share of the variance of y that `predict` explains; y from X where `targets` names its columns."""
        if y is not None or self.targets is None:
            _check_beside(X, y)
            return float(super().score(X, y, sample_weight))
        source = check_source(self._with_all_columns(), X, sample_weight, reset=False)
        if source.n_rows < 2:
            warn("R² of fewer than two rows is not defined.", UndefinedMetricWarning)
            return float("nan")
        weight, *sums = source.sum_of(partial(_sums, targets=self._task.targets))
        around = np.array(sums) / weight
        unexplained, total = source.sum_of(partial(_squares, task=self._task, around=around))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = 1 - unexplained / total
        return float(np.where(total > 0, ratios, unexplained == 0).mean())  # of a constant target as scikit-learn says

    def _with_its_own(self, summary: Summary) -> Summary:
        targets = [summary.names[i] for i in self._target_indices.tolist()]
        others = [name for i, name in enumerate(summary.names) if i not in self._target_indices]
        sides = (f"{', '.join(map(shorten, names[:5]))}{', …' * (len(names) > 5)}" for names in (targets, others))
        return replace(summary, extra_lines=[("predicts", " from ".join(sides))])

    def _shown_names(self) -> tuple[str, ...] | None:
        self._check_fitted()
        if self.mixture_.feature_names is not None or self.targets is not None:
            return None
        names = np.array(names_of(self.mixture_), dtype=object)
        names[self._target_indices] = target_names(None, len(self._target_indices))
        return tuple(names.tolist())

    @property
    def _target_indices(self) -> Indices:
        return np.atleast_1d(self.targets_).astype(np.intp)

    @property
    def _task(self) -> Regression:
        return Regression(self.mixture_, self._target_indices, check_jobs(self.n_jobs))

    def _split_targets(self, source: Source, y: ArrayLike | None) -> tuple[Array | None, Any, tuple[str, ...] | None]:
        """Columns to put besides those of X, the places of the targets, and the names of all columns."""
        names = tuple(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None
        n_features = source.n_features
        if self.targets is None:
            values = check_target(y, source.n_rows)
            columns = values.reshape(source.n_rows, -1)
            names = None if names is None else (*names, *target_names(y, columns.shape[1]))
            indices = np.arange(n_features, n_features + columns.shape[1])
            return columns, indices if values.ndim == 2 else int(indices[0]), names
        if y is not None:
            raise ValueError("Give y, or targets that name columns of X, not both.")
        indices = check_targets(self.targets, n_features, names)
        return None, indices if np.ndim(self.targets) else int(indices[0]), names

    def _wake(self, own: Mapping[str, Any]) -> None:
        super()._wake(own)
        indices, n_features = self._target_indices, self.mixture_.n_features
        inside = (indices >= 0) & (indices < n_features)
        if not inside.all() or not 0 < len(set(indices.tolist())) == len(indices) < n_features:
            raise Damaged("its 'targets_' are not some of its features")

    def _expect_features(self) -> None:
        """Count and name the predictors alone."""
        super()._expect_features()
        self.n_features_in_: int = self.n_features_in_ - len(self._target_indices)
        if self.mixture_.feature_names is not None:
            self.feature_names_in_: NDArray[Any] = np.delete(self.feature_names_in_, self._target_indices)

    def _source(self, X: RowsLike, sample_weight: ArrayLike | None = None, X_error: ArrayLike | None = None) -> Source:
        """The rows; of an array or a frame in memory without the columns of targets, which are not read."""
        check_is_fitted(self)
        if is_table(X):
            X = open(X, missing=True)
        if self.targets is None:
            return super()._source(X, sample_weight)
        if isinstance(X, Source):
            is_wide = X.n_features == self.mixture_.n_features
            of_columns = self._with_all_columns() if is_wide else self
            return check_source(of_columns, X, sample_weight, reset=False, may_miss=True)
        frame = Frame.from_table(X)
        X = X if frame is None else frame.native
        shape = np.shape(X)
        if len(shape) == 2 and shape[1] == self.mixture_.n_features:
            X = _safe_indexing(X, np.delete(np.arange(shape[1]), self._target_indices), axis=1)
        return super()._source(X, sample_weight)

    def _with_all_columns(self) -> Self:
        """A copy that expects targets among the columns of X."""
        check_is_fitted(self)
        twin = copy(self)
        super(GaussianMixtureRegressor, twin)._expect_features()
        return twin

    def _per_row(self, source: Source, method: Callable[[Block], Array], shape: tuple[int, ...] = ()) -> Array:
        """What a method of the task says of each row, with an axis for the targets where y had one."""
        is_one = np.ndim(self.targets_) == 0
        task = partial(in_leaves, task=partial(_first_target, method=method) if is_one else method)
        return source.per_row(task, np.float64, shape if is_one else (len(self._target_indices), *shape))


def _sums(block: Block, targets: Indices) -> Array:
    """The sum of the weights of rows, and those of their targets times their weights."""
    values = block.rows[:, targets].astype(np.float64)
    if np.isnan(values).any():
        raise ValueError("Input contains NaN: score needs the target of every row.")
    return np.array([block.weight.sum(), *(values * block.weight[:, None]).sum(axis=0)])


def _squares(block: Block, task: Regression, around: Array) -> Array:
    """The weighted sums of squares of targets about E[y | x], and about a point."""
    values, weight = block.rows[:, task.targets].astype(np.float64), block.weight[:, None]
    return np.stack([(weight * (values - each) ** 2).sum(axis=0) for each in (in_leaves(block, task.mean), around)])


def _first_target(block: Block, method: Callable[[Block], Array]) -> Array:
    return method(block)[:, 0]


def _check_beside(X: ArrayLike, y: ArrayLike | None) -> None:
    """Raise ValueError for y together with rows that need not be in memory."""
    if y is not None and (is_table(X) or isinstance(X, Source)):
        raise ValueError(
            "y can't stand beside a file or a table that is not in memory: put it into a column of X, and name that by "
            "targets=."
        )


def _beside(source: Source, columns: Array, fitted: MixtureEstimator) -> Source:
    """Rows in memory with more columns, checked as those of an estimator that is to be fitted."""
    block = source.sample(source.n_rows)
    return check_source(fitted, np.column_stack([block.rows, columns]), block.row_weight, reset=True, may_miss=True)


def _explained(source: Source, targets: Indices, error: SingularCovarianceError) -> ValueError:
    """The error of a fit; if a target is a predictor too, an error that says so."""
    copies = copied_column(source, targets)
    if copies is None:
        return error
    return ValueError(
        f"The target in column {copies[0]} equals column {copies[1]} of X, so that their covariance is singular: leave "
        "one out, or raise reg_covar."
    )


def as_regressor(mixture: Mixture, targets: Sequence[int], n_jobs: int | None = None) -> GaussianMixtureRegressor:
    """A fitted estimator of a mixture that predicts the features at some places from the others."""
    regressor = GaussianMixtureRegressor(mixture.n_components, targets=list(targets), n_jobs=n_jobs)
    regressor.targets_ = np.array(targets)
    regressor._fitted = FitResult(mixture._model, mixture.feature_names)
    regressor._expect_features()
    return regressor
