"""Standard errors by formula: the maximum near a model, and the covariance of the parameters there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.curvature.certify import MAX_STEP_LENGTH
from gaussmix._src.em.curvature.coordinates import WEIGHT_BOUND_FACTOR, bounds_met
from gaussmix._src.em.curvature.information import Information
from gaussmix._src.em.curvature.jacobian import NotSmooth
from gaussmix._src.em.curvature.natural import Kind, NaturalScale, Stacked
from gaussmix._src.em.objective.stopping import FIRST_TOLERANCE, MIN_TOLERANCE, StopRule
from gaussmix._src.em.objective.trace import EMState, FreezeReason, Trace, final_state, join_traces
from gaussmix._src.em.priors.posterior import PosteriorObjective
from gaussmix._src.em.step.loop import run_em
from gaussmix._src.errors import SingularCovariance
from gaussmix._src.fit.problem import Problem
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.factorise import factorise
from gaussmix._src.numerics.threads import cached_property, one_blas_thread

INFORMATION_KINDS = "hessian", "outer", "sandwich"
MAX_STEPS = 10_000  # of EM, each time that it goes on
MAX_NEWTON_STEPS = 20
NEGLIGIBLE_GAIN = 1e-12  # nats, of all rows: what is left to gain moves no parameter by more than 1e-6 standard errors
MAX_GAIN_RATIO = 0.5  # a step of Newton's method leaves less than this part of the gain, or EM goes on
MIN_COMPONENT_ROWS = 1.0  # rows: a component with less has lost its rows
MAX_RIDGE = 0.9  # part of the ridge in a variance, given the other features, that is no longer that of the rows
MIN_CURVATURE = 1e-9  # curvature per unit of row weight; that of rows with known components is about 1
MAX_FLAT_PART = 1e-4  # of the square of a derivative, along flat directions: with more, a parameter is not determined
STEP_SIZE = 1e-3  # of coordinates, for derivatives of a user's function, in units of standard errors
MAX_VARIANCE_ROUNDING = 1e-8  # of the inverse information: a negative variance of at most this is a rounded 0
OBJECTIVE_ROUNDING = 1e-6  # nats per unit of row weight: rounding, which includes the rounding of float32 rows


@dataclass(frozen=True, eq=False)
class Maximum:
    """The end of an ascent from a model, and the information there.

    Parameters
    ----------
    model : there.
    frozen : components whose mean and covariance do not move, and why.
    information : there.
    before : the objective where the ascent began, nats per unit of row weight.
    total_weight : of the rows, as it counts rows.
    """

    model: Model
    frozen: Mapping[int, FreezeReason]
    information: Information
    before: float
    total_weight: float

    @classmethod
    def from_model(
        cls, problem: Problem, model: Model, collapsed: Collection[int] = (), *, are_counts: bool | None = True
    ) -> Maximum:
        """Raise the objective from a model until nothing that counts is left to gain.

        EM goes on until Newton's method converges, which makes the last steps. Where it never does, the end of EM is a
        saddle or a ridge, and `flat` says along which coordinates.

        Parameters
        ----------
        problem : whose objective it is.
        model : where to begin.
        collapsed : components that are frozen, unless a ridge keeps them from collapsing.
        are_counts : whether row weights count rows in the outer product of the scores; None for no outer product.

        Raises
        ------
        NotSmooth : there is no formula for the information.
        """
        if problem.data.trim:
            raise NotSmooth("trim leaves out other rows at each step")
        unit = problem.data.unit
        ascent = Ascent(problem, problem.source.profile.total_weight * unit)
        has_ridge = problem.objective.variance_floor.all()
        frozen = {} if has_ridge else dict.fromkeys(collapsed, FreezeReason.COLLAPSED)
        state = EMState(model, Trace(frozen_components=frozen))
        newton_end, tolerance, before = None, FIRST_TOLERANCE, None
        while newton_end is None and tolerance >= MIN_TOLERANCE:
            state = ascent.em_end(state, tolerance)
            before = state.trace.objective[0] if before is None else before
            newton_end = ascent.newton_end(state)
            tolerance /= 10
        state, information = newton_end or (state, None)
        if information is None or are_counts is not None:
            information = ascent.information(state, are_counts)
        if are_counts is False:  # the square of a weight has the square of its unit
            information = replace(information, outer=information.outer * unit)
        assert before is not None, "EM made a step"
        return cls(state.model, state.trace.frozen_components, information, before, ascent.total_weight)

    @cached_property
    def scale(self) -> NaturalScale:
        return NaturalScale.at_model(self.model)

    @property
    def flat(self) -> Array:
        """Orthonormal columns (p, n): the directions in which the objective does not fall; none at a maximum."""
        return self._axes[1]

    @cached_property
    def _axes(self) -> tuple[Array, Array]:
        """Orthonormal columns, those along which the objective falls and the others."""
        matrix = self.information.matrix
        if not np.isfinite(matrix).all():
            raise ValueError("The second derivatives of the likelihood are not finite. Rescale the columns of X.")
        with one_blas_thread():
            values, axes = np.linalg.eigh(matrix)
        return axes[:, values > MIN_CURVATURE], axes[:, values <= MIN_CURVATURE]

    @property
    def least_curvature(self) -> float:
        """The smallest positive curvature, in nats of all rows: a coordinate has a variance of at most 1 over it."""
        steep, _ = self._axes
        values = np.einsum("pr,pr->r", self.information.matrix @ steep, steep)
        return float(values.min(initial=np.inf)) * self.total_weight

    def natural_covariance(self, kind: str, objective: PosteriorObjective | object) -> Array:
        """The covariance (q, q) of the natural parameters; NaN of those that have none, 0 of those that are known."""
        result = self.covariance(self.scale.jacobian(self.information.coordinates), kind)
        lost = self.has_no_error(objective)
        result[lost] = result[:, lost] = np.nan
        return result

    def has_no_error(self, objective: PosteriorObjective | object) -> NDArray[np.bool_]:
        """Parameters (q,) of frozen components, and weights at their lower bound."""
        weight_update = objective.weight_update if isinstance(objective, PosteriorObjective) else None
        least = 0.0 if weight_update is None or weight_update.is_equal else weight_update.min_weight
        fixed = {} if weight_update is None else weight_update.fixed_weights
        lost = {k for k, why in self.frozen.items() if why is FreezeReason.LOST}
        weights = self.model.without_noise.weights
        lost |= {k for k in np.flatnonzero(weights <= WEIGHT_BOUND_FACTOR * least).tolist() if k not in fixed}
        of_kind = {Kind.WEIGHT: lost}
        return np.array([term.component in of_kind.get(term.kind, self.frozen) for term in self.scale.terms])

    def covariance(self, jacobian: Array, kind: str) -> Array:
        """The covariance (q, q) of parameters with these derivatives by the coordinates (q, p); NaN if not determined.

        The inverse of the information I or of the outer product G of the scores, or I⁻¹ G I⁻¹: White (1982),
        Econometrica 50, theorem 3.2; Boldea & Magnus (2009), JASA 104, section 3. Where the objective is flat, that of
        the parameters that do not move there. NaN too where rounding leaves the sandwich a negative variance.
        """
        matrix, outer, along = self.information.matrix, self.information.outer, jacobian
        if self.flat.shape[1]:
            steep, flat = self._axes
            matrix = steep.T @ matrix @ steep
            if outer.size:
                outer = steep.T @ outer @ steep
            touched = ((jacobian @ flat) ** 2).sum(axis=1)
            along = jacobian @ steep
            along[touched > MAX_FLAT_PART * (jacobian**2).sum(axis=1)] = np.nan
        if not matrix.size:
            return np.where(np.isnan(along).any(axis=1) | jacobian.any(axis=1), np.nan, 0.0) * np.ones((len(along), 1))
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
            np.fill_diagonal(result, np.maximum(variances, 0.0))  # of rows that fit exactly it is 0 up to rounding
            result[wrong] = result[:, wrong] = np.nan
        else:
            result = whitened @ whitened.T
        return np.asarray(result / self.total_weight)

    def draw(self, n: int, kind: str, rng: np.random.Generator) -> list[Model]:
        """Models whose coordinates are drawn from the normal distribution that the covariance of a kind describes."""
        at, (steep, _) = self.information.coordinates, self._axes
        covariance = self.covariance(steep.T, kind)
        with one_blas_thread():
            points = rng.normal(size=(n, len(covariance))) @ (steep @ np.linalg.cholesky(covariance)).T
        return [at.at(point) for point in points]

    def derivatives(self, function: Callable[[Model], Array]) -> Array:
        """The derivatives of a function of the model by the coordinates, (m, p), by central differences."""
        at = self.information.coordinates
        steps = STEP_SIZE / np.sqrt(np.maximum(np.diagonal(self.information.matrix), MIN_CURVATURE) * self.total_weight)
        columns = []
        for index, step in enumerate(np.minimum(steps, STEP_SIZE)):
            point = np.zeros(at.size)
            point[index] = step
            columns.append((function(at.at(point)) - function(at.at(-point))) / (2 * step))
        return np.array(columns).T.reshape(-1, at.size)


@dataclass(frozen=True, eq=False)
class Ascent:
    """The way to a maximum of the objective of a problem."""

    problem: Problem
    total_weight: float

    def em_end(self, state: EMState, tolerance: float) -> EMState:
        """The end of EM, with components frozen that have lost their rows, or that only the ridge holds up."""
        problem = self.problem
        rows, objective = (problem.source, problem.engine), problem.objective
        stopping = StopRule(tolerance, MAX_STEPS)
        before = Trace()
        while True:
            model, frozen = state.model, state.trace.frozen_components
            initial = Trace(frozen_components=frozen)
            states = run_em(*rows, model, objective, stopping, trace=initial, is_accelerated=True)
            state = join_traces(before, final_state(states))
            before = state.trace
            result = {**self.degenerate(state.model), **before.frozen_components}
            if result.keys() == before.frozen_components.keys():
                return state
            state = state._replace(trace=replace(before, frozen_components=result))

    def degenerate(self, model: Model) -> dict[int, FreezeReason]:
        """The components that have lost their rows, or that the ridge holds up."""
        lost, on_ridge = self._lost_and_on_ridge(Stacked.from_models([model]))
        result = dict.fromkeys(np.flatnonzero(lost[0]).tolist(), FreezeReason.LOST)
        return result | dict.fromkeys(np.flatnonzero(on_ridge[0]).tolist(), FreezeReason.COLLAPSED)

    def are_degenerate(self, result: Stacked) -> NDArray[np.bool_]:
        """Which components of other models `degenerate` would have; (n, n_components)."""
        lost, on_ridge = self._lost_and_on_ridge(result)
        return lost | on_ridge

    def _lost_and_on_ridge(self, result: Stacked) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        lost = result.weights * self.total_weight < MIN_COMPONENT_ROWS
        return lost, self.ridge_fractions(result).max(axis=2) > MAX_RIDGE

    def ridge_fractions(self, result: Stacked) -> Array:
        """Parts of the ridge in the variances given the other features, (n, n_components, n_features).

        0 where components share their covariance: no single one can collapse.
        """
        floor = self.problem.objective.variance_floor
        if result.like.covariances.is_shared or not floor.any():
            return np.zeros_like(result.means)
        return (result.covariances.ridge_precisions() * floor).reshape(result.means.shape)

    def information(self, state: EMState, are_counts: bool | None = None) -> Information:
        problem, family = self.problem, state.model.family
        if bounds_met(state.model) is not None:
            raise NotSmooth(f"the structure {family!r} bounds the variances")
        of = state.model, problem.objective, state.trace, problem.source, problem.engine
        return Information.at_model(*of, are_counts=are_counts)

    def newton_end(self, state: EMState) -> tuple[EMState, Information] | None:
        """The maximum by Newton's method, and the information there; None if it does not converge."""
        information, before = self.information(state), np.inf
        for _ in range(MAX_NEWTON_STEPS):
            newton = information.newton
            if newton is None or newton[1] > MAX_GAIN_RATIO * before:
                return None
            step, before = newton
            if before * self.total_weight <= NEGLIGIBLE_GAIN:
                return state, information
            at = information.coordinates
            changes = at.jacobian @ step
            if np.abs(changes[at.n_weights :]).max(initial=0.0) > MAX_STEP_LENGTH:
                return None
            state = state._replace(model=self.problem.objective.nearest_feasible(at.at(step)))
            try:
                information = self.information(state)
            except SingularCovariance:
                return None
        return None
