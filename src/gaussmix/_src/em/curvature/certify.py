"""Check whether a model is near a maximum of the objective, from the gradient and the observed information."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from gaussmix._src.em.curvature.coordinates import are_bounds_equal, find_variances_at_bounds
from gaussmix._src.em.curvature.information import ObservedInformation, untrimmed_rows
from gaussmix._src.em.curvature.jacobian import NotSmooth
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.trace import TIME_IS_OVER, OptimalityCertificate, Trace
from gaussmix._src.em.trimming.trimming import TrimmedSource
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.model import Model
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.waiting import TimeIsOver, check_time, cut_in_time

# Maximum difference between the actual and the predicted gain of a Newton step, as a fraction of the predicted gain.
MAX_GAIN_ERROR = 0.25
# Maximum predicted gain of the second Newton step, as a fraction of the predicted gain of the first Newton step.
MAX_NEXT_GAIN_FRACTION = 0.15
# Gains below this number of nats per unit of row weight cannot be verified, because of rounding errors, and because the
# penalty of a ridge is approximate.
MIN_GAIN = 1e-8
MAX_STEP_LENGTH = 3.0  # limit on the change of a mean (in standard deviations) or of a log variance in a Newton step


def compute_certificate(
    model: Model, objective: Objective, trace: Trace, source: Source, engine: Engine[Any]
) -> OptimalityCertificate:
    """Check whether a model is near a maximum of the objective, and return a certificate.

    The check reads the rows three times, or four times per parameter if there are no formulas for the scores
    (`information.has_score_formulas`).

    The predicted gain is Newton's decrement, ½ gᵀ I⁻¹ g. The prediction is accepted only if a pass with the model at
    the end of Newton's step finds about the same gain, and if the next Newton step predicts little gain. If one of
    these two tests fails, for example on a long ridge of the likelihood, the objective is not quadratic, and the
    decrement may be wrong by any factor.

    With trimming, the objective is the maximum over all choices of rows with the same total weight. The derivatives of
    this maximum equal the derivatives of the objective of the retained rows, unless several rows tie at the cutoff. The
    models at both ends of Newton's step are evaluated with the rows that each model retains.

    When `max_time` has passed, no further pass begins, and the certificate reports this.
    """
    try:
        with cut_in_time(True):
            return _make_certificate(model, objective, trace, source, engine)
    except TimeIsOver:
        return OptimalityCertificate(why_not=TIME_IS_OVER)


def _make_certificate(
    model: Model, objective: Objective, trace: Trace, source: Source, engine: Engine[Any]
) -> OptimalityCertificate:
    """Return the certificate; raise `TimeIsOver` when `max_time` has passed."""
    try:
        information = ObservedInformation.at_model(model, objective, trace, source, engine, are_frequency_weights=None)
    except NotSmooth as error:
        return OptimalityCertificate(why_not=str(error))
    except SingularCovarianceError:  # numerical differentiation reached a singular covariance
        return OptimalityCertificate(False)
    with suppress(NotSmooth, SingularCovarianceError):  # Newton's step leads to a model without second derivatives
        return _check_newton_step(information, objective, trace, source, engine) or OptimalityCertificate(False)
    return OptimalityCertificate(False)


def _check_newton_step(
    information: ObservedInformation, objective: Objective, trace: Trace, source: Source, engine: Engine[Any]
) -> OptimalityCertificate | None:
    """Return the certificate if Newton's step exists and gains as much as predicted; otherwise None."""
    coords, result = information.coordinates, information.newton_step
    if result is None or not information.is_optimal_at_bounds:
        return None
    step, gain = result
    if np.abs((coords.jacobian @ step)[coords.n_weights :]).max(initial=0.0) > MAX_STEP_LENGTH:
        return None
    model, end = coords.model, objective.nearest_feasible(coords.model_at(step))
    if not are_bounds_equal(find_variances_at_bounds(end), coords.variances_at_bounds):
        return None
    check_time()
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
    """Return sums over rows with weights s: Σ s log p(x) under each mixture, Σ s if the two labels differ, and Σ s."""
    weight = leaf.weight
    heights = [float((weight * engine.log_density(leaf, side)).sum()) for side in parameter_pair]
    one, other = (engine.labels(leaf, side) for side in parameter_pair)
    return Sums((*heights, float(weight[one != other].sum()), leaf.total_weight))
