"""`GaussianMixtureRegressor`: regression with a joint mixture of predictors and targets."""

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

from gaussmix._src.engines import check_jobs
from gaussmix._src.errors import SingularCovarianceError, column_named, invented_names, warn
from gaussmix._src.estimators.base import unchanged_on_failure
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.mixture_estimator import MixtureEstimator
from gaussmix._src.estimators.predictor import Counts, MixturePredictor
from gaussmix._src.estimators.sklearn_bases import RegressorMixin
from gaussmix._src.fit.fitted import FitResult
from gaussmix._src.formats.record import Damaged
from gaussmix._src.formats.values import Reader, array_reader
from gaussmix._src.interfaces.block import Block
from gaussmix._src.mixture.features import Features, check_order, names_at
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.predictive import PredictiveDistribution, Regression, check_levels
from gaussmix._src.mixture.words import names_of, shorten
from gaussmix._src.numerics.arrays import Array, Indices, plain_array
from gaussmix._src.numerics.frames import Frame
from gaussmix._src.report.summary import Summary
from gaussmix._src.sources.base import Source, in_leaves
from gaussmix._src.sources.opening import is_table
from gaussmix._src.validation.parameters import check_flag
from gaussmix._src.validation.rows import RowsLike, check_source, open_table
from gaussmix._src.validation.targets import check_target, check_targets, copied_column, target_names


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class GaussianMixtureRegressor(RegressorMixin, MixturePredictor):
    """Regressor that fits a mixture to predictors x and targets y together, so that p(y | x) is also a mixture.

    Parameters
    ----------
    n_components : int or sequence of int, default 1
        Number of components; with one component, the regression is linear. If you pass several numbers of components,
        BIC (of the mixture of predictors and targets) chooses one of them.
    targets : int, str, list of int or str, or None, default None
        Columns of X to predict, by index or name, if X contains the targets and `fit` is called without y. Leave
        `targets` at None if you pass y to `fit`.
    covariance_type : str, structure or list of these, default "full"
        Covariance structure, as in `GaussianMixture`. If you pass a list of structures or "all", BIC chooses one of
        them. With "diag" and "spherical", each component predicts a constant, and only the weights of the components
        depend on x.
    <Parameters of MixturePredictor>

    Attributes
    ----------
    mixture_ : Mixture
        The joint distribution p(x, y) of the columns of X and y or, with `targets`, of the columns of X.
    targets_ : int or (n_targets,)
        Indices of the targets among the features of `mixture_`; a single integer if y has one dimension or `targets`
        is not a list.
    n_components_ : int
        Number of components of `mixture_`.
    converged_, n_iter_, lower_bound_, lower_bounds_, outcome_ : same as in `GaussianMixture`.
    results_, best_index_ : same as in `GaussianMixtureIC`; they exist only if BIC chooses the mixture.
    n_features_in_, feature_names_in_ : as in scikit-learn; targets are not counted.

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
    """Indices of the targets among the features of `mixture_`."""
    _attributes: ClassVar[Mapping[str, Reader]] = {
        "targets_": lambda value: array_reader("i", 0)(value).item() if type(value) is int else array_reader("i")(value)
    }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output, tags.target_tags.required = True, self.targets is None
        return tags

    def fit(self, X: RowsLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit a joint mixture to the predictors and the targets.

        Parameters
        ----------
        X : (n_samples, n_features), numbers in data units, with NaN or null for missing values. X is an array or a data
            frame. If `targets` is set, X may also be a source from `gaussmix.open`, whose rows need not fit into
            memory.
        y : (n_samples,) or (n_samples, n_targets), the targets; None if `targets` is set.
        <weight>

        Raises
        ------
        ValueError : if a parameter or the data is invalid, or a target is also a predictor and `reg_covar` is 0.
        TypeError : if a parameter or the data has the wrong type.

        Warns
        -----
        ConvergenceWarning, RuntimeWarning : for the same reasons as in `GaussianMixture`.
        """
        with unchanged_on_failure(self):
            _check_y_in_memory(X, y)
            source = self._training_rows(X, sample_weight)
            columns, self.targets_, names = self._split_targets(source, y)
            joint = source if columns is None else _append_columns(source, columns, self._mixture_estimator(names))
            try:
                self._fit_mixture(joint, X, names)
            except SingularCovarianceError as error:
                raise _name_equal_column(joint, self._target_indices, names, error) from None
            if not hasattr(self, "feature_names_in_"):  # names were invented only for the fit's messages
                self._fitted = replace(self._fitted, feature_names=None)
            self._expect_features()
        return self

    @overload
    def predict(self, X: RowsLike, *, return_std: Literal[False] = False) -> Array: ...
    @overload
    def predict(self, X: RowsLike, *, return_std: Literal[True]) -> tuple[Array, Array]: ...
    @overload
    def predict(self, X: RowsLike, *, return_std: bool) -> Array | tuple[Array, Array]: ...
    def predict(self, X: RowsLike, *, return_std: bool = False) -> Array | tuple[Array, Array]:
        """Return E[y | x], the prediction with the smallest mean squared error.

        Parameters
        ----------
        X : (n_samples, n_features), the predictors, in any type that `fit` accepts. If `targets` is set, X may also
            contain the target columns, which are ignored.
        return_std : whether to return the standard deviation of y given x in addition to the mean.

        Returns
        -------
        y : (n_samples,) or (n_samples, n_targets), in the shape of y in `fit`, in data units.
        std : standard deviations in the same shape as y, in data units; only with `return_std`.

        <raises>
        """
        wants_std, source, task = check_flag("return_std", return_std), self._source(X), self._task
        mean: Array = self._per_row(source, task.mean)
        return (mean, self._per_row(source, task.deviation)) if wants_std else mean

    def predict_quantiles(self, X: RowsLike, quantiles: ArrayLike = (0.05, 0.5, 0.95)) -> Array:
        """Return quantiles of each target given x.

        Parameters
        ----------
        X : (n_samples, n_features), the predictors, as in `predict`.
        quantiles : (n_quantiles,), probabilities. The quantile of 0 is −inf, and the quantile of 1 is inf.

        Returns
        -------
        y : quantiles, (n_samples, n_quantiles) or (n_samples, n_targets, n_quantiles), in data units.

        Raises
        ------
        NotFittedError, ValueError, TypeError : for the same reasons as in `predict`, or if a probability is not between
            0 and 1.
        """
        levels = check_levels("quantiles", quantiles)
        source = self._source(X)
        return self._per_row(source, partial(self._task.quantiles, levels=levels), (len(levels),))

    def predict_mixture(self, X: RowsLike) -> PredictiveDistribution:
        """Return the distribution p(y | x) for each row: item i is the `Mixture` of the targets given row i.

        Parameters and errors are the same as in `predict`, except that ValueError is raised if a predictor is missing,
        because all rows share the conditional covariances. The mixtures are stored in memory, even if X is in a file or
        on a cluster.
        """
        source = self._source(X)
        return PredictiveDistribution._concatenate([*source.map_rows(self._task.predictive)])

    def score(self, X: RowsLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """Return R², the fraction of the variance of y that `predict` explains; with `targets`, y is read from X."""
        if y is not None or self.targets is None:
            _check_y_in_memory(X, y)
            if y is None:
                raise ValueError("score needs the targets y, because fit also received y. Pass y.")
            names = names_at(self.mixture_.feature_names, self._target_indices)
            if len(self._target_indices) > 1:  # the labels of a Series are not names of targets
                check_order(y, names, "y")
            rows: Any = X  # scikit-learn's annotations do not allow a source
            return float(super().score(rows, plain_array(y), sample_weight))
        source = check_source(self._with_all_columns(), X, sample_weight, reset=False)
        if source.n_rows < 2:
            warn("R² is not defined for fewer than two rows.", UndefinedMetricWarning)
            return float("nan")
        weight, *sums = source.sum_of(partial(_sums, targets=self._task.targets))
        around = np.array(sums) / weight
        unexplained, total = source.sum_of(partial(_squares, task=self._task, around=around))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = 1 - unexplained / total
        # As in scikit-learn, R² of a constant target is 1 if the prediction is perfect, and otherwise 0.
        return float(np.where(total > 0, ratios, unexplained == 0).mean())

    def _add_prediction(self, summary: Summary) -> Summary:
        targets = [summary.names[i] for i in self._target_indices.tolist()]
        others = [name for i, name in enumerate(summary.names) if i not in self._target_indices]
        sides = (f"{', '.join(map(shorten, names[:5]))}{', …' * (len(names) > 5)}" for names in (targets, others))
        return replace(summary, extra_lines=[("predicts", " from ".join(sides))])

    def _shown_names(self) -> tuple[str, ...] | None:
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
        """Return the columns to append to X (or None), the indices of the targets, and all names for messages."""
        names = tuple(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None
        n_features = source.n_features
        if self.targets is None:
            values = check_target(y, source.n_rows)
            columns = values.reshape(source.n_rows, -1)
            names = (*(names or invented_names(n_features)), *target_names(y, columns.shape[1], {*(names or ())}))
            indices = np.arange(n_features, n_features + columns.shape[1])
            return columns, indices if values.ndim == 2 else int(indices[0]), names
        if y is not None:
            raise ValueError("y and targets were both passed. Pass y, or set targets to columns of X.")
        indices = check_targets(self.targets, n_features, names)
        return None, indices if np.ndim(self.targets) else int(indices[0]), names

    def _restore_attributes(self, own: Mapping[str, Any]) -> None:
        super()._restore_attributes(own)
        indices, n_features = self._target_indices, self.mixture_.n_features
        inside = (indices >= 0) & (indices < n_features)
        if not inside.all() or not 0 < len(set(indices.tolist())) == len(indices) < n_features:
            raise Damaged("the file's 'targets_' must be different features of the mixture, but not all features")

    def _expect_features(self) -> None:
        """Set `n_features_in_` and `feature_names_in_` to the number and the names of the predictors."""
        super()._expect_features()
        self.n_features_in_: int = self.n_features_in_ - len(self._target_indices)
        if self.mixture_.feature_names is not None:
            self.feature_names_in_: NDArray[Any] = np.delete(self.feature_names_in_, self._target_indices)

    def _source(self, X: RowsLike, sample_weight: ArrayLike | None = None, X_error: ArrayLike | None = None) -> Source:
        """Check X, and return a source of its rows, from which targets in memory are removed.

        In data frames with column names, targets are identified by name. In other tables, which contain all targets or
        none, targets are identified by position.
        """
        self._check_fitted()
        if self.targets is None:
            return super()._source(X, sample_weight)
        if is_table(X):
            X = open_table(X, getattr(self, "feature_names_in_", None), may_miss=True)
        if isinstance(X, Source):
            is_wide = X.n_features == self.mixture_.n_features
            checker = self._with_all_columns() if is_wide else self
            return check_source(checker, X, sample_weight, reset=False, may_miss=True)
        frame, names = Frame.from_table(X), self.mixture_.feature_names
        if frame is not None and names is not None and all(isinstance(name, str) for name in frame.names):
            targets = [names[index] for index in self._target_indices]
            return super()._source(frame.only(name for name in frame.names if name not in targets), sample_weight)
        table: Any = X if frame is None else frame.native
        shape = np.shape(table)
        if len(shape) == 2 and shape[1] == self.mixture_.n_features:
            table = _safe_indexing(table, np.delete(np.arange(shape[1]), self._target_indices), axis=1)
        return super()._source(table, sample_weight)

    def _with_all_columns(self) -> Self:
        """Return a copy of the estimator that expects X to have the target columns as well."""
        twin = copy(self)
        super(GaussianMixtureRegressor, twin)._expect_features()
        return twin

    def _per_row(self, source: Source, method: Callable[[Block], Array], shape: tuple[int, ...] = ()) -> Array:
        """Apply a method to each row, and return the values, with an axis for targets if y was two-dimensional."""
        is_one = np.ndim(self.targets_) == 0
        task = partial(in_leaves, task=partial(_first_target, method=method) if is_one else method)
        return source.per_row(task, np.float64, shape if is_one else (len(self._target_indices), *shape))


def _sums(block: Block, targets: Indices) -> Array:
    """Return the sum of the row weights, and the weighted sum of each target."""
    values = block.rows[:, targets].astype(np.float64)
    if np.isnan(values).any():
        raise ValueError("Input contains NaN: score needs the target of every row. Leave out rows without targets.")
    return np.array([block.weight.sum(), *(values * block.weight[:, None]).sum(axis=0)])


def _squares(block: Block, task: Regression, around: Array) -> Array:
    """Return the weighted sums of squared differences of the targets from E[y | x], and from the point `around`."""
    values, weight = block.rows[:, task.targets].astype(np.float64), block.weight[:, None]
    return np.stack([(weight * (values - each) ** 2).sum(axis=0) for each in (in_leaves(block, task.mean), around)])


def _first_target(block: Block, method: Callable[[Block], Array]) -> Array:
    return method(block)[:, 0]


def _check_y_in_memory(X: RowsLike, y: ArrayLike | None) -> None:
    """Raise ValueError if y is passed with rows that are in a file or on a cluster."""
    if y is not None and (is_table(X) or isinstance(X, Source)):
        raise ValueError(
            "y can't be combined with a file or a table that is not in memory. Put y into a column of X, and pass the "
            "name of the column as targets=."
        )


def _append_columns(source: Source, columns: Array, fitted: MixtureEstimator) -> Source:
    """Check X and return a source of its rows with `columns` appended, for the estimator that will be fitted."""
    block = source.sample(source.n_rows)
    return check_source(fitted, np.column_stack([block.rows, columns]), block.row_weight, reset=True, may_miss=True)


def _name_equal_column(
    source: Source, targets: Indices, names: tuple[str, ...] | None, error: SingularCovarianceError
) -> ValueError:
    """Return the error of a fit or, if a target equals another column, a ValueError that names both columns."""
    copies = copied_column(source, targets)
    if copies is None:
        return error
    target, other = (column_named(column, names) for column in copies)
    return ValueError(
        f"The target in {target} equals {other}, so that their covariance is singular. Leave out one of the two "
        "columns, or raise reg_covar."
    )


def as_regressor(mixture: Mixture, targets: Sequence[int], n_jobs: int | None = None) -> GaussianMixtureRegressor:
    """Return a fitted regressor that predicts the features at `targets` from the other features of a mixture."""
    regressor = GaussianMixtureRegressor(mixture.n_components, targets=list(targets), n_jobs=n_jobs)
    regressor.targets_ = np.array(targets)
    regressor._fitted = FitResult(mixture._model, mixture.feature_names)
    regressor._expect_features()
    return regressor
