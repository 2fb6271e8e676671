"""Predictive distributions of many rows: one mixture per row, all with the same covariances, in three arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import index

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from gaussmix._src.checks import check_finite, check_probabilities
from gaussmix._src.covariances import Covariances
from gaussmix._src.engines import complete_engine
from gaussmix._src.errors import counted
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.parameters import LOG_2PI
from gaussmix._src.mixture.features import check_order, names_at
from gaussmix._src.mixture.missing_values import Filling
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.parts.expectations import MAX_VALUES_AT_ONCE
from gaussmix._src.mixture.univariate.univariate_mixture import increasing_roots, widened
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices, Rows, frozen
from gaussmix._src.numerics.elementary import exponential
from gaussmix._src.numerics.rows import patterns
from gaussmix._src.numerics.threads import cached_property


@dataclass(frozen=True, eq=False)
class PredictiveDistribution:
    """Predictive distributions p(y | x) = Σ_k γ_k(x) N(y | m_k(x), C_k) for many rows x, as one `Mixture` per row.

    `predictive[i]` is the predictive distribution of row i.

    Parameters
    ----------
    log_weights : logarithms of the weights γ_k(x) of the components for each row, (n_rows, n_components), in nats.
    means : means m_k(x) of the components for each row, (n_rows, n_components, n_targets), in data units.
    covariances : covariances C_k of the components, in data units²; they are the same for all rows and have the shape
        that `family.shape` returns.
    family : covariance structure.
    names : names of the targets; None if the targets have no names.
    """

    log_weights: Array
    means: Array
    covariances: Array
    family: Family
    names: tuple[str, ...] | None = None

    @classmethod
    def _concatenate(cls, parts: Sequence[PredictiveDistribution]) -> PredictiveDistribution:
        """Join the predictive distributions of consecutive blocks of rows."""
        arrays = zip(*((part.log_weights, part.means) for part in parts), strict=True)
        log_weights, means = (np.concatenate(each) for each in arrays)
        return replace(parts[0], log_weights=log_weights, means=means)

    @cached_property
    def weights(self) -> Array:
        """Return the weights γ_k(x) of the components for each row, (n_rows, n_components)."""
        return frozen(exponential(self.log_weights))

    @cached_property
    def _each(self) -> Covariances:
        return self.family.covariances(self.covariances, *self.means.shape[1:])

    def __len__(self) -> int:
        return len(self.means)

    def __getitem__(self, row: int) -> Mixture:
        row = index(row)
        return Mixture(self.weights[row], self.means[row], self.covariances, self.family, self.names)

    def log_density(self, y: ArrayLike) -> Array:
        """Return the log density log p(y | x) of each row, which is the logarithmic score, (n_rows,), in nats.

        Parameters
        ----------
        y : values of the targets, (n_rows, n_targets), or (n_rows,) if there is one target, in data units.

        Raises
        ------
        ValueError : y has a shape that is not listed above, or contains NaN or infinity.
        """
        n_rows, n_components, n_targets = self.means.shape
        values = check_finite("y", y)
        if values.shape not in ((n_rows, n_targets), (n_rows,) * (n_targets == 1)):
            raise ValueError(
                f"y has shape {values.shape}, but there are {n_rows} rows with {counted(n_targets, 'target')}."
            )
        if n_targets > 1:  # the labels of a Series are not names of targets
            check_order(y, self.names, "y")
        values = values.reshape(n_rows, n_targets)
        log_joint, engine, origin = self.log_weights.copy(), complete_engine(), np.zeros((1, n_targets))
        for component in range(n_components):
            one = Model(np.ones(1), origin, self._each.take([component]), self.family)
            offsets = Block(0, values - self.means[:, component])
            with np.errstate(over="ignore"):  # a sum beyond the range of float64 is −inf
                log_joint[:, component] += engine.log_density(offsets, one.parameters)
        return np.asarray(np.logaddexp.reduce(log_joint, axis=1))

    def quantiles(self, p: ArrayLike) -> Array:
        """Return quantiles of each target's marginal distribution, (n_rows, n_targets, n_quantiles), in data units.

        Parameters
        ----------
        p : probabilities, (n_quantiles,). The quantile of 0 is −inf, and the quantile of 1 is inf.

        Raises
        ------
        ValueError : `p` is not a list, or a probability is not between 0 and 1.
        TypeError : `p` does not contain real numbers.
        """
        levels = check_levels("p", p)
        n_rows, n_components, n_targets = self.means.shape
        deviations = np.sqrt(self._each.variances())
        result = np.empty((n_rows, n_targets, len(levels)))
        n_at_once = max(1, MAX_VALUES_AT_ONCE // n_components)
        for first in range(0, n_rows, n_at_once):
            part = slice(first, first + n_at_once)
            for target in range(n_targets):
                line = self.weights[part], self.means[part, :, target], deviations[:, target]
                for j, level in enumerate(levels.tolist()):
                    result[part, target, j] = row_quantiles(*line, level)
        return result


@dataclass(frozen=True, eq=False)
class Regression:
    """A prediction task: features at the indices `targets` are predicted from the other features of a block's rows."""

    mixture: Mixture
    targets: Indices
    n_jobs: int | None

    @property
    def _inputs(self) -> Indices:
        return np.delete(np.arange(self.mixture.n_features), self.targets)

    @property
    def _order(self) -> Indices:
        """Return the position that each target has after sorting the targets by their indices."""
        return np.argsort(np.argsort(self.targets))

    def mean(self, block: Block) -> Array:
        """Return the conditional means E[y | x] of the targets, (n_rows, n_targets)."""
        rows, inputs = self._predictors(block), self._inputs
        if not np.isnan(rows).any():
            return self.mixture.conditional_mean(rows, inputs, n_jobs=self.n_jobs)[:, self._order]
        whole = np.full((len(rows), self.mixture.n_features), np.nan)
        whole[:, inputs] = rows
        filled = Filling(self.mixture, self.n_jobs, seed=None)(replace(block, rows=whole))
        return np.asarray(filled[:, self.targets], np.float64)

    def deviation(self, block: Block) -> Array:
        """Return the standard deviations of the targets y given x, (n_rows, n_targets)."""
        return self._by_pattern(block, Regression._deviation, lambda targets: np.sqrt(np.diagonal(targets.covariance)))

    def _deviation(self, rows: Rows) -> Array:
        covariances = self.mixture.conditional_covariance(rows, self._inputs, n_jobs=self.n_jobs)
        return np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))[:, self._order]

    def predictive(self, block: Block) -> PredictiveDistribution:
        """Return the predictive distributions p(y | x) of the rows."""
        return PredictiveDistribution._concatenate([self._predictive(self._predictors(leaf)) for leaf in block.split()])

    def _predictive(self, rows: Rows) -> PredictiveDistribution:
        if np.isnan(rows).any():
            raise ValueError(
                "predict_mixture needs complete rows, because all rows share the conditional covariances. Drop rows "
                "with NaN, fill them with GaussianMixtureImputer, or use predict or predict_quantiles."
            )
        names = names_at(self.mixture.feature_names, self.targets)
        split = self.mixture._split(self._inputs)
        log_weights = split.log_responsibilities(rows, self.mixture._engine(self.n_jobs))
        means = split.each_mean(rows.astype(np.float64, copy=False))[:, :, self._order]
        covariances = split.covariances.marginal(self._order)
        family = split.family.relaxed(covariances)
        return PredictiveDistribution(log_weights, means, covariances.array, family, names)

    def quantiles(self, block: Block, levels: Array) -> Array:
        """Return quantiles of each target y given x, (n_rows, n_targets, n_quantiles)."""

        def from_targets(targets: Mixture) -> Array:
            return np.stack([targets.marginal([j]).quantile(levels) for j in range(targets.n_features)])

        return self._by_pattern(block, lambda task, rows: task._predictive(rows).quantiles(levels), from_targets)

    def _by_pattern(
        self, block: Block, method: Callable[[Regression, Rows], Array], from_targets: Callable[[Mixture], Array]
    ) -> Array:
        """Call `method` for each group of rows with the same missing features, using the marginal mixture of
        the observed features.

        The result has shape (n_rows, …). If all predictors of a row are missing, `from_targets` computes the result
        from the marginal mixture of the targets.
        """
        rows = self._predictors(block)
        missing = np.isnan(rows)
        if not missing.any():
            return method(self, rows)
        groups, parts = [*patterns(missing)], []
        for indices, seen in groups:
            marginal = self.mixture.marginal([*self._inputs[seen], *self.targets])
            targets = np.arange(len(seen), marginal.n_features)
            if seen.size:
                task = replace(self, mixture=marginal, targets=targets)
                parts.append(method(task, np.ascontiguousarray(rows[np.ix_(indices, seen)])))
            else:
                same = from_targets(marginal)
                parts.append(np.broadcast_to(same, (len(indices), *same.shape)))
        order = np.argsort(np.concatenate([indices for indices, _ in groups]), kind="stable")
        return np.asarray(np.concatenate(parts)[order])

    def _predictors(self, block: Block) -> Rows:
        """Return the predictors as a C-contiguous array, so that results do not depend on the rows' memory layout."""
        is_wide = block.rows.shape[1] == self.mixture.n_features
        return np.ascontiguousarray(block.rows[:, self._inputs] if is_wide else block.rows)


