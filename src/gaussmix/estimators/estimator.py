"""What every estimator that ends with a mixture can do: label, score and draw rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import check_is_fitted

from gaussmix.em.restarts import Run
from gaussmix.em.trace import Frozen
from gaussmix.engines import check_jobs, choose
from gaussmix.engines.base import Engine
from gaussmix.errors import Outcome, unknown_name
from gaussmix.estimators.attributes import MixtureAttributes, narrowed
from gaussmix.estimators.parameters import check_seed
from gaussmix.estimators.saved import Saved, unchanged_on_failure
from gaussmix.estimators.validation import check_counts_of_rows, check_row_weight, check_rows
from gaussmix.mixture.compare.merging import Merging, merge_by_entropy
from gaussmix.mixture.mixture import Mixture
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.waist.block import Block

# What a fit of a mixture sets.
FITTED = ("mixture_", "converged_", "n_iter_", "lower_bound_", "lower_bounds_", "collapsed_", "_dtype")


class MixtureEstimator(MixtureAttributes, Saved, DensityMixin, BaseEstimator, ABC):
    """An estimator whose fit leaves a mixture; it has the parameters `random_state` and `n_jobs`."""

    random_state: int | np.random.RandomState | None
    n_jobs: int | None

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """The most probable component of each row, (n_samples,); the first of equals.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X is not numbers of shape (n_samples, n_features).
        """
        rows = self._rows(X)
        return self._engine().labels(Block(0, rows), self.mixture_.parameters)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Responsibilities p(k | x), Bishop (2006) eq. 9.13: (n_samples, n_components), rows sum to 1.

        Raises as `predict`.
        """
        rows = self._rows(X)
        shared = self._engine().responsibilities(Block(0, rows), self.mixture_.parameters)
        return shared.astype(rows.dtype, copy=False)

    def score_samples(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """log p(x) of each row, (n_samples,), nats. Raises as `predict`."""
        rows = self._rows(X)
        return narrowed(self._log_density(rows), rows.dtype)

    def score(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> float:
        """Mean of log p(x) per unit of weight, nats. Raises as `predict`."""
        rows = self._rows(X)
        log_density, weight = self._log_density(rows), check_row_weight(sample_weight, len(rows), 1)
        return float(log_density.mean() if weight is None else weight @ log_density / weight.sum())

    def bic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Bayesian information criterion −2 log L + p log Σw; lower is better; Schwarz (1978). Raises as `predict`.

        `sample_weight` are frequencies. Weights that sum to less than two rows are scaled to sum to the number of rows,
        with a RuntimeWarning.
        """
        deviance, total = self._deviance(X, sample_weight)
        return deviance + self.mixture_.n_parameters * float(np.log(total))

    def aic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Akaike information criterion −2 log L + 2 p; lower is better; Akaike (1974). Weights as for `bic`."""
        return self._deviance(X, sample_weight)[0] + 2 * self.mixture_.n_parameters

    def merge(self, X: ArrayLike, sample_weight: ArrayLike | None = None, *, method: str = "entropy") -> Merging:
        """Merge components into clusters, two at a time, and find where to stop.

        Parameters
        ----------
        X : (n_samples, n_features), the rows that say which components overlap.
        sample_weight : (n_samples,), frequency weights ≥ 0.
        method : "entropy" merges those whose union lowers the entropy of the responsibilities most; Baudry et al.
            (2010), mclust's `clustCombi`.

        Returns
        -------
        merging : for each number of clusters the cluster of each component, the entropy and, for any rows, the
            clusters' responsibilities; `merging.n_clusters` is the elbow of the entropy.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X or a parameter can't be used.
        """
        rows = self._rows(X)
        if method != "entropy":
            raise unknown_name("method", method, ["entropy"])
        weight = check_row_weight(sample_weight, len(rows), 1)
        return merge_by_entropy(
            self.mixture_, self._engine().responsibilities(Block(0, rows), self.mixture_.parameters), weight
        )

    def sample(self, n_samples: int = 1) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows from the mixture, in random order.

        Parameters
        ----------
        n_samples : how many, at least 1.

        Returns
        -------
        X : (n_samples, n_features), data units.
        y : (n_samples,), the component each row was drawn from.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : n_samples is not an integer of at least 1.
        """
        check_is_fitted(self)
        if isinstance(n_samples, bool) or not isinstance(n_samples, Integral):
            raise TypeError(f"Invalid value for 'n_samples': {n_samples!r} is not an integer.")
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples}. Draw at least one row.")
        return self.mixture_.sample(int(n_samples), self._rng(), n_jobs=check_jobs(self.n_jobs))

    def _refit(self, X: ArrayLike, sample_weight: ArrayLike | None) -> Self:
        """Fit, or leave the estimator as it was; called by what the user calls, whose line warnings are to name."""
        with unchanged_on_failure(self):
            self._fit(X, sample_weight)
        return self

    @abstractmethod
    def _fit(self, X: ArrayLike, sample_weight: ArrayLike | None) -> None:
        """Set the fitted attributes, and warn."""

    def _publish(self, run: Run, dtype: np.dtype[Any]) -> None:
        """Set the fitted attributes."""
        model, trace = run
        self.mixture_ = Mixture.of(model).with_feature_names(getattr(self, "feature_names_in_", None))
        self.converged_ = trace.outcome is Outcome.CONVERGED
        self.n_iter_ = trace.n_steps
        self.lower_bound_ = trace.last
        self.lower_bounds_ = list(trace.log_likelihood)
        self.collapsed_ = sorted(k for k, why in trace.frozen.items() if why is Frozen.COLLAPSED)
        self._dtype = dtype

    def _rows(self, X: ArrayLike) -> Rows:
        check_is_fitted(self)
        return check_rows(self, X, reset=False)

    def _log_density(self, rows: Rows) -> Array:
        return self._engine().log_density(Block(0, rows), self.mixture_.parameters)

    def _deviance(self, X: ArrayLike, sample_weight: ArrayLike | None) -> tuple[float, float]:
        """−2 log L and the total weight."""
        rows = self._rows(X)
        weight = check_counts_of_rows(check_row_weight(sample_weight, len(rows), 1))
        log_density = self._log_density(rows)
        if weight is None:
            return -2.0 * float(log_density.sum()), float(len(rows))
        return -2.0 * float(weight @ log_density), float(weight.sum())

    def _engine(self) -> Engine[Any]:
        return choose(check_jobs(self.n_jobs))

    def _rng(self) -> np.random.Generator:
        """A generator seeded by `random_state`."""
        return check_seed(self.random_state)
