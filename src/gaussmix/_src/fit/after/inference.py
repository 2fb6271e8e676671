"""Standard errors by formula: the maximum near a model, and the covariance of the parameters there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.curvature.certify import FURTHEST
from gaussmix._src.em.curvature.coordinates import AT_BOUND, bounds_met
from gaussmix._src.em.curvature.information import Information
from gaussmix._src.em.curvature.jacobian import NotSmooth
from gaussmix._src.em.curvature.natural import Kind, NaturalScale, Stacked
from gaussmix._src.em.objective.stopping import FINEST, SETTLED, Stopping
from gaussmix._src.em.objective.trace import Frozen, State, Trace, final, joined
from gaussmix._src.em.priors.posterior import Posterior
from gaussmix._src.em.step.loop import run_em
from gaussmix._src.errors import SingularCovariance
from gaussmix._src.fit.problem import Problem
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.factorise import factorise
from gaussmix._src.numerics.threads import cached_property, one_blas_thread

KINDS = "hessian", "outer", "sandwich"
MOST_STEPS = 10_000  # of EM, each time that it goes on
MOST_NEWTON = 20
NEGLIGIBLE = 1e-12  # nats, of all rows: what is left to gain moves no parameter by more than 1e-6 standard errors
PROGRESS = 0.5  # a step of Newton's method leaves less than this part of the gain, or EM goes on
LEAST_MASS = 1.0  # rows: a component with less has lost its rows
AT_RIDGE = 0.9  # share of the ridge in a variance, given the other features, that is no longer that of the rows
FLAT = 1e-9  # curvature per unit of row weight; that of rows with known components is about 1
TOUCHED = 1e-4  # of the square of a derivative, along flat directions: with more, a parameter is not determined
DIFFERENCE = 1e-3  # of coordinates, for derivatives of a user's function, in units of standard errors
ROUNDED = 1e-8  # of the inverse information: a negative variance of at most this is a rounded 0
SAME_HEIGHT = 1e-6  # nats per unit of row weight: rounding, which includes the rounding of float32 rows


@dataclass(frozen=True, eq=False)
class Maximum:
    """The end of a climb from a model, and the information there.

    Parameters
    ----------
    model : there.
    frozen : components whose mean and covariance do not move, and why.
    information : there.
    before : the objective where the climb began, nats per unit of row weight.
    total_weight : of the rows, as it counts rows.
    """

    model: Model
    frozen: Mapping[int, Frozen]
    information: Information
    before: float
    total_weight: float

    @classmethod
    def near(
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
        climb = Climb(problem, problem.source.profile.total_weight * unit)
        is_held = problem.objective.floor.all()
        frozen = {} if is_held else dict.fromkeys(collapsed, Frozen.COLLAPSED)
        state, polished, tolerance, before = State(model, Trace(frozen=frozen)), None, SETTLED, None
        while polished is None and tolerance >= FINEST:
            state = climb.settled(state, tolerance)
            before = state.trace.objective[0] if before is None else before
            polished = climb.polished(state)
            tolerance /= 10
        state, information = polished or (state, None)
        if information is None or are_counts is not None:
            information = climb.information(state, are_counts)
        if are_counts is False:  # the square of a weight has the square of its unit
            information = replace(information, outer=information.outer * unit)
        assert before is not None, "EM made a step"
        return cls(state.model, state.trace.frozen, information, before, climb.total_weight)

    @cached_property
    def scale(self) -> NaturalScale:
        return NaturalScale.of(self.model)

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
        return axes[:, values > FLAT], axes[:, values <= FLAT]

    @property
    def least_curvature(self) -> float:
        """The smallest positive curvature, in nats of all rows: a coordinate has a variance of at most 1 over it."""
        steep, _ = self._axes
        values = np.einsum("pr,pr->r", self.information.matrix @ steep, steep)
        return float(values.min(initial=np.inf)) * self.total_weight

    def natural_covariance(self, kind: str, objective: Posterior | object) -> Array:
        """The covariance (q, q) of the natural parameters; NaN of those that have none, 0 of those that are known."""
        found = self.covariance(self.scale.jacobian(self.information.coordinates), kind)
        lost = self.has_none(objective)
        found[lost] = found[:, lost] = np.nan
        return found

    def has_none(self, objective: Posterior | object) -> NDArray[np.bool_]:
        """Parameters (q,) of frozen components, and weights at their lower bound."""
        least = objective.shares.least if isinstance(objective, Posterior) and not objective.shares.is_equal else 0.0
        fixed = objective.shares.fixed if isinstance(objective, Posterior) else {}
        lost = {k for k, why in self.frozen.items() if why is Frozen.LOST}
        shares = self.model.without_noise.weights
        lost |= {k for k in np.flatnonzero(shares <= AT_BOUND * least).tolist() if k not in fixed}
        return np.array(
            [term.component in (lost if term.kind is Kind.WEIGHT else self.frozen) for term in self.scale.terms]
        )

    def covariance(self, jacobian: Array, kind: str) -> Array:
        """The covariance (q, q) of parameters with these derivatives by the coordinates (q, p); NaN if not determined.

        The inverse of the information I or of the outer product G of the scores, or I⁻¹ G I⁻¹: White (1982),
        Econometrica 50, theorem 3.2; Boldea & Magnus (2009), JASA 104, section 3. Where the objective is flat, that of
        the parameters that do not move there. NaN too where rounding leaves the sandwich a negative variance.
        """
        matrix, outer, moved = self.information.matrix, self.information.outer, jacobian
        if self.flat.shape[1]:
            steep, flat = self._axes
            matrix = steep.T @ matrix @ steep
            if outer.size:
                outer = steep.T @ outer @ steep
            touched = ((jacobian @ flat) ** 2).sum(axis=1)
            moved = jacobian @ steep
            moved[touched > TOUCHED * (jacobian**2).sum(axis=1)] = np.nan
        if not matrix.size:
            return np.where(np.isnan(moved).any(axis=1) | jacobian.any(axis=1), np.nan, 0.0) * np.ones((len(moved), 1))
        factors, _, failed = factorise((outer if kind == "outer" else matrix)[None])
        if failed.any():
            raise ValueError(
                f"kind={kind!r} needs more rows: the scores of {len(matrix)} parameters are linearly dependent. Use "
                "kind='hessian', or bootstrap(X)."
            )
        whitened = moved @ factors[0].T
        if kind == "sandwich":
            moved = whitened @ factors[0]
            found = moved @ outer @ moved.T
            variances = np.diagonal(found)
            wrong = variances < -ROUNDED * (whitened**2).sum(axis=1)
            np.fill_diagonal(found, np.maximum(variances, 0.0))  # of rows that fit exactly it is 0 up to rounding
            found[wrong] = found[:, wrong] = np.nan
        else:
            found = whitened @ whitened.T
        return np.asarray(found / self.total_weight)

    def drawn(self, n: int, kind: str, rng: np.random.Generator) -> list[Model]:
        """Models whose coordinates are drawn from the normal distribution that the covariance of a kind describes."""
        at, (steep, _) = self.information.coordinates, self._axes
        covariance = self.covariance(steep.T, kind)
        with one_blas_thread():
            points = rng.normal(size=(n, len(covariance))) @ (steep @ np.linalg.cholesky(covariance)).T
        return [at.at(point) for point in points]

    def derivatives(self, function: Callable[[Model], Array]) -> Array:
        """The derivatives of a function of the model by the coordinates, (m, p), by central differences."""
        at = self.information.coordinates
        steps = DIFFERENCE / np.sqrt(np.maximum(np.diagonal(self.information.matrix), FLAT) * self.total_weight)
        columns = []
        for place, step in enumerate(np.minimum(steps, DIFFERENCE)):
            point = np.zeros(at.size)
            point[place] = step
            columns.append((function(at.at(point)) - function(at.at(-point))) / (2 * step))
        return np.array(columns).T.reshape(-1, at.size)


@dataclass(frozen=True, eq=False)
class Climb:
    """The way to a maximum of the objective of a problem."""

    problem: Problem
    total_weight: float

    def settled(self, state: State, tolerance: float) -> State:
        """The end of EM, with components frozen that have lost their rows, or that only the ridge holds up."""
        problem = self.problem
        rows, objective, stopping = (problem.source, problem.engine), problem.objective, Stopping(tolerance, MOST_STEPS)
        before = Trace()
        while True:
            model, frozen = state.model, state.trace.frozen
            begun = Trace(frozen=frozen)
            state = joined(before, final(run_em(*rows, model, objective, stopping, trace=begun, is_accelerated=True)))
            before = state.trace
            found = {**self.stuck(state.model), **before.frozen}
            if found.keys() == before.frozen.keys():
                return state
            state = state._replace(trace=replace(before, frozen=found))

    def stuck(self, model: Model) -> dict[int, Frozen]:
        """The components that have lost their rows, or that the ridge holds up."""
        lost, held = self._lost_and_held(Stacked.of([model]))
        found = dict.fromkeys(np.flatnonzero(lost[0]).tolist(), Frozen.LOST)
        return found | dict.fromkeys(np.flatnonzero(held[0]).tolist(), Frozen.COLLAPSED)

    def are_stuck(self, found: Stacked) -> NDArray[np.bool_]:
        """Which components of other models `stuck` would have; (n, n_components)."""
        lost, held = self._lost_and_held(found)
        return lost | held

    def _lost_and_held(self, found: Stacked) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        lost = found.weights * self.total_weight < LEAST_MASS
        return lost, self.ridge_shares(found).max(axis=2) > AT_RIDGE

    def ridge_shares(self, found: Stacked) -> Array:
        """Shares of the ridge in the variances given the other features, (n, n_components, n_features).

        0 where components share their covariance: no single one can collapse.
        """
        floor = self.problem.objective.floor
        if found.like.covariances.is_shared or not floor.any():
            return np.zeros_like(found.means)
        return (found.covariances.ridge_precisions() * floor).reshape(found.means.shape)

    def information(self, state: State, are_counts: bool | None = None) -> Information:
        problem, family = self.problem, state.model.family
        if bounds_met(state.model) is not None:
            raise NotSmooth(f"the structure {family!r} bounds the variances")
        of = state.model, problem.objective, state.trace, problem.source, problem.engine
        return Information.of(*of, are_counts=are_counts)

    def polished(self, state: State) -> tuple[State, Information] | None:
        """The maximum by Newton's method, and the information there; None if it does not converge."""
        information, before = self.information(state), np.inf
        for _ in range(MOST_NEWTON):
            found = information.newton
            if found is None or found[1] > PROGRESS * before:
                return None
            step, before = found
            if before * self.total_weight <= NEGLIGIBLE:
                return state, information
            at = information.coordinates
            changes = at.jacobian @ step
            if np.abs(changes[at.n_weights :]).max(initial=0.0) > FURTHEST:
                return None
            state = state._replace(model=self.problem.objective.feasible(at.at(step)))
            try:
                information = self.information(state)
            except SingularCovariance:
                return None
        return None
