"""What an estimator that is a mixture can do: label, score and draw rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import DensityMixin

from gaussmix.engines import check_jobs
from gaussmix.engines.base import Engine
from gaussmix.errors import unknown_name
from gaussmix.estimators.attributes import MixtureAttributes, narrowed
from gaussmix.estimators.base import Estimator
from gaussmix.estimators.validation import check_counts_of_rows
from gaussmix.mixture.compare.merging import Merging, merge_by_entropy
from gaussmix.numerics.arrays import Array
from gaussmix.sources.base import Number, Source
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import Tree
from gaussmix.waist.parameters import Parameters


class MixtureEstimator(MixtureAttributes, DensityMixin, Estimator, ABC):
    """An estimator that is its mixture: it labels, scores and draws rows."""

    @abstractmethod
    def _fit(self, X: ArrayLike | Source, sample_weight: ArrayLike | None) -> None:
        """Set the fitted attributes, and warn."""

    def fit_predict(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> NDArray[np.int64]:
        """Fit and label the rows, (n_samples,): `fit(X).predict(X)`; parameters and errors as for `fit`."""
        labels: NDArray[np.int64] = self.fit(X, sample_weight=sample_weight).predict(X)
        return labels

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """The most probable component of each row, (n_samples,); the first of equals.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError, TypeError : X is not numbers of shape (n_samples, n_features).
        """
        labels: NDArray[np.int64] = self._per_row(self._source(X), self._engine().labels, np.int64)
        return labels

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Responsibilities p(k | x), Bishop (2006) eq. 9.13: (n_samples, n_components), rows sum to 1.

        Raises as `predict`.
        """
        source = self._source(X)
        method = partial(_responsibilities, engine=self._engine())
        shared: NDArray[np.floating[Any]] = self._per_row(source, method, source.dtype, (self.mixture_.n_components,))
        return shared

    def score_samples(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """log p(x) of each row, (n_samples,), nats. Raises as `predict`."""
        source = self._source(X)
        found = self._per_row(source, self._engine().log_density, np.float64)
        return narrowed(found, source.dtype) if isinstance(found, np.ndarray) else found

    def score(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> float:
        """Mean of log p(x) per unit of weight, nats. Raises as `predict`."""
        source = self._source(X, sample_weight)
        return self._log_likelihood(source) / source.profile.total_weight

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
        source = self._source(X, sample_weight)
        if method != "entropy":
            raise unknown_name("method", method, ["entropy"])
        shares = self._each_row(source, self._engine().responsibilities)
        return merge_by_entropy(self.mixture_, shares, source.row_weight)

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
        self._check_fitted()
        if isinstance(n_samples, bool) or not isinstance(n_samples, Integral):
            raise TypeError(f"Invalid value for 'n_samples': {n_samples!r} is not an integer.")
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples}. Draw at least one row.")
        return self.mixture_.sample(int(n_samples), self._rng(), n_jobs=check_jobs(self.n_jobs))

    def _each_row(self, source: Source, method: Callable[..., NDArray[Number]]) -> NDArray[Number]:
        """What a method of an engine says of each row, (n_rows, …)."""
        return source.each_row(partial(method, parameters=self.mixture_.parameters))

    def _per_row(self, source: Source, method: Callable[..., Any], dtype: Any, shape: tuple[int, ...] = ()) -> Any:
        """The same in the kind of array that the rows came in."""
        return source.per_row(partial(method, parameters=self.mixture_.parameters), dtype, shape)

    def _log_likelihood(self, source: Source) -> float:
        """Σ s log p(x), nats."""
        return source.map_merge(_LogLikelihood(self._engine(), self.mixture_.parameters))

    def _deviance(self, X: ArrayLike, sample_weight: ArrayLike | None) -> tuple[float, float]:
        """−2 log L and the total weight."""
        source = check_counts_of_rows(self._source(X, sample_weight))
        return -2.0 * self._log_likelihood(source), source.profile.total_weight


@dataclass(frozen=True)
class _LogLikelihood:
    """The task that sums s log p(x), with the same bits however rows are cut."""

    engine: Engine[Any]
    parameters: Parameters
    key: str = "log-likelihood"

    def open(self, block: Block) -> None:
        """Nothing is kept."""

    def call(self, block: Block, state: None) -> float:
        tree = Tree[float]()
        for leaf in block.cut():
            log_density, weight = self.engine.log_density(leaf, self.parameters), leaf.row_weight
            tree.add(float((log_density if weight is None else weight * log_density).sum()))
        return tree.total


def _responsibilities(block: Block, parameters: Parameters, engine: Engine[Any]) -> NDArray[np.floating[Any]]:
    """In the type of the rows."""
    return engine.responsibilities(block, parameters).astype(block.rows.dtype, copy=False)
