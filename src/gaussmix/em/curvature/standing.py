"""How a model stands to a maximum of the objective, told by its gradient and its information, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gaussmix.em.curvature.coordinates import are_same, bounds_met
from gaussmix.em.curvature.information import Information, is_one_pass, kept_rows
from gaussmix.em.curvature.jacobian import NotSmooth
from gaussmix.em.objective.objective import Objective
from gaussmix.em.objective.trace import Trace
from gaussmix.em.step.accumulate import cost_of_step
from gaussmix.em.trimming.trimming import Trimmed
from gaussmix.engines.base import Engine
from gaussmix.errors import SingularCovariance
from gaussmix.model import Model
from gaussmix.sources.base import Source
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import Sums
from gaussmix.waist.parameters import Parameters

TRUSTED = 0.25  # Newton's step may gain this part more or less than it promises
MAX_NEXT_PROMISE = 0.15  # the next one may promise at most this part of what the first promises
# Nats per unit of row weight: rounding, and what is not exact in the cost of a ridge, hide smaller gains.
MIN_GAIN = 1e-8
FURTHEST = 3.0  # the longest step of a mean or a log variance, in units of the component
# Costs in multiply-adds of a step of EM: of one of the score products, of making a score, of each number of the matrix
# times its height, in NumPy, and of a pass however few its rows are; and the other passes over the rows, in steps.
OF_PRODUCT, OF_SCORE, OF_MATRIX, OF_PASS, N_OTHERS = 0.45, 10, 4, 10**7, 2
SHARE_OF_FIT = 0.1  # of the cost of a fit: information that costs at most this part is found without being asked for


@dataclass(frozen=True)
class Standing:
    """How a model stands to a maximum of the objective.

    Parameters
    ----------
    is_maximum : whether one is so near that Newton's step reaches it. False at a saddle, on a ridge, and where the
        model is still far. None if that is not known.
    remaining_gain : what the objective gains on the way there, nats per unit of row weight; only near a maximum.
    changing_labels : share of the row weight whose most probable component is another one there; only near a maximum.
    why_not : why it is not known, as the end of a sentence; empty if it is known, or was not asked for.
    """

    is_maximum: bool | None = None
    remaining_gain: float | None = None
    changing_labels: float | None = None
    why_not: str = ""

    @classmethod
    def of(cls, model: Model, objective: Objective, trace: Trace, source: Source, engine: Engine[Any]) -> Standing:
        """Make three passes over the rows, or four for each parameter, as `Information.of`.

        The gain is ½ gᵀ I⁻¹ g, Newton's decrement. It counts only if a pass at the end of Newton's step finds as much,
        and if the next step promises little: where the objective is no parabola on the way there, as on a slow ridge,
        the decrement may be wrong by any factor.

        The objective of trimmed rows is the highest that any choice of as many rows has. It has the derivatives of
        that of the kept rows, unless rows tie at the cutoff. Both ends of Newton's step count with the rows that they
        keep.
        """
        try:
            information = Information.of(model, objective, trace, source, engine, are_counts=None)
        except NotSmooth as error:
            return cls(why_not=str(error))
        except SingularCovariance:  # so near that differences of parameters reach it
            return cls(False)
        found = information.newton
        if found is None or not information.is_held:
            return cls(False)
        step, gain = found
        changes = information.coordinates.jacobian @ step
        if np.abs(changes[information.coordinates.n_weights :]).max(initial=0.0) > FURTHEST:
            return cls(False)
        end = objective.feasible(information.coordinates.at(step))
        if not are_same(bounds_met(end), information.coordinates.bounds):
            return cls(False)
        try:
            compared = partial(_compared, engine=engine, sides=(model.parameters, end.parameters))
        except SingularCovariance:
            return cls(False)
        before, after, changed, total = kept_rows(source, engine, model).sum_of(compared)
        if isinstance(source, Trimmed):
            after = kept_rows(source, engine, end).sum_of(compared)[1]
        risen = after - before + objective.log_prior(end) - objective.log_prior(model)
        risen = risen / total - (objective.cost(end) - objective.cost(model))
        if abs(risen - gain) > TRUSTED * gain + MIN_GAIN:
            return cls(False)
        if gain > MIN_GAIN:
            try:
                information = Information.of(end, objective, trace, source, engine, are_counts=None)
            except (NotSmooth, SingularCovariance):
                return cls(False)
            after_end = information.newton
            if after_end is None or after_end[1] > MAX_NEXT_PROMISE * gain or not information.is_held:
                return cls(False)
        return cls(True, gain, changed / total)


def is_cheap(model: Model, source: Source, n_steps: int) -> bool:
    """Whether `Standing.of` costs at most a tenth of a fit of so many steps, by counting products."""
    if not is_one_pass(model, source):
        return False
    (K, d), is_shared, of_step = model.means.shape, model.covariances.is_shared, cost_of_step(model)
    n_b = model.covariances.second.n_numbers(d)
    n_all, n_own = K + K * d + (1 if is_shared else K) * n_b, 1 + d + n_b
    of_row = OF_PRODUCT * (n_all**2 + K * n_own**2) / 2 + OF_SCORE * K * n_own + N_OTHERS * of_step
    cost = 2 * (source.n_rows * of_row + OF_MATRIX * n_all**3 + OF_PASS)  # the information is made twice
    return bool(cost <= SHARE_OF_FIT * n_steps * source.n_rows * of_step)


def _compared(leaf: Block, engine: Engine[Any], sides: tuple[Parameters, Parameters]) -> Sums:
    """Compare two mixtures: Σ s log p(x) of both, the weight of rows with another label, and that of all rows."""
    weight = leaf.weight
    heights = [float((weight * engine.log_density(leaf, side)).sum()) for side in sides]
    one, other = (engine.labels(leaf, side) for side in sides)
    return Sums((*heights, float(weight[one != other].sum()), leaf.total_weight))
