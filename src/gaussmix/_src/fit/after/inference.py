"""Compute standard errors by formula: find the maximum near a model and the covariance of the parameters there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.curvature.certify import MAX_STEP_LENGTH
from gaussmix._src.em.curvature.coordinates import WEIGHT_BOUND_FACTOR, find_variances_at_bounds, unsupported_reason
from gaussmix._src.em.curvature.information import ObservedInformation
from gaussmix._src.em.curvature.jacobian import NotSmooth
from gaussmix._src.em.curvature.parameter_layout import ParameterKind, ParameterLayout, StackedModels
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import FIRST_TOLERANCE, MIN_TOLERANCE, StopRule
from gaussmix._src.em.objective.trace import EMState, FreezeReason, Trace, final_state, join_traces
from gaussmix._src.em.priors.posterior import PosteriorObjective
from gaussmix._src.em.step.loop import run_em
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.fit.problem import Problem
from gaussmix._src.fit.ridge import on_ridge_mask
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.factorise import factorise
from gaussmix._src.numerics.threads import cached_property, one_blas_thread

INFORMATION_KINDS = "hessian", "outer", "sandwich"
MAX_EM_STEPS = 10_000  # maximum number of EM steps before each run of Newton's method
MAX_NEWTON_STEPS = 20
# If the objective, summed over all rows, can increase by at most this (nats), no parameter would change by more than
# 1e-6 standard errors.
NEGLIGIBLE_GAIN = 1e-12
MAX_GAIN_RATIO = 0.5  # maximum ratio of the remaining gains after and before a Newton step; above this, EM continues
MIN_COMPONENT_ROWS = 1.0  # a component whose expected number of rows is below this counts as empty
MIN_CURVATURE = 1e-9  # curvatures per unit of row weight up to this count as 0; for known components, they are about 1
# The rows do not determine a parameter if more than this fraction of its squared derivative lies in flat directions.
MAX_FLAT_FRACTION = 1e-4
FINITE_DIFFERENCE_STEP = 1e-3  # step of numerical derivatives, in standard errors of each coordinate
# A negative variance counts as 0 with rounding error if it is at most this fraction of the inverse information.
MAX_VARIANCE_ROUNDING = 1e-8
FLOAT32_ROUNDING = 1e-6  # rounding error of the objective of float32 rows, in nats per unit of row weight


@dataclass(frozen=True, eq=False)
class LocalMaximum:
    """A local maximum of the objective that was reached from a model, with the information matrix at this maximum.

    Parameters
    ----------
    model : model at the maximum.
    frozen_components : map from each component with frozen mean and covariance to the reason for freezing it.
    information : observed information at the maximum.
    initial_objective : objective of the initial model, in nats per unit of row weight.
    total_weight : sum of the row weights that the user passed.
    """

    model: Model
    frozen_components: Mapping[int, FreezeReason]
    information: ObservedInformation
    initial_objective: float
    total_weight: float

    @classmethod
    def from_model(
        cls, problem: Problem, model: Model, collapsed: Collection[int] = (), *, is_frequency: bool | None = True
    ) -> LocalMaximum:
        """Maximise the objective from a model until the remaining gain is negligible.

        EM runs with decreasing tolerances until Newton's method converges from the result of EM. If Newton's method
        never converges, EM ended at a saddle point or on a flat ridge of the objective (see `flat_directions`).

        Parameters
        ----------
        problem : problem with the rows and the objective to maximise.
        model : initial model.
        collapsed : components to freeze, unless a ridge keeps these components from collapsing.
        is_frequency : whether row weights are counts of rows, for the outer product of the scores; None if this product
            is not needed.

        Raises
        ------
        NotSmooth : there is no formula for the information matrix of this problem.
        """
        if problem.data.trimming:
            raise NotSmooth("trim leaves out different rows at each step")
        if why := unsupported_reason(model.family, *model.means.shape):
            raise NotSmooth(why)
        unit = problem.data.weight_unit
        maximiser = ObjectiveMaximiser(problem, problem.source.row_totals.total_weight * unit)
        has_ridge = problem.objective.variance_floor.all()
        frozen = {} if has_ridge else dict.fromkeys(collapsed, FreezeReason.COLLAPSED)
        state = EMState(model, Trace(frozen_components=frozen))
        newton_end, tolerance, before = None, FIRST_TOLERANCE, None
        while newton_end is None and tolerance >= MIN_TOLERANCE:
            state = maximiser.run_em_from(state, tolerance)
            before = state.trace.objective[0] if before is None else before
            newton_end = maximiser.run_newton(state)
            tolerance /= 10
        state, information = newton_end or (state, None)
        if information is None or is_frequency is not None:
            information = maximiser.compute_information(state, is_frequency)
        if is_frequency is False:  # squared weights were divided by unit², but the total weight was divided by unit
            information = replace(information, score_outer_product=information.score_outer_product * unit)
        assert before is not None, "EM made a step"
        return cls(state.model, state.trace.frozen_components, information, before, maximiser.total_weight)

    @cached_property
    def layout(self) -> ParameterLayout:
        return ParameterLayout.at_model(self.model)

    @property
    def flat_directions(self) -> Array:
        """Return orthonormal columns: the directions in which the objective does not decrease (none at a maximum)."""
        return self._steep_and_flat_directions[1]

    @cached_property
    def _steep_and_flat_directions(self) -> tuple[Array, Array]:
        """Return two arrays of orthonormal columns: directions of decreasing objective, and flat directions."""
        matrix = self.information.matrix
        if not np.isfinite(matrix).all():
            raise ValueError("The second derivatives of the likelihood are not finite. Rescale the columns of X.")
        with one_blas_thread():
            values, axes = np.linalg.eigh(matrix)
        return axes[:, values > MIN_CURVATURE], axes[:, values <= MIN_CURVATURE]

    @property
    def least_curvature(self) -> float:
        """Compute the smallest positive curvature of the objective of all rows, in nats per squared coordinate."""
        steep, _ = self._steep_and_flat_directions
        values = np.einsum("pr,pr->r", self.information.matrix @ steep, steep)
        return float(values.min(initial=np.inf)) * self.total_weight

    def parameter_covariance(self, kind: str, lacks_standard_error: NDArray[np.bool_]) -> Array:
        """Compute the covariance (q, q): NaN for parameters in the mask (q,), and 0 for fixed parameters."""
        result = self.delta_method_covariance(self.layout.jacobian(self.information.coordinates), kind)
        result[lacks_standard_error] = result[:, lacks_standard_error] = np.nan
        return result

    def lacks_standard_error(self, objective: Objective) -> NDArray[np.bool_]:
        """Return a mask (q,) of the parameters of frozen components, and of weights that are at their lower bound."""
        weight_update = objective.weight_update if isinstance(objective, PosteriorObjective) else None
        least = 0.0 if weight_update is None or weight_update.is_equal else weight_update.min_weight
        fixed = {} if weight_update is None else weight_update.fixed_weights
        empty = {k for k, why in self.frozen_components.items() if why is FreezeReason.EMPTY}
        weights = self.model.without_noise.weights
        empty |= {k for k in np.flatnonzero(weights <= WEIGHT_BOUND_FACTOR * least).tolist() if k not in fixed}
        by_kind, frozen = {ParameterKind.WEIGHT: empty}, self.frozen_components
        return np.array([term.component in by_kind.get(term.kind, frozen) for term in self.layout.terms])

    def delta_method_covariance(self, jacobian: Array, kind: str) -> Array:
        """Compute the covariance (q, q) of parameters from their derivatives (q, p) with respect to the coordinates.

        The covariance of the coordinates is I⁻¹ for "hessian", G⁻¹ for "outer" and I⁻¹ G I⁻¹ for "sandwich", where I is
        the information matrix and G is the outer product of the scores; White (1982), Econometrica 50, theorem 3.2;
        Boldea & Magnus (2009), JASA 104, section 3. The result is NaN for parameters that change along flat directions,
        and for parameters whose variance is more negative than rounding errors explain.
        """
        matrix, outer, along = self.information.matrix, self.information.score_outer_product, jacobian
        if self.flat_directions.shape[1]:
            steep, flat = self._steep_and_flat_directions
            matrix, along = steep.T @ matrix @ steep, jacobian @ steep
            if outer.size:
                outer = steep.T @ outer @ steep
            flat_squares = ((jacobian @ flat) ** 2).sum(axis=1)
            along[flat_squares > MAX_FLAT_FRACTION * (jacobian**2).sum(axis=1)] = np.nan
        if not matrix.size:  # no direction is steep, so that only parameters that never change have a covariance, 0
            is_unknown = jacobian.any(axis=1)
            return np.where(np.logical_or.outer(is_unknown, is_unknown), np.nan, 0.0)
        factors, _, failed = factorise((outer if kind == "outer" else matrix)[None])
        if failed.any():
            raise ValueError(
                f"kind={kind!r} needs more rows: the scores of {len(matrix)} parameters are linearly dependent. Use "
                "kind='hessian', or bootstrap(X)."
            )
        whitened = along @ factors[0].T
        if kind == "sandwich":
            along = whitened @ factors[0]
            result = along @ outer @ along.T
            variances = np.diagonal(result)
            wrong = variances < -MAX_VARIANCE_ROUNDING * (whitened**2).sum(axis=1)
            # If the model fits the rows exactly, the computed variances are 0 plus rounding errors, which may be
            # negative.
            np.fill_diagonal(result, np.maximum(variances, 0.0))
            result[wrong] = result[:, wrong] = np.nan
        else:
            result = whitened @ whitened.T
        return np.asarray(result / self.total_weight)

    def draw_models(self, n_models: int, kind: str, rng: np.random.Generator) -> list[Model]:
        """Draw models with coordinates that are normal around the maximum, with the covariance of the given `kind`.

        Raises ValueError if covariances overflow, because the rows hardly determine them.
        """
        at, (steep, _) = self.information.coordinates, self._steep_and_flat_directions
        covariance = self.delta_method_covariance(steep.T, kind)
        with one_blas_thread():
            try:
                root = np.linalg.cholesky(covariance)
            except np.linalg.LinAlgError:  # the scores are linearly dependent, so kind="sandwich" is singular
                variances, axes = np.linalg.eigh(covariance)
                root = axes * np.sqrt(np.maximum(variances, 0.0))
            points = rng.normal(size=(n_models, len(covariance))) @ (steep @ root).T
        with np.errstate(over="ignore", invalid="ignore"):
            models = [at.model_at(point) for point in points]
        if not all(np.isfinite(model.covariances.array).all() for model in models):
            raise ValueError(
                "Drawn covariances overflow, because the rows hardly determine some parameters. Use bootstrap(X)."
            )
        return models

    def differentiate(self, function: Callable[[Model], Array]) -> Array:
        """Compute derivatives (m, p) of a function of the model with respect to coordinates, by finite differences."""
        at = self.information.coordinates
        curvatures, columns = np.maximum(np.diagonal(self.information.matrix), MIN_CURVATURE), []
        # Steps are bounded, because the standard error of a coordinate that the rows hardly determine may exceed 1.
        steps = FINITE_DIFFERENCE_STEP / np.sqrt(curvatures * self.total_weight)
        for index, step in enumerate(np.minimum(steps, FINITE_DIFFERENCE_STEP)):
            point = np.zeros(at.n_parameters)
            point[index] = step
            columns.append((function(at.model_at(point)) - function(at.model_at(-point))) / (2 * step))
        return np.array(columns).T.reshape(-1, at.n_parameters)


@dataclass(frozen=True, eq=False)
class ObjectiveMaximiser:
    """Maximiser of a problem's objective that uses EM and Newton's method."""

    problem: Problem
    total_weight: float

    def run_em_from(self, state: EMState, tolerance: float) -> EMState:
        """Run EM to convergence; freeze components that become empty or that only the ridge keeps from collapsing."""
        problem = self.problem
        rows, objective = (problem.source, problem.engine), problem.objective
        stopping, before = StopRule(tolerance, MAX_EM_STEPS), Trace()
        while True:
            model, frozen = state.model, state.trace.frozen_components
            initial = Trace(frozen_components=frozen)
            states = run_em(*rows, model, objective, stopping, trace=initial, is_accelerated=True)
            state = join_traces(before, final_state(states))
            before = state.trace
            result = {**self.find_degenerate(state.model), **before.frozen_components}
            if result.keys() == before.frozen_components.keys():
                return state
            state = state._replace(trace=replace(before, frozen_components=result))

    def find_degenerate(self, model: Model) -> dict[int, FreezeReason]:
        """Map each component to freeze to the reason. A covariance that all components share is never frozen."""
        mixtures = StackedModels.from_models([model])
        masks = {FreezeReason.EMPTY: self._empty_mask(mixtures)}
        if not model.covariances.is_shared:
            masks[FreezeReason.COLLAPSED] = on_ridge_mask(mixtures, self.problem.objective.variance_floor)
        return {k: reason for reason, mask in masks.items() for k in np.flatnonzero(mask[0]).tolist()}

    def degenerate_mask(self, mixtures: StackedModels) -> NDArray[np.bool_]:
        """Return a mask (n, n_components) of components that are empty or only kept from collapsing by the ridge."""
        return self._empty_mask(mixtures) | on_ridge_mask(mixtures, self.problem.objective.variance_floor)

    def _empty_mask(self, mixtures: StackedModels) -> NDArray[np.bool_]:
        return np.asarray(mixtures.weights * self.total_weight < MIN_COMPONENT_ROWS)

    def compute_information(self, state: EMState, is_frequency: bool | None = None) -> ObservedInformation:
        problem, family = self.problem, state.model.family
        if find_variances_at_bounds(state.model) is not None:
            raise NotSmooth(f"the structure {family!r} bounds the variances")
        arguments = state.model, problem.objective, state.trace, problem.source, problem.engine
        return ObservedInformation.at_model(*arguments, are_frequency_weights=is_frequency)

    def run_newton(self, state: EMState) -> tuple[EMState, ObservedInformation] | None:
        """Run Newton's method; return the maximum and its information matrix, or None if there is no convergence."""
        information, gain = self.compute_information(state), np.inf
        for _ in range(MAX_NEWTON_STEPS):
            newton = information.newton_step
            if newton is None or newton[1] > MAX_GAIN_RATIO * gain:
                return None
            step, gain = newton
            if gain * self.total_weight <= NEGLIGIBLE_GAIN:
                return state, information
            coords = information.coordinates
            changes = coords.jacobian @ step
            if np.abs(changes[coords.n_weights :]).max(initial=0.0) > MAX_STEP_LENGTH:
                return None
            state = state._replace(model=self.problem.objective.nearest_feasible(coords.model_at(step)))
            try:
                information = self.compute_information(state)
            except SingularCovarianceError:
                return None
        return None
