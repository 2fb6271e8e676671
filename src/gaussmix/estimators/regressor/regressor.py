"""`GaussianMixtureRegressor`: numbers predicted from a mixture of predictors and targets together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils import Tags, _safe_indexing
from sklearn.utils.validation import check_is_fitted

from gaussmix.engines import check_jobs
from gaussmix.errors import SingularCovariance
from gaussmix.estimators.base import FOUND, fitted_of, unchanged_on_failure
from gaussmix.estimators.docs import documented
from gaussmix.estimators.parameters import check_flag, check_numbers
from gaussmix.estimators.predictor import Counts, MixturePredictor, Structures
from gaussmix.estimators.regressor.predictive import Predictive
from gaussmix.estimators.regressor.targets import check_target, check_targets, copied_column, target_names
from gaussmix.estimators.validation import check_row_weight, check_rows
from gaussmix.formats.values import Reader, array_of
from gaussmix.mixture.features import Features
from gaussmix.mixture.mixture import Mixture
from gaussmix.mixture.parts.conditionals import split
from gaussmix.numerics.arrays import Array, Places, Rows


@documented
class GaussianMixtureRegressor(RegressorMixin, MixturePredictor):
    """Regression by a mixture fitted to predictors and targets together: p(y | x) is a mixture for every x.

    Parameters
    ----------
    n_components : int or iterable of int, default 1
        Number of components; 1 is linear regression. With several numbers BIC chooses, on all columns together.
    targets : int, str, a list of them or None, default None
        Columns of X to predict, by number or name; `fit` then takes no y. None if `fit` takes y.
    covariance_type : str or list of str, default "full"
        As of `GaussianMixture`; of several, or "all", BIC chooses. With "diag" and "spherical" a component predicts the
        same for every x, and only the weights of the components change.
    n_factors : int or iterable of int, default None
        Number of factors, for "factor_analyzer"; of several BIC chooses.
    <em>

    Attributes
    ----------
    mixture_ : Mixture
        p(x, y): the columns of X and then y, or with `targets` the columns of X.
    targets_ : int or (n_targets,)
        Places of the targets in `mixture_`; one number where y has one dimension or `targets` is no list.
    converged_, n_iter_, lower_bound_, lower_bounds_, collapsed_ : as for `GaussianMixture`
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

    targets: Features | None
    targets_: Any

    _attributes: ClassVar[Mapping[str, Reader]] = {
        **FOUND,
        "targets_": lambda value: array_of("i", 0)(value).item() if type(value) is int else array_of("i")(value),
    }
    _required: ClassVar[tuple[str, ...]] = ("targets_",)

    def __init__(
        self,
        n_components: Counts = 1,
        *,
        targets: Features | None = None,
        covariance_type: Structures = "full",
        n_factors: Counts | None = None,
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
        tags.target_tags.multi_output, tags.target_tags.required = True, self.targets is None
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the mixture of predictors and targets.

        Parameters
        ----------
        X : (n_samples, n_features), numbers in data units; an array or a data frame.
        y : (n_samples,) or (n_samples, n_targets), what to predict; None with `targets`.
        sample_weight : (n_samples,), frequency weights ≥ 0: a row of weight 2 counts as two rows.

        Returns
        -------
        self : the fitted estimator.

        Raises
        ------
        ValueError : a parameter or the data can't be used, or a target is a predictor too and `reg_covar` is 0.
        TypeError : a parameter or the data is of the wrong type.

        Warns
        -----
        ConvergenceWarning, RuntimeWarning : as for `GaussianMixture`.
        """
        with unchanged_on_failure(self):
            rows = check_rows(self, X, reset=True)
            joint, self.targets_, names = self._joined(rows, y)
            fitted = self._mixture_estimator(names)
            try:
                fitted.fit(joint, sample_weight=check_row_weight(sample_weight, len(rows)))
            except SingularCovariance as error:
                raise _explained(joint, self._places, error) from None
            self._publish(fitted_of(fitted), names)
            self._take(self.mixture_)
        return self

    def predict(self, X: ArrayLike, *, return_std: bool = False) -> Array | tuple[Array, Array]:
        """E[y | x], the best guess in least squares.

        Parameters
        ----------
        X : (n_samples, n_features), the predictors; with `targets` X may have the columns of the targets, which are not
            read.
        return_std : whether to return the standard deviation of y given x.

        Returns
        -------
        y : (n_samples,) or (n_samples, n_targets), as it was in `fit`, data units.
        std : the same shape, with `return_std`.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X is not numbers of shape (n_samples, n_features).
        """
        wants_std, rows, jobs = check_flag("return_std", return_std), self._predictors(X), check_jobs(self.n_jobs)
        mean = self._in_order(self.mixture_.conditional_mean(rows, self._known, n_jobs=jobs))
        if not wants_std:
            return mean
        variances = np.diagonal(self.mixture_.conditional_covariance(rows, self._known, n_jobs=jobs), axis1=1, axis2=2)
        return mean, self._in_order(np.sqrt(variances))

    def predict_quantiles(self, X: ArrayLike, quantiles: ArrayLike = (0.05, 0.5, 0.95)) -> Array:
        """Quantiles of each target given x.

        Parameters
        ----------
        quantiles : (n_quantiles,), the mass below, between 0 and 1.

        Returns
        -------
        y : (n_samples, n_quantiles) or (n_samples, n_targets, n_quantiles), data units. Errors as for `predict`.
        """
        shares = check_numbers("quantiles", quantiles)
        if shares.ndim != 1 or not ((shares > 0) & (shares < 1)).all():
            raise ValueError(f"quantiles={quantiles!r:.60} must be a list of numbers between 0 and 1.")
        return self._as_y(self.predict_mixture(X).quantiles(shares))

    def predict_mixture(self, X: ArrayLike) -> Predictive:
        """The whole distribution p(y | x) of each row: item i of the result is a `Mixture` of the targets.

        Parameters and errors as for `predict`.
        """
        rows, names = self._predictors(X), self.mixture_.feature_names
        of_targets = None if names is None else tuple(names[place] for place in self._places)
        weights = self.mixture_.conditional_weights(rows, self._known, n_jobs=check_jobs(self.n_jobs))
        return Predictive.of(split(self.mixture_, self._known), weights, rows, self._order, of_targets)

    def score(self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """R², the share of the variance of y that `predict` explains; y from X where `targets` names its columns."""
        if y is None and self.targets is not None:
            check_is_fitted(self)
            y = np.asarray(_safe_indexing(X, self._places, axis=1))
        return float(super().score(X, y, sample_weight))

    @property
    def _places(self) -> Places:
        return np.atleast_1d(self.targets_).astype(np.intp)

    @property
    def _order(self) -> Places:
        """The rank of each of `targets_` among the places of the targets in the mixture."""
        return np.argsort(np.argsort(self._places))

    @property
    def _known(self) -> Places:
        return np.delete(np.arange(self.mixture_.n_features), self._places)

    def _joined(self, rows: Rows, y: ArrayLike | None) -> tuple[Rows, Any, tuple[str, ...] | None]:
        """Predictors and targets together, the places of the targets, and the names of all columns."""
        names = tuple(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None
        if self.targets is None:
            values = check_target(y, len(rows))
            columns = values.reshape(len(rows), -1)
            names = None if names is None else (*names, *target_names(y, columns.shape[1]))
            found = np.arange(rows.shape[1], rows.shape[1] + columns.shape[1])
            return np.column_stack([rows, columns]), found if values.ndim == 2 else int(found[0]), names
        if y is not None:
            raise ValueError("Give y, or targets that name columns of X, not both.")
        found = check_targets(self.targets, rows.shape[1], names)
        return rows, found if np.ndim(self.targets) else int(found[0]), names

    def _flaw(self) -> str | None:
        places, n_features = self._places, self.mixture_.n_features
        inside = (places >= 0) & (places < n_features)
        if not inside.all() or not 0 < len(set(places.tolist())) == len(places) < n_features:
            return "its 'targets_' are not some of its features"
        return super()._flaw()

    def _take(self, mixture: Mixture) -> None:
        """Count and name the predictors alone."""
        super()._take(mixture)
        self.n_features_in_ = mixture.n_features - len(self._places)
        if mixture.feature_names is not None:
            self.feature_names_in_ = np.delete(self.feature_names_in_, self._places)

    def _predictors(self, X: ArrayLike) -> Rows:
        """The rows of the predictors; columns of targets are left out."""
        check_is_fitted(self)
        shape = np.shape(X) if self.targets is not None else ()
        if len(shape) == 2 and shape[1] == self.mixture_.n_features:
            X = _safe_indexing(X, np.delete(np.arange(shape[1]), self._places), axis=1)
        return self._rows(X)

    def _as_y(self, values: Array) -> Array:
        """Values (n_rows, n_targets, …) in the shape that y had."""
        return values[:, 0] if np.ndim(self.targets_) == 0 else values

    def _in_order(self, values: Array) -> Array:
        """Values of the targets, from the order of the mixture to that of `targets_`, in the shape that y had."""
        return self._as_y(values[:, self._order])


def _explained(rows: Rows, targets: Places, error: SingularCovariance) -> ValueError:
    """The error of a fit; if a target is a predictor too, an error that says so."""
    copies = copied_column(rows, targets)
    if copies is None:
        return error
    return ValueError(
        f"The target in column {copies[0]} equals column {copies[1]} of X, so that their covariance is singular: leave "
        "one out, or raise reg_covar."
    )


def regressor_of(mixture: Mixture, targets: Sequence[int], n_jobs: int | None = None) -> GaussianMixtureRegressor:
    """A fitted estimator of a mixture that predicts the features at some places from the others."""
    regressor = GaussianMixtureRegressor(mixture.n_components, targets=list(targets), n_jobs=n_jobs)
    regressor.targets_ = np.array(targets)
    regressor._take(mixture)
    return regressor
