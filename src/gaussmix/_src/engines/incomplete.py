"""Engine for rows with missing values or measurement errors. An E-step of this engine sums expected moments.

Given the current parameters, the observed values of a row determine the conditional distribution of its missing values.
An E-step sums expected values and expected squares under this conditional distribution. Therefore, covariance
structures and the EM loop need no special code for incomplete rows. See Ghahramani & Jordan (1994), NIPS 6, for missing
values, and Bovy, Hogg & Roweis (2011), Annals of Applied Statistics 5, for measurement errors. A missing value is
treated like a value with an infinite measurement error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines import joint
from gaussmix._src.engines.calls import FitSettings, GroupFits, InitialMixtures, PackedPrior, RowGroups
from gaussmix._src.engines.complete.engine import CompleteEngine, OrderedContext
from gaussmix._src.engines.joint import joint_labels, joint_log_density, joint_responsibilities, one_hot
from gaussmix._src.interfaces.algebra import Algebra
from gaussmix._src.interfaces.block import Block, BlockState, RowStatistics
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec, Second
from gaussmix._src.interfaces.moments import BlockMoments, Moments
from gaussmix._src.interfaces.parameters import LOG_2PI, Parameters
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.interfaces.whitening.base import FactorShape, Whitening
from gaussmix._src.numerics.arrays import Array, Rows, pieces
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.factorise import factorise


@dataclass(frozen=True)
class IncompleteEngine(CompleteEngine):
    """Engine that computes sums and densities of rows with missing values (NaN) or measurement errors."""

    is_incomplete: ClassVar[bool] = True

    def prepare(self, statistics: RowStatistics, spec: MomentSpec, find_spread: Callable[[], Spread]) -> OrderedContext:
        return OrderedContext(statistics.n_rows)

    def step(
        self,
        block: Block,
        state: BlockState,
        parameters: Parameters | None,
        spec: MomentSpec,
        rule: AssignmentRule = AssignmentRule.SOFT,
        anchor: Array | None = None,
        context: object = None,
    ) -> BlockMoments:
        if anchor is None:
            anchor = np.zeros((state.n_components, block.rows.shape[1])) if parameters is None else parameters.means
        if parameters is None or rule is not AssignmentRule.SOFT:
            wanted = spec if spec.second is Second.NONE else _spec_to_sum(spec)
            return block.sum_of(lambda leaf: self._sum_partition(leaf, parameters, state.n_components, wanted, anchor))
        n_threads, block = self._n_threads, _with_marginal_noise(block, parameters)
        if np.array_equal(anchor, parameters.means):
            return _core_moments(n_threads, block, parameters, _spec_to_sum(spec))
        return block.sum_of(lambda leaf: _core_moments(n_threads, leaf, parameters, _spec_to_sum(spec)).about(anchor))

    def _sum_partition(
        self, leaf: Block, parameters: Parameters | None, n_components: int, spec: MomentSpec, anchor: Array
    ) -> BlockMoments:
        """Sum moments of observed values only, for `AssignmentRule.HARD` or if there are no parameters yet."""
        if parameters is None:
            assert leaf.assignment is not None
            return _sum_observed_cells(leaf, one_hot(leaf.assignment, n_components), spec, anchor)
        log_joint = joint.add_noise_column(self.component_log_density(leaf, parameters), leaf, parameters)
        weight = leaf.weight
        best = log_joint.argmax(axis=1)
        sums = _sum_observed_cells(leaf, one_hot(best, n_components), spec, anchor)
        noise, log_likelihood = float(weight[best == n_components].sum()), float((weight * log_joint.max(axis=1)).sum())
        return replace(sums, noise_mass=noise, log_likelihood=log_likelihood)

    def finish(
        self, sums: BlockMoments, parameters: Parameters | None, spec: MomentSpec, context: Any = None
    ) -> Moments:
        complete = sums if sums.observed is None else _complete_sums(sums)
        second = None if complete.second is None or spec.second is Second.NONE else spec.reduce(complete.second)
        return Moments.from_sums(replace(complete, second=second, spec=spec))

    def supports_core_steps(
        self, block: Block, n_components: int, structure: Algebra, prior: PackedPrior | None, has_noise: bool
    ) -> bool:
        # For incomplete rows, the core has E-steps neither with a noise component nor for variational Bayes.
        has_e_step = not has_noise and (prior is None or prior.is_map)
        return has_e_step and super().supports_core_steps(block, n_components, structure, prior, False)

    def fit_many(self, groups: RowGroups, settings: FitSettings) -> GroupFits | None:
        return super().fit_many(groups, settings) if isinstance(settings.start, InitialMixtures) else None

    def log_density(self, block: Block, parameters: Parameters) -> Array:
        result = self._evaluate_rows(block, parameters, super().log_density, joint_log_density)
        empty = block.are_empty
        # A row without observed values has log p(x) = 0. The computed value may differ from 0 by rounding errors of the
        # weights, so it is set to 0.
        if block.log_prior is None and empty.any():
            result[empty] = 0.0
        return result

    def component_log_density(self, block: Block, parameters: Parameters) -> Array:
        return self._evaluate_rows(block, parameters, super().component_log_density, lambda log_joint, *_: log_joint)

    def responsibilities(self, block: Block, parameters: Parameters) -> Array:
        return self._evaluate_rows(block, parameters, super().responsibilities, joint_responsibilities)

    def labels(self, block: Block, parameters: Parameters) -> NDArray[np.int64]:
        return self._evaluate_rows(block, parameters, super().labels, joint_labels)

    def _evaluate_rows(
        self,
        block: Block,
        parameters: Parameters,
        evaluate_complete: Callable[[Block, Parameters], NDArray[Any]],
        from_log_joint: Callable[[Array, Block, Parameters], NDArray[Any]],
    ) -> NDArray[Any]:
        """Apply `evaluate_complete` to complete rows, and `from_log_joint` to log p(x, k) of incomplete rows."""
        is_complete = np.zeros(block.n_rows, bool) if block.error is not None else ~np.isnan(block.rows).any(axis=1)
        if is_complete.all() and block.error is None:
            return evaluate_complete(block, parameters)
        if not is_complete.any():
            return from_log_joint(self._log_joint(block, parameters), block, parameters)
        complete, others = np.flatnonzero(is_complete), np.flatnonzero(~is_complete)
        observed = evaluate_complete(block.take(complete, block.first_row), parameters)
        part = block.take(others, block.first_row)
        result = np.empty((block.n_rows, *observed.shape[1:]), observed.dtype)
        result[complete], result[others] = observed, from_log_joint(self._log_joint(part, parameters), part, parameters)
        return result

    def _log_joint(self, block: Block, parameters: Parameters) -> Array:
        """Return log p(x, k) of incomplete rows, (n_rows, n_components)."""
        return native_target().evaluate_incomplete(*_core_arguments(block, parameters), self._n_threads)

    def expected_rows(self, block: Block, parameters: Parameters) -> tuple[Array, Array]:
        """Return the mean and covariance of the true values of each row, given its observed and measured values.

        The arrays have the shapes (n_rows, n_features) and (n_rows, n_features, n_features).
        """
        return native_target().denoise(*_core_arguments(block, parameters), self._n_threads)

    def filled_rows(self, rows: Rows, parameters: Parameters) -> Array:
        """Return rows whose missing values are replaced by their means given the observed values of the row."""
        result = np.empty(rows.shape)
        for part in pieces((*rows.shape, rows.shape[1])):  # `expected_rows` also returns covariances
            result[part] = self.expected_rows(Block(0, rows[part]), parameters)[0]
        return result


def _core_arguments(
    block: Block, parameters: Parameters
) -> tuple[Rows, Array | None, NDArray[np.int32] | None, Array | None, Array, Array, Array]:
    """Return rows and parameters in the form of the arguments that the C++ core expects."""
    whitening, (n_components, n_features) = parameters.whitening, parameters.means.shape
    log_weight = parameters.log_scale - whitening.log_abs_det + 0.5 * n_features * LOG_2PI
    observed = block.rows, block.log_prior, block.prior_indices, block.error
    return *observed, log_weight, parameters.means, _triangular_factors(whitening, n_components, n_features)


def _triangular_factors(whitening: Whitening, n_components: int, n_features: int) -> Array:
    """Return whitening factors of any kind as triangular matrices, (n_components, n_features, n_features)."""
    if whitening.factor_shape is FactorShape.LOW_RANK:
        roots = np.array([whitening.colour(k, np.eye(n_features)) for k in range(len(whitening.factors))])
        # `einsum` is used instead of BLAS, because the last bits of BLAS results depend on the processor.
        factors, *_ = factorise(einsum("kji,kjl->kil", roots, roots))
    elif whitening.factor_shape is FactorShape.TRIANGULAR:
        factors = whitening.factors
    else:
        factors = whitening.factors.reshape(len(whitening.factors), 1, -1) * np.eye(n_features)
    return np.ascontiguousarray(np.broadcast_to(factors, (n_components, n_features, n_features)))


def _with_marginal_noise(block: Block, parameters: Parameters) -> Block:
    """If values are missing, correct `log_prior` so that noise gets the density of only the observed values."""
    if parameters.log_noise_density == -np.inf or not np.isnan(block.rows).any():
        return block
    n_columns = len(parameters.means) + 1
    prior = block.row_log_prior(n_columns)
    prior = np.zeros((block.n_rows, n_columns)) if prior is None else np.array(prior)
    prior[:, -1] += joint.row_log_noise_density(block, parameters) - parameters.log_noise_density
    return replace(block, log_prior=prior, prior_indices=None)


def _core_moments(n_threads: int, block: Block, parameters: Parameters, spec: MomentSpec) -> BlockMoments:
    """Sum the expected moments of a block, about the component means, in the C++ core."""
    observed = _core_arguments(block, parameters)
    log_likelihood, mass, noise_mass, first, second = native_target().step_incomplete(
        observed[0], block.row_weight, *observed[1:], parameters.log_noise_density, spec.second, n_threads
    )
    total = block.total_weight
    return BlockMoments(mass, first, second, parameters.means, log_likelihood, total, spec, noise_mass=noise_mass)


def _spec_to_sum(spec: MomentSpec) -> MomentSpec:
    """Return the specification of the moments that `step` sums, and that `finish` reduces to the moments of `spec`."""
    return MomentSpec(Second.FULL if spec.second in (Second.FULL, Second.PROJECTED) else Second.DIAGONAL)


def _sum_observed_cells(leaf: Block, responsibilities: Array, spec: MomentSpec, anchor: Array) -> BlockMoments:
    """Sum moments of observed values about `anchor`, and responsibilities of rows that have a value of each feature."""
    weight = leaf.weight
    mass, first, observed, second = np.zeros(len(anchor)), np.zeros(anchor.shape), np.zeros(anchor.shape), []
    # NumPy's `sum` is used, because the last bits of BLAS and of `np.einsum` results depend on the processor.
    for k, mean in enumerate(anchor):
        indices = np.flatnonzero(responsibilities[:, k])
        rows, fraction = np.ascontiguousarray(leaf.rows[indices]), weight[indices] * responsibilities[indices, k]
        is_seen = ~np.isnan(rows)
        offsets = np.where(is_seen, rows - mean, 0.0)
        mass[k], weighted = fraction.sum(), fraction[:, None] * offsets
        first[k], observed[k] = weighted.sum(axis=0), np.where(is_seen, fraction[:, None], 0.0).sum(axis=0)
        if spec.second is Second.NONE:
            continue
        if spec.second is Second.DIAGONAL:
            second.append((weighted * offsets).sum(axis=0))
        else:
            second.append(np.array([(each[:, None] * offsets).sum(axis=0) for each in weighted.T]))
    squares = np.array(second) if second else None
    return BlockMoments(mass, first, squares, anchor, 0.0, leaf.total_weight, spec, observed=observed)


def _complete_sums(sums: BlockMoments) -> BlockMoments:
    """Add terms for missing values, as if they were uncorrelated and varied like the component's observed values.

    If a component has no observed value of a feature, the mean and spread of this feature over all components are used.
    """
    observed = sums.observed
    assert observed is not None, "`_sum_observed_cells` makes these moments"
    is_observed, divisor = observed > 0, np.where(observed > 0, observed, 1.0)
    total = np.maximum(observed.sum(axis=0), np.finfo(np.float64).tiny)
    centre = (observed * sums.anchor + sums.first).sum(axis=0) / total  # mean of each feature over all components
    offset = np.where(is_observed, sums.first / divisor, centre - sums.anchor)  # component means minus anchors
    completed = replace(sums, first=sums.mass[:, None] * offset, observed=None)
    if sums.second is None:
        return completed
    second = np.array(sums.second)
    squares = second if second.ndim == 2 else np.einsum("kii->ki", second)  # a view of the diagonals
    # Σ γ (x − c)² = Σ γ (x − a)² + 2 (a − c) Σ γ (x − a) + (a − c)² Σ γ, for the anchor a and the centre c
    about_centre = squares + 2 * sums.first * (sums.anchor - centre) + observed * (sums.anchor - centre) ** 2
    mean_square = np.where(is_observed, squares / divisor, about_centre.sum(axis=0) / total + offset**2)
    squares += (sums.mass[:, None] - observed) * mean_square
    return replace(completed, second=second)