def check_levels(name: str, p: ArrayLike) -> Array:
    """Check probabilities of quantiles and return them, (n_quantiles,); raises TypeError or ValueError."""
    levels = check_probabilities(name, p)
    if levels.ndim != 1:
        raise ValueError(f"{name} must be a list of probabilities, not {p!r:.60}.")
    return levels


def row_quantiles(weights: Array, means: Array, deviations: Array, p: float) -> Array:
    """Return the p-quantile of one univariate mixture per row, (n_rows,), by root finding for all rows at once.

    Weights and means have shape (n_rows, n_components), deviations have shape (n_components,), and 0 ≤ p ≤ 1.
    """
    if p > 0.5:  # the small mass above x has a smaller rounding error than the mass below x
        return -row_quantiles(weights, -means, deviations, 1 - p)
    if p == 0:
        return np.full(len(means), -np.inf)
    height = np.exp(-0.5 * LOG_2PI) / deviations

    def excess(at: Array, rows: Indices) -> tuple[Array, Array]:
        """Return the log of (mass below `at`) / p, and the derivative of this log."""
        whitened, levels = (at[:, None] - means[rows]) / deviations, weights[rows]
        mass = np.einsum("nk,nk->n", levels, ndtr(whitened))
        density = np.einsum("nk,nk,k->n", levels, np.exp(-0.5 * whitened**2), height)
        return np.log(mass / p), density / mass

    # The quantile lies between the quantiles of the single components. The mass below x lies between the maximum max_k
    # π_k Φ_k(x) and K times this maximum.
    with np.errstate(divide="ignore", over="ignore"):
        part = p / weights  # p / π_k; the upper bound from a component is infinite if its p / π_k is 1 or more
    alone = means + deviations * ndtri(p)
    low = (means + deviations * ndtri(np.minimum(part / weights.shape[1], 1.0))).min(axis=1)
    low = np.maximum(low, np.where(weights > 0, alone, np.inf).min(axis=1))
    high = (means + deviations * ndtri(np.minimum(part, 1.0))).min(axis=1)
    high = np.minimum(high, np.where(weights > 0, alone, -np.inf).max(axis=1))
    length = float(deviations.max())
    return increasing_roots(excess, *widened(low, high, length), length)


PredictiveDistribution.__module__ = "gaussmix"  # the public module that exports PredictiveDistribution
