"""The EM loop. On small tables an engine may make its usual steps (`engines.runner`); this one makes all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from gaussmix.em.accumulate import StepTask
from gaussmix.em.maximise import MAX_LOSS, MAX_LOSS_IN_SINGLE, loss, next_mixture
from gaussmix.em.stopping import Stopping
from gaussmix.em.stride import Strides
from gaussmix.em.trace import Frozen, Trace
from gaussmix.engines.base import Engine
from gaussmix.engines.native.float32 import suits_single
from gaussmix.errors import Outcome
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.sources.base import Source
from gaussmix.waist.moments import Moments

# Log-likelihoods of steps in float32 vary by up to 1e-7 or so: below this tolerance every step is in double.
TOLERANCE_IN_SINGLE = 1e-6

Report = Callable[[Trace], None]


def run_em(
    source: Source,
    engine: Engine[Any],
    start: Model,
    *,
    ridge: Array,
    stopping: Stopping,
    previous: float = float("-inf"),
    frozen: Mapping[int, Frozen] | None = None,
    report: Report | None = None,
) -> tuple[Model, Trace]:
    """Raise the likelihood of a mixture until it settles; Bishop (2006) section 9.2.2.

    Parameters
    ----------
    source : the rows.
    engine : sums responsibilities and moments over them.
    start : where to begin; its family is kept.
    ridge : (n_features,), added to every variance at each step, data units².
    stopping : when to end.
    previous : mean log-likelihood before the first step, where the run goes on from an earlier one.
    frozen : components that the earlier run froze, and why; they stay frozen.
    report : called with the trace whenever it has grown: by a step, or by several that the engine made by itself.

    Returns
    -------
    mixture : after the last step.
    trace : mean log-likelihoods before each step, frozen components, outcome.
    """
    mixture, trace = start, Trace(frozen=dict(frozen or {}))
    stride = Strides(source, engine, start.family, start.n_components, ridge, stopping)
    trace.outcome = None if stopping.max_steps > 0 else Outcome.STEP_LIMIT
    while trace.outcome is None:
        before = trace.last if trace.n_steps else previous
        following, course = mixture, list[float]()
        if not trace.frozen:
            following, course = stride(mixture, trace.n_steps, before)
        if not course:
            is_exact = stopping.tolerance < TOLERANCE_IN_SINGLE
            moments, following = em_step(source, engine, mixture, ridge, trace.frozen, is_exact=is_exact)
            course = [moments.log_likelihood / moments.row_weight]
        trace.log_likelihood.extend(course)
        trace.outcome = stopping.outcome(trace.n_steps, course[-2] if len(course) > 1 else before, course[-1])
        if trace.outcome is not Outcome.NON_FINITE:
            mixture = following
        if len(trace.frozen) == mixture.n_components:
            trace.outcome = Outcome.DEGENERATE
        if report is not None:
            report(trace)
    return mixture, trace


def em_step(
    source: Source,
    engine: Engine[Any],
    mixture: Model,
    ridge: Array,
    frozen: dict[int, Frozen],
    *,
    is_exact: bool = True,
) -> tuple[Moments, Model]:
    """One E- and M-step; components that get stuck enter `frozen`.

    Sums are taken about the engine's own anchor, and again about the new means where moving them there would
    cost digits: a first step from a far start, pooled moments of far components. About an anchor that is given, an
    engine sums in double: so it does if `is_exact`, and where float32 would decide what becomes of a component.
    """
    need = mixture.family.need(mixture.covariances)
    is_far = need.pooled and loss(_centre(mixture), mixture) > MAX_LOSS
    anchor = mixture.means if is_far or (is_exact and not need.pooled) else None
    task = StepTask(engine, mixture.n_components, mixture.parameters, need, anchor=anchor)
    moments = task.over(source)
    following, stuck = next_mixture(moments, mixture, engine, ridge, frozen)
    is_inexact = moments.in_single and not suits_single(following.parameters)
    max_loss = MAX_LOSS_IN_SINGLE if moments.in_single else MAX_LOSS
    if len(stuck) > len(frozen) or is_inexact or loss(moments.anchor, following) > max_loss:
        moments = replace(task, anchor=moments.means(mixture.means)).over(source)
        following, stuck = next_mixture(moments, mixture, engine, ridge, frozen)
    frozen.update(stuck)
    return moments, following


def _centre(mixture: Model) -> Array:
    """The mean of the mixture, near which an engine takes pooled moments."""
    centre: Array = (mixture.weights[:, None] * mixture.means).sum(axis=0)
    return centre
