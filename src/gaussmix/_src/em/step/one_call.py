"""EM runs on many tables, with one initial mixture per table. One call of the C++ core makes most of the EM runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import EMState, Trace, final_state
from gaussmix._src.em.step.core_steps import model_from_history
from gaussmix._src.em.step.loop import run_em
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.calls import EMSettings, FitSettings, InitialMixtures, RowGroups
from gaussmix._src.errors import StopReason
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.model import Model
from gaussmix._src.sources.base import Source

# If a source has more rows than this, separate runs are faster than one call, because the time of the calls is
# negligible, and the separate runs share one sorted order of the rows.
MAX_ROWS_OF_ONE_CALL = LEAF_ROWS // 8


def run_em_on_each(
    engine: Engine[Any],
    models: Sequence[Model],
    objective: Objective,
    stopping: StopRule,
    get_source: Callable[[int], Source],
    groups: RowGroups | None,
    choose_end: Callable[[Iterable[EMState]], EMState] = final_state,
) -> list[EMState]:
    """Run EM on each table, and return the final states, bit-identical to the final states of `run_em`.

    Parameters
    ----------
    engine, objective, stopping : the same arguments as in `run_em`.
    models : initial models, one per table, all with the same covariance structure and number of components.
    get_source : function that takes the index of a table and returns the source of its rows.
    groups : rows of all tables for one call of the C++ core; None if rows are not in memory or not supported.
    choose_end : function that returns the final state, given the states of a run that the C++ core does not make.
    """
    ends = {} if groups is None else _run_in_core(engine, models, objective, stopping, groups)
    for index, model in enumerate(models):
        if index not in ends:
            ends[index] = choose_end(run_em(get_source(index), engine, model, objective, stopping))
    return [ends[index] for index in range(len(models))]


def repeat_rows(source: Source, n_copies: int) -> RowGroups | None:
    """Return groups that repeat the rows of a source for several runs, or None if a single call would not be faster."""
    block = source.whole
    if block is None or block.n_rows > MAX_ROWS_OF_ONE_CALL or block.log_prior is not None:
        return None
    return RowGroups.from_block(block, 1.0, n_copies)


def _run_in_core(
    engine: Engine[Any], models: Sequence[Model], objective: Objective, stopping: StopRule, groups: RowGroups
) -> dict[int, EMState]:
    """Return a dict from table indices to final states, for the runs that the C++ core can finish."""
    algebra, n_components = models[0].family.algebra, models[0].n_components
    terms = objective.pack_for_core(n_components)
    if terms is None or algebra is None:
        return {}
    ridge, packed_prior = terms
    log_volume, *other_volumes = {np.inf if model.noise is None else model.noise.log_volume for model in models}
    if other_volumes or (packed_prior is not None and not packed_prior.is_map):
        return {}
    first_table = Block(0, groups.rows[: groups.n_rows[0]])
    if not engine.supports_core_steps(first_table, n_components, algebra, packed_prior, log_volume < np.inf):
        return {}
    arrays = ((model.all_weights, model.means, model.covariances.array) for model in models)
    initial = InitialMixtures(*map(np.array, zip(*arrays, strict=True)))
    settings = EMSettings(ridge, stopping.tolerance, stopping.max_steps, float("-inf"), packed_prior, log_volume)
    fits = engine.fit_many(groups, FitSettings(algebra, n_components, initial, settings))
    if fits is None:
        return {}
    result = dict[int, EMState]()
    for index, model in enumerate(models):
        history, has_converged = fits.run_history(index), bool(fits.has_converged[index])
        if history is None or not history.log_likelihood:
            continue
        # A run that ended for any other reason is repeated in Python, which reports the reason.
        if has_converged or len(history.log_likelihood) == stopping.max_steps:
            stop_reason = StopReason.CONVERGED if has_converged else StopReason.STEP_LIMIT
            trace = Trace(tuple(history.log_likelihood), tuple(history.objective))
            result[index] = EMState(model_from_history(history, model.family, model.noise), trace, stop_reason)
    return result
