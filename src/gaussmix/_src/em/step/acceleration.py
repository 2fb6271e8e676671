"""Acceleration of slow EM runs by a quasi-Newton method, whose proposed models must not lower the objective.

An EM step is a gradient step of the log-likelihood in the metric of the complete-data information matrix, which is the
information matrix that would result if the component of each row were known. In the metric of the complete-data
information matrix, the Jacobian of an EM step at a maximum is symmetric and has eigenvalues from 0 to 1. EM is slow
along eigenvectors of the Jacobian with eigenvalues near 1. L-BFGS estimates the slow directions from the last EM steps;
see Jamshidian & Jennrich (1997), JRSS B 59, and Nocedal (1980), Mathematics of Computation 35.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gaussmix._src.em.objective.trace import EMState, Trace
from gaussmix._src.em.step.core_steps import CoreSteps, step_multiply_adds
from gaussmix._src.em.step.maximise import find_collapsed
from gaussmix._src.errors import StopReason
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.moments import Scatter
from gaussmix._src.interfaces.parameters import MIN_COMPONENT_WEIGHT
from gaussmix._src.model import Model
from gaussmix._src.noise_component import NoiseComponent
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.einsum import einsum
from gaussmix._src.numerics.elementary import exponential, log

# A run is first checked for slow convergence after `MIN_STEPS` steps, and then every `STEPS_BETWEEN_CHECKS` steps.
MIN_STEPS, STEPS_BETWEEN_CHECKS = 20, 10
MIN_REMAINING_STEPS = 40  # a run is accelerated if it probably needs more than this number of further steps
PROPOSAL_MULTIPLY_ADDS = 4 * 10**6  # number of multiply-adds of an EM step that takes as long as a proposal
MAX_LBFGS_PAIRS = 8  # maximum number of last steps from which L-BFGS makes a proposal
MAX_PATH_VALUES = 2**23  # maximum number of values stored for the last steps (64 MB)
MIN_CURVATURE_COSINE = 1e-10  # L-BFGS ignores steps whose cosine with the gradient change is below this
MAX_LOW_GAIN_STEPS = 5  # maximum number of consecutive steps with gains below the tolerance if proposals promise more
# The first proposal is at most `MAX_FIRST_LENGTH` times as long as an EM step. A later proposal is at most
# `SHRINK_FACTOR` times as long as the previous proposal if that proposal was rejected, and may be `GROWTH_FACTOR` times
# as long if that proposal was accepted.
MAX_FIRST_LENGTH, SHRINK_FACTOR, GROWTH_FACTOR = 5.0, 0.25, 2.0


@dataclass(frozen=True, eq=False)
class EMPath:
    """Last EM steps of an accelerated run, and the state of the proposals of this run.

    Parameters
    ----------
    points : coordinates of the models before the last steps, (n, n_coordinates). The last point is the model with the
        highest objective so far.
    images : coordinates of the models after the last steps, one for each point, (n, n_coordinates).
    model_after : model after the EM step from the last point.
    penalised_objective : objective at the last point minus its `ridge_penalty`, in nats per unit of row weight.
    proposal_length : length of the move from the last point to the proposed model, as measured by
        `_scale_by_information`; 0 if nothing is proposed and the next pass uses `model_after`.
    max_length : upper limit on `proposal_length` for the next proposal.
    n_rejected : number of consecutive proposals that were rejected.
    n_steps_to_wait : number of EM steps to make before the next proposal.
    n_low_gain_steps : number of consecutive steps that gained less than the tolerance, although a proposal promised a
        larger gain.
    """

    points: Array
    images: Array
    model_after: Model
    penalised_objective: float = -math.inf
    proposal_length: float = 0.0
    max_length: float = math.inf
    n_rejected: int = 0
    n_steps_to_wait: int = 0
    n_low_gain_steps: int = 0

    def as_arrays(self) -> dict[str, Array]:
        """Convert the path to arrays for `Trace.path_arrays`."""
        after, counts = self.model_after, (self.n_rejected, self.n_steps_to_wait, self.n_low_gain_steps)
        return {
            "points": self.points,
            "images": self.images,
            "weights": after.weights,
            "means": after.means,
            "covariances": after.covariances.array,
            "numbers": np.array([self.penalised_objective, self.proposal_length, self.max_length, *counts]),
        } | ({} if after.noise is None else after.noise.arrays())

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], family: Family) -> EMPath:
        """Restore a path from `Trace.path_arrays`."""
        names = "points", "images", "weights", "means", "covariances", "numbers"
        points, images, weights, means, covariances, state = (arrays[name] for name in names)
        noise = NoiseComponent.from_arrays(arrays)
        after = Model.from_arrays(weights, means, covariances, family, noise)
        penalised, length, max_length, *counts = state.tolist()
        return cls(points, images, after, penalised, length, max_length, *map(int, counts))

    def with_step(self, point: Array, image: Array, model_after: Model, penalised_objective: float) -> EMPath:
        """Return the path with one more step, which started from an accepted point."""
        n_retained = min(MAX_LBFGS_PAIRS, MAX_PATH_VALUES // len(point))
        points = np.concatenate((self.points[-n_retained:], point[None]))
        images = np.concatenate((self.images[-n_retained:], image[None]))
        max_length = max(self.max_length, GROWTH_FACTOR * self.proposal_length)
        n_rejected = 0 if self.proposal_length else self.n_rejected
        path = replace(self, points=points, images=images, model_after=model_after, max_length=max_length)
        return replace(path, penalised_objective=penalised_objective, n_rejected=n_rejected)

    def with_shorter_limit(self) -> EMPath:
        """Return the path after a rejected proposal, with a lower limit on the length of the next proposal.

        After r consecutive rejections, EM makes 2^(r − 1) − 1 steps before the next proposal.
        """
        n_rejected, max_length = self.n_rejected, SHRINK_FACTOR * self.proposal_length
        path = replace(self, n_rejected=n_rejected + 1, n_steps_to_wait=2**n_rejected - 1)
        return replace(path, proposal_length=0.0, max_length=max_length)


@dataclass(frozen=True, eq=False)
class Proposal:
    """Proposed move from the last point of a path towards the predicted maximum.

    Parameters
    ----------
    coordinate_change : change of the coordinates, shortened if the full move would be too long, (n_coordinates,).
    length : length of `coordinate_change`, as measured by `_scale_by_information`.
    predicted_gain : predicted gain of the objective by the full move, in nats per unit of row weight.
    """

    coordinate_change: Array
    length: float
    predicted_gain: float

    @classmethod
    def from_path(cls, path: EMPath) -> Proposal:
        residuals = path.images - path.points
        basis = np.concatenate((np.diff(path.points, axis=0), np.diff(residuals, axis=0), residuals[-1:]))
        scaled = _scale_by_information(basis, path.model_after)
        gram = einsum("ix,jx->ij", scaled, scaled)
        coefficients = _lbfgs_step(gram)
        length = math.sqrt(max(0.0, float(einsum("i,i->", einsum("ij,j->i", gram, coefficients), coefficients))))
        part = min(1.0, path.max_length / length) if length else 1.0
        gain = 0.5 * float(einsum("i,i->", coefficients, gram[-1]))
        return cls(part * einsum("i,ix->x", coefficients, basis), part * length, gain)


def is_accelerated(trace: Trace) -> bool:
    """Return whether the run with this trace is being accelerated."""
    return bool(trace.path_arrays)


@dataclass(frozen=True, eq=False)
class Acceleration:
    """Rule that chooses the model for the next pass. `core_steps` runs the EM steps before acceleration begins."""

    core_steps: CoreSteps

    def max_steps_until_check(self, trace: Trace) -> int:
        """Return the number of steps that may be made before the next call of `choose_next_state`."""
        if is_accelerated(trace):
            return 1
        return max(MIN_STEPS - trace.n_steps, STEPS_BETWEEN_CHECKS - trace.n_steps % STEPS_BETWEEN_CHECKS)

    def choose_next_state(self, before: EMState, state: EMState) -> EMState:
        """Choose the model for the next pass, given the state before and the state after the last EM step."""
        trace = state.trace
        if not is_accelerated(before.trace):
            return self._start_path(state)
        path = EMPath.from_arrays(before.trace.path_arrays, before.model.family)
        penalised = trace.last_objective - self.core_steps.objective.ridge_penalty(before.model)
        if path.proposal_length and (trace.frozen_components or not path.penalised_objective <= penalised < math.inf):
            return self._reject_proposal(path, before.trace, state)
        if trace.frozen_components or state.stop_reason is StopReason.NON_FINITE or _has_empty_component(state.model):
            return state
        return self._extend_path(path, before.model, state, penalised)

    def _start_path(self, state: EMState) -> EMState:
        """Begin to record steps for proposals if the run is slow."""
        has_ended = state.stop_reason is not None or state.trace.frozen_components
        if has_ended or not self._is_slow(state) or _has_empty_component(state.model):
            return state
        n_coordinates = len(_model_coordinates(state.model))
        path = EMPath(np.empty((0, n_coordinates)), np.empty((0, n_coordinates)), state.model)
        return state if n_coordinates > MAX_PATH_VALUES else _store_path(state, path)

    def _is_slow(self, state: EMState) -> bool:
        """Return whether gains decrease so slowly that the run would need many more steps to converge.

        If the C++ core runs the EM steps, a pass with a proposal takes longer than an EM step, so that acceleration is
        worthwhile only if more steps remain than would be necessary without the C++ core.
        """
        trace, tolerance, long = state.trace, self.core_steps.stopping.tolerance, float(MIN_REMAINING_STEPS)
        if trace.n_steps < MIN_STEPS or trace.n_steps % STEPS_BETWEEN_CHECKS:
            return False
        gains = np.diff(trace.objective[-MIN_STEPS:])
        before, last = gains[-2:].tolist()
        # Increasing gains mean that the run is leaving a saddle point, which needs no acceleration.
        if not last > 0 or (np.diff(gains) >= 0).any():
            return False
        if self.core_steps.supports_model(state.model):
            long *= 1 + PROPOSAL_MULTIPLY_ADDS / (self.core_steps.source.n_rows * step_multiply_adds(state.model))
        return tolerance == 0 or math.log(tolerance / last) / math.log(last / before) > long

    def _reject_proposal(self, path: EMPath, before: Trace, state: EMState) -> EMState:
        """Go back to the model after the EM step from the last point. The rejected proposal counts as a step."""
        log_likelihood = (*before.log_likelihood, before.log_likelihood[-1])
        objective, arrays = (*before.objective, before.last_objective), state.trace.path_arrays
        trace = Trace(log_likelihood, objective, before.frozen_components, arrays)
        return _store_path(EMState(path.model_after, trace, self._step_limit_reason(trace)), path.with_shorter_limit())

    def _extend_path(self, path: EMPath, model: Model, state: EMState, penalised: float) -> EMState:
        """Record a step, and propose a model if a proposal is due."""
        tolerance, was_proposed = self.core_steps.stopping.tolerance, bool(path.proposal_length)
        gain = penalised - path.penalised_objective
        path = path.with_step(_model_coordinates(model), _model_coordinates(state.model), state.model, penalised)
        move = Proposal.from_path(path)
        if len(path.points) == 1:  # with one recorded step, the proposed move equals the EM step
            path = replace(path, max_length=MAX_FIRST_LENGTH * move.length)
        stop_reason, n_low_gain_steps = state.stop_reason, 0 if gain >= tolerance else path.n_low_gain_steps
        if stop_reason is StopReason.CONVERGED:
            is_promising = gain > 0 and move.predicted_gain >= tolerance and not path.n_rejected
            if was_proposed:  # a small gain by a proposal does not show convergence, but the next EM step may
                stop_reason = self._step_limit_reason(state.trace)
            elif is_promising and n_low_gain_steps < MAX_LOW_GAIN_STEPS:
                stop_reason, n_low_gain_steps = self._step_limit_reason(state.trace), n_low_gain_steps + 1
        proposal = None
        is_due = len(path.points) > 1 and not path.n_steps_to_wait
        if stop_reason is None and is_due and gain > (tolerance if was_proposed else 0.0):
            proposal = self._model_from_coordinates(path.points[-1] + move.coordinate_change, state.model)
        length, n_steps_to_wait = 0.0 if proposal is None else move.length, max(0, path.n_steps_to_wait - 1)
        path = replace(path, proposal_length=length, n_steps_to_wait=n_steps_to_wait, n_low_gain_steps=n_low_gain_steps)
        return _store_path(EMState(proposal or state.model, state.trace, stop_reason), path)

    def _step_limit_reason(self, trace: Trace) -> StopReason | None:
        return StopReason.STEP_LIMIT if trace.n_steps >= self.core_steps.stopping.max_steps else None

    def _model_from_coordinates(self, coordinates: Array, template: Model) -> Model | None:
        """Return the model with the given coordinates, or None if the coordinates do not define a valid model."""
        n_weights, n_means = template.all_weights.size, template.means.size
        with np.errstate(over="ignore", invalid="ignore"):
            coefficients = exponential(coordinates[:n_weights] - coordinates[:n_weights].max())
            means = coordinates[n_weights:][:n_means].reshape(template.means.shape)
            rest = coordinates[n_weights + n_means :].reshape(len(template.covariances.each), -1)
            covariances = template.covariances.from_coordinates(rest)
        if not (np.isfinite(coordinates).all() and np.isfinite(covariances.each).all()):
            return None
        coefficients /= coefficients.sum()
        weights, noise = np.array(coefficients[: template.n_components]), template.noise
        if noise is not None:
            noise = noise.with_weight(float(coefficients[-1]))
        # The M-step of the covariance structure is applied, because the coordinates may violate the structure's
        # constraints. Factor analysers (`is_step`) have no such constraints: a sum or a multiple of their coordinates,
        # which are loadings and log noise variances, is always valid.
        if not template.family.is_step:
            spec = template.family.moment_spec(None)
            second = covariances.each[0] if spec.is_pooled else (weights * covariances.each.T).T
            if spec.second is Second.TRACE:
                second = second * template.n_features
            scatter = Scatter(weights, second, template.n_features, spec)
            covariances = template.family.update(scatter, covariances)
        model = self.core_steps.objective.nearest_feasible(Model(weights, means, covariances, template.family, noise))
        return None if _has_empty_component(model) or find_collapsed(model, self.core_steps.objective) else model


def _has_empty_component(model: Model) -> bool:
    """Return whether a component has almost no weight; with a prior, EM does not always freeze such components."""
    return bool(model.weights.min() <= MIN_COMPONENT_WEIGHT)


def _store_path(state: EMState, path: EMPath) -> EMState:
    return state._replace(trace=replace(state.trace, path_arrays=path.as_arrays()))


def _model_coordinates(model: Model) -> Array:
    """Return unconstrained coordinates of a model: log weights, means, and coordinates of the covariances."""
    weights = np.maximum(model.all_weights, np.finfo(np.float64).tiny)  # the weight of the noise component may be 0
    parts = log(weights), model.means.ravel(), model.covariances.coordinates().ravel()
    return np.concatenate(parts)


def _scale_by_information(coordinate_changes: Array, model: Model) -> Array:
    """Scale small changes of coordinates (m, n_coordinates) by the square root of the complete-data information.

    Half the squared length of a scaled change is the Kullback–Leibler divergence per row between the models before and
    after this change.
    """
    n_components, n_features = model.means.shape
    weights, roots = model.all_weights, np.sqrt(model.weights)
    ends = [len(weights), len(weights) + n_components * n_features]
    weight_changes, mean_changes, rest = np.split(coordinate_changes, ends, axis=1)
    offsets = mean_changes.reshape(-1, n_components, n_features)
    whitened = np.array([model.whitening.whiten_each(each) for each in offsets])
    covariances, n_changes = model.covariances, len(coordinate_changes)
    covariance_changes = covariances.scale_by_information(rest.reshape(n_changes, len(covariances.each), -1))
    importance = np.ones(1) if covariances.is_shared else roots
    parts = weight_changes * np.sqrt(weights), whitened * roots[:, None], covariance_changes * importance[:, None]
    return np.concatenate([part.reshape(n_changes, -1) for part in parts], axis=1)


def _lbfgs_step(gram: Array) -> Array:
    """Compute the L-BFGS step as a linear combination of vectors, given their inner products `gram`.

    The vectors are m moves (oldest first), the m changes of the gradient during these moves, and the gradient. In
    directions orthogonal to all moves, the Hessian is assumed to be minus the identity matrix. The result contains the
    coefficients of the vectors in the linear combination.
    """
    m = len(gram) // 2
    curvature = -np.diagonal(gram, m)[:m]
    size = np.sqrt(np.diagonal(gram))
    usable = np.flatnonzero(curvature > MIN_CURVATURE_COSINE * size[:m] * size[m:-1])
    step, taken = np.zeros(len(gram)), np.zeros(m)
    step[-1] = 1.0
    for i in usable[::-1]:
        taken[i] = einsum("j,j->", gram[i], step) / curvature[i]
        step[m + i] += taken[i]
    for i in usable:
        step[i] += taken[i] + einsum("j,j->", gram[m + i], step) / curvature[i]
    return step
