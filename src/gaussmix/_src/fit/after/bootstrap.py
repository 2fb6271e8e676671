"""A bootstrap: EM again and again from where a fit ended, on rows with other weights or on drawn rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from gaussmix._src.em.curvature.parameter_layout import StackedModels
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import EMState, FreezeReason, Trace
from gaussmix._src.em.step.one_call import run_em_on_each
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.calls import RowGroups
from gaussmix._src.errors import Outcome
from gaussmix._src.fit.after.inference import ObjectiveMaximiser
from gaussmix._src.fit.problem import Problem
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.mixture.sampling import sample
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices, Rows
from gaussmix._src.numerics.elementary import log
from gaussmix._src.numerics.rows import unit_of_weights
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source

RESAMPLING_KINDS = "weighted", "nonparametric", "parametric", "jackknife"
MAX_REFIT_STEPS = 1_000  # of EM in a refit
MAX_DRAWN_VALUES = 2**22  # weights or cells of drawn rows in memory at a time, 32 MB
MAX_COMPARED_ROWS = 2**13  # on which the components of a refit are found again
REFIT_START_TOL = 1e-9  # nats per unit of row weight, of EM before the first refit
MIN_SIMILARITY = 0.5  # similarity of the rows of a component before and after: with less, it is another one
MIN_RELATIVE_WEIGHT = 1e-9  # of the largest weight: rows with less move nothing, and rounding would be all that is seen
MAX_COLLAPSED_FRACTION = 1 / 3  # of the refits
MAX_FAST_REFIT_COST = 1_000_000  # rows · components · (features² + 8) of 200 refits by the core in a few seconds
PYTHON_COST_FACTOR = 40  # times, refits that are not the core's, of few rows
INCOMPLETE_COST_FACTOR = 8  # times, those of rows that are known in part


class Refits(NamedTuple):
    """What became of a mixture in many refits.

    Parameters
    ----------
    model : the mixture that they began at, at its maximum.
    initial_objective : the objective of the fit, nats per unit of row weight.
    parameter_draws : (n_kept, q), natural parameters of each refit, its components in the order of `model`; without
        those that collapsed.
    draw_weights : (n_kept,), what the square of each counts: 1, or in the jackknife w / g² · (N − g) / N, of a row of
        weight w without g of it, among rows of weight N. If weights don't count rows, each counts (N − 1) / N.
    n_refits : how many were made.
    n_collapsed : in which a component fell onto too few rows, or lost them.
    n_relabelled : whose components had to be brought into order.
    n_at_other_maximum : that ended at another maximum: a component shares less than half of its rows with that of
        `model`.
    n_unconverged : that had not converged after `MAX_REFIT_STEPS` steps.
    degenerate_components : components that had collapsed or lost their rows in the fit itself.
    """

    model: Model
    initial_objective: float
    parameter_draws: Array
    draw_weights: Array
    n_refits: int
    n_collapsed: int
    n_relabelled: int
    n_at_other_maximum: int
    n_unconverged: int
    degenerate_components: Sequence[int]


class Resampling(NamedTuple):
    """How rows are drawn for refits.

    Parameters
    ----------
    kind : "weighted", row weights are drawn from a Dirichlet distribution (Newton & Raftery 1994, JRSS B 56);
        "nonparametric", rows are drawn again (Efron 1979); "parametric", rows are drawn from the mixture; "jackknife",
        each row is left out in turn.
    n_resamples : how often; the jackknife leaves out every row.
    concentration : of the Dirichlet distribution; 1 for a uniform one.
    em_tolerance : of EM, nats per unit of row weight.
    is_frequency : whether row weights count rows.
    """

    kind: str
    n_resamples: int
    concentration: float = 1.0
    em_tolerance: float = 1e-6
    is_frequency: bool = True


RefitBatches = Iterator[tuple[list[EMState], Array]]


def is_refit_fast(problem: Problem, model: Model) -> bool:
    """Whether 200 refits to weighted rows take seconds, by their number and by who makes them."""
    source, objective = problem.source, problem.objective
    terms, data = objective.pack_for_core(model.n_components), problem.data
    is_usual = terms is not None
    if terms is not None and model.noise is not None:
        is_usual = terms[1] is None and not source.is_incomplete
    is_by_core = is_usual and model.family.algebra is not None and data.labels is None and data.trimming is None
    work = source.n_rows * model.n_components * (model.n_features**2 + 8)
    work *= PYTHON_COST_FACTOR if not is_by_core else INCOMPLETE_COST_FACTOR if source.is_incomplete else 1
    return source.whole is not None and work <= MAX_FAST_REFIT_COST


def refit_resamples(
    problem: Problem, model: Model, resampling: Resampling, rng: np.random.Generator, collapsed: Collection[int] = ()
) -> Refits:
    """Refit a mixture from the maximum near a model.

    Raises
    ------
    ValueError : more than a third of the refits collapsed, or these rows don't suit the kind.
    """
    total = problem.source.row_totals.total_weight * problem.data.weight_unit
    ascent = ObjectiveMaximiser(problem, total)
    trace = Trace(frozen_components=dict.fromkeys(collapsed, FreezeReason.COLLAPSED))
    em_end = ascent.run_em_from(EMState(model, trace), REFIT_START_TOL)
    model, before = em_end.model, em_end.trace.objective[0]
    component_rows, already = _ComponentMatcher.from_model(problem, model), [*ascent.find_degenerate(model)]
    draws, counts, tally = list[Array](), list[Array](), np.zeros(4, int)
    for states, some in _iterate_refits(problem, model, resampling, rng):
        stacked = StackedModels.from_models([state.model for state in states])
        degenerate = ascent.degenerate_mask(stacked)
        for i, state in enumerate(states):
            degenerate[i, [*state.trace.frozen_components]] = True
        degenerate[:, already] = False
        used = ~degenerate.any(axis=1)
        orders, similarities = component_rows.match_components(stacked)
        reordered = (orders != np.arange(orders.shape[1])).any(axis=1)
        are_elsewhere = similarities.min(axis=1) < MIN_SIMILARITY
        are_unfinished = np.array([state.outcome is not Outcome.CONVERGED for state in states])
        tally += [(~used).sum(), (used & reordered).sum(), (used & are_elsewhere).sum(), (used & are_unfinished).sum()]
        draws.append(stacked.to_vectors(orders)[used])
        counts.append(some[used])
    n_draws = sum(map(len, draws))
    n = int(tally[0]) + n_draws
    if tally[0] > MAX_COLLAPSED_FRACTION * n:
        raise ValueError(
            f"bootstrap needs components that refits keep, but one collapsed in {tally[0]:,} of {n:,} refits. Lower "
            f"n_components, raise {'concentration or ' if resampling.concentration < 1 else ''}reg_covar, or set "
            "prior='default'."
        )
    n_collapsed, n_relabelled, n_at_other_maximum, n_unfinished = tally.tolist()
    numbers = n, n_collapsed, n_relabelled, n_at_other_maximum, n_unfinished
    return Refits(model, before, np.concatenate(draws), np.concatenate(counts), *numbers, sorted(already))


def _iterate_refits(problem: Problem, model: Model, resampling: Resampling, rng: np.random.Generator) -> RefitBatches:
    """The ends of some refits at a time, and how often each counts."""
    if resampling.kind == "parametric":
        yield from _refit_drawn_rows(problem, model, resampling, rng)
        return
    source = problem.source
    weight = np.ones(source.n_rows) if source.row_weight is None else source.row_weight
    collect, counts = weight * problem.data.weight_unit, np.ones(resampling.n_resamples)
    left_out = np.arange(0)
    if resampling.kind == "jackknife":
        left_out = np.flatnonzero(weight > MIN_RELATIVE_WEIGHT * weight.max())
        own = collect[left_out] if resampling.is_frequency else np.ones(len(left_out))
        removed, total = np.minimum(own, 1.0), own.sum()
        counts = own / removed * ((total - removed) / total) / removed
    at_once = max(1, MAX_DRAWN_VALUES // source.n_rows)
    for first in range(0, len(counts), at_once):
        some = counts[first : first + at_once]
        weights = _draw_row_weights(resampling, collect, len(some), left_out[first : first + at_once], rng)
        yield _refit_reweighted_rows(problem, model, resampling, weights), some


def _draw_row_weights(how: Resampling, row_weight: Array, n: int, omitted: Indices, rng: np.random.Generator) -> Array:
    """Row weights (n, n_rows) of some refits, in place of these (n_rows,)."""
    if how.kind == "jackknife":
        weights = np.repeat(row_weight[None], n, axis=0)
        removed = np.minimum(row_weight[omitted], 1.0) if how.is_frequency else row_weight[omitted]
        weights[np.arange(n), omitted] -= removed
        return weights
    if how.kind == "nonparametric":
        n_rows = round(float(row_weight.sum())) if how.is_frequency else int(np.count_nonzero(row_weight))
        chances = row_weight / row_weight.sum() if how.is_frequency else (row_weight > 0) / np.count_nonzero(row_weight)
        drawn = rng.multinomial(n_rows, chances, size=n).astype(np.float64)
        return drawn if how.is_frequency else drawn * row_weight
    if how.is_frequency and (how.concentration != 1 or (row_weight != 1).any()):
        # as many rows of weight 1: their Dirichlet numbers add up to gamma numbers
        gammas = rng.standard_gamma(how.concentration * row_weight, size=(n, len(row_weight)))
    elif how.concentration != 1:
        gammas = rng.standard_gamma(how.concentration, size=(n, len(row_weight))) * row_weight
    else:
        gammas = -log(1 - rng.random(n * len(row_weight))).reshape(n, -1) * row_weight
    return np.asarray(gammas * (row_weight.sum() / gammas.sum(axis=1, keepdims=True)))


def _refit_reweighted_rows(problem: Problem, model: Model, resampling: Resampling, row_weights: Array) -> list[EMState]:
    """The ends of refits to the same rows with other weights, (n, n_rows)."""
    source, n_rows = problem.source, problem.source.n_rows
    block, groups = source.whole, None
    data, known = problem.data, problem.data.labels
    if block is not None and known is None and data.trimming is None:
        nothing, each = np.zeros(len(row_weights), np.int64), np.arange(len(row_weights)) * n_rows
        unit = unit_of_weights(float(row_weights.max()))
        below_1 = row_weights / unit
        totals = below_1.sum(axis=1), np.full(len(row_weights), unit / data.weight_unit)  # priors count in this unit
        groups = RowGroups(block.rows, below_1.ravel(), nothing, nothing + n_rows, *totals, each, block.error)

    log_prior = None if known is None else known.log_prior(problem.n_components, model.noise is not None)

    def make_source(index: int) -> Source:
        weight = row_weights[index] / problem.data.weight_unit  # priors count in this unit
        reweighted = problem.data.raw_source.changed(partial(_replace_row_weight, row_weight=weight), n_rows)
        reweighted = reweighted if log_prior is None else reweighted.with_log_prior(*log_prior)
        return problem.data.trim_source(reweighted)

    stopping = StopRule(resampling.em_tolerance, MAX_REFIT_STEPS)
    return run_em_on_each(problem.engine, [model] * len(row_weights), problem.objective, stopping, make_source, groups)


def _refit_drawn_rows(problem: Problem, model: Model, resampling: Resampling, rng: np.random.Generator) -> RefitBatches:
    """The ends of refits to rows that are drawn from the mixture, as many as were fitted."""
    n_rows = max(2, round(problem.source.row_totals.total_weight * problem.data.weight_unit))
    if problem.data.labels is not None:
        raise ValueError("kind='parametric' draws rows without labels. Use kind='weighted'.")
    if problem.source.is_incomplete:
        raise ValueError("kind='parametric' needs complete rows without errors. Use kind='weighted'.")
    if model.noise is not None and model.noise.bounds is None:
        raise ValueError("kind='parametric' needs noise in a box to draw from. Use kind='weighted'.")
    for tables in simulate_tables(model, n_rows, resampling.n_resamples, rng, problem.engine):
        each = np.arange(len(tables))
        models, stopping = [model] * len(tables), StopRule(resampling.em_tolerance, MAX_REFIT_STEPS)
        yield fit_tables(problem, models, tables, each, stopping), np.ones(len(tables))


def simulate_tables(
    model: Model, n_rows: int, n_tables: int, rng: np.random.Generator, engine: Engine[Any]
) -> Iterator[list[Array]]:
    """Tables of rows drawn from a mixture, some of the `n_tables` at a time."""
    at_once = max(1, MAX_DRAWN_VALUES // (n_rows * model.n_features))
    for first in range(0, n_tables, at_once):
        yield [sample(model, n_rows, rng, None, engine)[0] for _ in range(min(at_once, n_tables - first))]


def fit_tables(
    problem: Problem, models: list[Model], tables: Sequence[Rows], table_indices: Indices, stopping: StopRule
) -> list[EMState]:
    """The ends of EM from models, each on the table of its index; all tables have as many rows."""
    n_rows, n, groups = len(tables[0]), len(models), None
    if n_rows <= LEAF_ROWS and problem.data.trimming is None:
        size, rows = np.full(n, n_rows), tables[0] if len(tables) == 1 else np.concatenate(tables)
        groups = RowGroups(rows, None, table_indices * n_rows, size, size.astype(float), np.ones(n))

    def make_source(index: int) -> Source:
        return problem.data.trim_source(ArraySource(tables[table_indices[index]]))

    return run_em_on_each(problem.engine, models, problem.objective, stopping, make_source, groups)


def _replace_row_weight(block: Block, row_weight: Array) -> Iterable[Block]:
    return [replace(block, row_weight=row_weight[block.row_slice])]


@dataclass(frozen=True, eq=False)
class _ComponentMatcher:
    """The rows of each component, to find it again in other mixtures.

    Parameters
    ----------
    rows : some of the rows.
    engine : of the problem.
    responsibilities : (n_rows, n_components), responsibilities.
    has_labels : whether labels name the components, which then keep their order.
    """

    rows: Block
    engine: Engine[Any]
    responsibilities: Array
    has_labels: bool

    @classmethod
    def from_model(cls, problem: Problem, model: Model) -> _ComponentMatcher:
        rows = problem.data.raw_source.sample(MAX_COMPARED_ROWS)
        responsibilities = StackedModels.from_models([model]).responsibilities(rows, problem.engine)
        return cls(rows, problem.engine, responsibilities, problem.data.labels is not None)

    def match_components(self, mixtures: StackedModels) -> tuple[Indices, Array]:
        """The component of each mixture that has the rows of each of these, and their similarity; (n, n_components).

        Tanimoto's similarity of the responsibilities, Σ γ γ' / (Σ γ² + Σ γ'² − Σ γ γ'), which is Jaccard's of sets.
        Below ½, Hennig (2007, Computational Statistics & Data Analysis 52) calls a cluster dissolved.
        """
        n, K = mixtures.weights.shape
        orders, similarities = np.tile(np.arange(K), (n, 1)), np.empty((n, K))
        weight = self.rows.weight
        own, at_once = weight @ self.responsibilities**2, max(1, MAX_DRAWN_VALUES // (self.rows.n_rows * K))
        for first in range(0, n, at_once):
            part = slice(first, first + at_once)
            some = mixtures.select(part)
            responsibilities = some.responsibilities(self.rows, self.engine)
            both = ((weight[:, None] * self.responsibilities).T @ responsibilities).reshape(K, -1, K).swapaxes(0, 1)
            theirs = (weight @ responsibilities**2).reshape(-1, 1, K)
            similarity = both / np.maximum(own[:, None] + theirs - both, np.finfo(np.float64).tiny)
            for i, each in enumerate(similarity):
                if not self.has_labels and (each.argmax(axis=1) != np.arange(K)).any():
                    orders[first + i] = linear_sum_assignment(-each)[1]
            similarities[part] = np.take_along_axis(similarity, orders[part, :, None], axis=2)[:, :, 0]
        return orders, similarities
