"""How a model stands to a maximum of the objective, by its gradient and its information."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from gaussmix._src.em.curvature.certificate import OptimalityCertificate
from gaussmix._src.em.curvature.coordinates import are_bounds_equal, find_variances_at_bounds
from gaussmix._src.em.curvature.information import ObservedInformation, untrimmed_rows
from gaussmix._src.em.curvature.jacobian import NotSmooth
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.trace import Trace
from gaussmix._src.em.trimming.trimming import TrimmedSource
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.model import Model
from gaussmix._src.sources.base import Source

MAX_GAIN_ERROR = 0.25  # Newton's step may gain this part more or less than it promises
MAX_NEXT_GAIN_FRACTION = 0.15  # the next one may promise at most this part of what the first promises
# Nats per unit of row weight: rounding, and what is not exact in the cost of a ridge, hide smaller gains.
MIN_GAIN = 1e-8
MAX_STEP_LENGTH = 3.0  # the longest step of a mean or a log variance, in units of the component


def find_certificate(
    model: Model, objective: Objective, trace: Trace, source: Source, engine: Engine[Any]
) -> OptimalityCertificate:
    """Find out how a model stands to a maximum.

    Make three passes over the rows, or four for each parameter, as `Information.at_model`.

    The gain is ½ gᵀ I⁻¹ g, Newton's decrement. It counts only if a pass at the end of Newton's step finds as much,
    and if the next step promises little: where the objective is not a parabola on the way there, as on a slow ridge,
    the decrement may be wrong by any factor.

    The objective of trimmed rows is the highest that any choice of as many rows has. It has the derivatives of
    that of the retained rows, unless rows tie at the cutoff. Both ends of Newton's step count with the rows that they
    keep.
    """
    try:
        information = ObservedInformation.at_model(model, objective, trace, source, engine, are_frequency_weights=None)
    except NotSmooth as error:
        return OptimalityCertificate(why_not=str(error))
    except SingularCovarianceError:  # so near that differences of parameters reach it
        return OptimalityCertificate(False)
    with suppress(NotSmooth, SingularCovarianceError):
        return _check_newton_step(information, objective, trace, source, engine) or OptimalityCertificate(False)
    return OptimalityCertificate(False)


def _check_newton_step(
    information: ObservedInformation, objective: Objective, trace: Trace, source: Source, engine: Engine[Any]
) -> OptimalityCertificate | None:
    """Check that the objective rises as Newton's step promises; None if it does not, or if there is no such step."""
    coords, result = information.coordinates, information.newton_step
    if result is None or not information.is_optimal_at_bounds:
        return None
    step, gain = result
    if np.abs((coords.jacobian @ step)[coords.n_weights :]).max(initial=0.0) > MAX_STEP_LENGTH:
        return None
    model, end = coords.model, objective.nearest_feasible(coords.model_at(step))
    if not are_bounds_equal(find_variances_at_bounds(end), coords.variances_at_bounds):
        return None
    compared = partial(_compare_models, engine=engine, parameter_pair=(model.parameters, end.parameters))
    before, after, changed, total = untrimmed_rows(source, engine, model).sum_of(compared)
    if isinstance(source, TrimmedSource):
        after = untrimmed_rows(source, engine, end).sum_of(compared)[1]
    risen = after - before + objective.log_prior(end) - objective.log_prior(model)
    risen = risen / total - (objective.ridge_penalty(end) - objective.ridge_penalty(model))
    if abs(risen - gain) > MAX_GAIN_ERROR * gain + MIN_GAIN:
        return None
    if gain > MIN_GAIN:
        information = ObservedInformation.at_model(end, objective, trace, source, engine, are_frequency_weights=None)
        after_end = information.newton_step
        if after_end is None or after_end[1] > MAX_NEXT_GAIN_FRACTION * gain or not information.is_optimal_at_bounds:
            return None
    return OptimalityCertificate(True, gain, changed / total)


def _compare_models(leaf: Block, engine: Engine[Any], parameter_pair: tuple[Parameters, Parameters]) -> Sums:
    """Compare two mixtures: Σ s log p(x) of both, the weight of rows with another label, and that of all rows."""
    weight = leaf.weight
    heights = [float((weight * engine.log_density(leaf, side)).sum()) for side in parameter_pair]
    one, other = (engine.labels(leaf, side) for side in parameter_pair)
    return Sums((*heights, float(weight[one != other].sum()), leaf.total_weight))
