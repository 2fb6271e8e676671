"""A search for a higher maximum of the likelihood: it tries `moves`, and EM judges them.

Ueda, Nakano, Ghahramani & Hinton (2000), Neural Computation 12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gaussmix.em.initial import InitialMoments
from gaussmix.em.loop import TOLERANCE_IN_SINGLE
from gaussmix.em.moves import LocalEM, Moved, Moves, View
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State
from gaussmix.engines.base import Engine
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.blas import one_blas_thread
from gaussmix.numerics.contract import contract
from gaussmix.sources.base import Source
from gaussmix.starts.sample import Distinct
from gaussmix.waist.need import Second

SEARCHED = 4, 250  # rows per component on which moves are tried: for each parameter, and at least
POLISHED = 20, 500  # the same for the last EM
FIRST, SETTLING = Stopping(1e-4, 30), Stopping(1e-5, 60)  # EM from the start, and from an accepted move
LAST = Stopping(1e-4, 30)  # EM on the larger sample
JUDGING, LONGER = Stopping(1e-5, 4), Stopping(1e-5, 16)  # EM after a move, and more EM after a promising one
LOOK_AHEAD = 16  # a move is promising if so many more gains like the last suffice
GAIN = 2e-5  # least gain of a move, nats per row
MOST_MOVES = 5  # for each component
FEW_ROWS, SOME_ROWS = 2, 10  # distinct rows for each number in a mean and its variance
FLAT = 5e-6  # relative to the mean covariance of the components at the start


def first_model(
    first: InitialMoments,
    family: Family,
    objective: Objective,
    source: Source | None = None,
    is_unwanted: Callable[[], bool] = lambda: False,
    tolerance: float = TOLERANCE_IN_SINGLE,
) -> Model:
    """The model that EM starts from: the M-step's, or that of a search from it if the partition asks for one.

    Arguments and errors are those of `InitialMoments.model`; `is_unwanted` is asked before each move whether to stop.
    """
    model, partition = first.model(family, objective, source, tolerance), first.partition
    if partition.searched is None:
        return model
    rng = np.random.default_rng(partition.seed)
    alone = split_and_merge(model.without_noise, partition.searched, first.engine, objective, rng, is_unwanted)
    return alone.beside(model.noise)


@one_blas_thread()
def split_and_merge(
    model: Model,
    sample: Distinct,
    engine: Engine[Any],
    objective: Objective,
    rng: np.random.Generator,
    is_unwanted: Callable[[], bool] = lambda: False,
) -> Model:
    """Move components until no move has helped for some time, on a part of a sample that suffices.

    A move is refused if it adds a component with almost no distinct rows, or a nearly flat one with few: maxima of the
    likelihood there say nothing about the data. `is_unwanted` is asked before each move whether to stop. Gives the
    model after the last move that helped, after EM; `model` itself if EM from it freezes a component.
    """
    if model.n_components == 1:
        return model
    em = LocalEM(model.family, engine, objective)
    rows, more = (_part(sample, model, wanted, rng) for wanted in (SEARCHED, POLISHED))
    settled = em.end(rows, model, FIRST)
    if settled is None:
        return model
    found = _Climb(rows, em, rng, settled, is_unwanted).best()
    polished = em.end(more, found, LAST) if len(more.rows) > len(rows.rows) else None
    return found if polished is None else polished.model


def _part(sample: Distinct, model: Model, wanted: tuple[int, int], rng: np.random.Generator) -> Distinct:
    """Draw rows: `wanted` says how many for each parameter, and the least number for each component."""
    per_parameter, least = wanted
    n_components = model.n_components
    return sample.part(n_components * max(least, per_parameter * model.n_parameters // n_components), rng)


class _Climb:
    """Tries moves of a settled state; parameters as in `split_and_merge`."""

    def __init__(
        self,
        rows: Distinct,
        em: LocalEM,
        rng: np.random.Generator,
        settled: State,
        is_unwanted: Callable[[], bool],
    ) -> None:
        self._rows, self._em, self._state, self._is_unwanted = rows, em, settled, is_unwanted
        self._within = _within(settled.model)
        variances = np.diagonal(self._within) if self._within.ndim == 2 else self._within
        self._moves = Moves(em, rng, np.sqrt(np.maximum(variances, np.finfo(np.float64).tiny)))
        self._view = View(rows, em, settled.model)
        self._n_unsound = self._count_unsound(self._view)
        self._left = MOST_MOVES * settled.model.n_components

    def best(self) -> Model:
        """Try all kinds of moves and return the best model."""
        n_components = self._state.model.n_components
        self._try(self._moves.ranked, max(4, n_components // 2))
        if self._em.family.is_shared:  # the bounds on splits do not hold there
            self._left = MOST_MOVES * n_components
            self._try(self._swaps, max(20, 2 * n_components))
        return self._state.model

    def _swaps(self, view: View) -> Iterator[Moved]:
        while True:
            yield self._moves.swapped(view)

    def _try(self, moves: Callable[[View], Iterator[Moved]], patience: int) -> None:
        """Accept each move that is better, until `patience` moves in a row are not."""
        n_failures, ranked = 0, moves(self._view)
        for _ in range(self._left):
            if self._is_unwanted():
                return
            if n_failures == patience or (moved := next(ranked, None)) is None:
                return
            if self._is_better(moved):
                n_failures, ranked = 0, moves(self._view)
            else:
                n_failures += 1

    def _is_better(self, moved: Moved) -> bool:
        """Accept a move if EM ends higher with it than without it, on its part in as many steps, then on all rows."""
        part = moved.part
        least = GAIN / part.share
        after, n_steps = self._em.end(part.rows, moved.model, JUDGING), JUDGING.max_steps
        if after is None or after.trace.last + LOOK_AHEAD * _last_gain(after) <= part.log_likelihood + least:
            return False
        if after.trace.last <= part.log_likelihood + least or _last_gain(after) > least:
            after, n_steps = self._em.end(part.rows, after.model, LONGER), n_steps + LONGER.max_steps
            if after is None or after.trace.last <= part.log_likelihood + least:
                return False
        unmoved = self._em.end(part.rows, part.model, Stopping(JUDGING.tolerance, n_steps))
        if unmoved is not None and after.trace.last <= unmoved.trace.last + least:
            return False
        settled = self._em.end(self._rows, part.within(self._state.model, after.model), SETTLING)
        if settled is None or settled.trace.last <= self._state.trace.last + GAIN:
            return False
        view = View(self._rows, self._em, settled.model)
        if self._count_unsound(view) > self._n_unsound:
            return False
        self._state, self._view = settled, view
        return True

    def _count_unsound(self, view: View) -> int:
        """Number of components with too few distinct rows, or with few and nearly flat compared with the start."""
        model = view.model
        n_numbers = model.n_features + 1 if self._within.ndim == 2 and not model.covariances.is_shared else 2
        n_rows = view.shares.sum(axis=1)
        is_unsound = n_rows < FEW_ROWS * n_numbers
        few = np.flatnonzero(~is_unsound & (n_rows < SOME_ROWS * n_numbers))
        if self._within.ndim == 2 and few.size:
            scale = np.sqrt(np.diagonal(self._within))
            scales = scale[:, None] * scale  # features in units of their own, so that none is lost beside a large one
            values, axes = np.linalg.eigh(self._within / scales)
            axes = axes / np.sqrt(np.maximum(values, np.finfo(np.float64).eps))
            relative = axes.T @ (model.covariances.take(few).dense() / scales) @ axes
            is_unsound[few] = np.linalg.eigvalsh(relative)[:, 0] < FLAT
        elif few.size:
            is_unsound[few] = (model.covariances.take(few).variances() < FLAT * self._within).any(axis=1)
        return int(is_unsound.sum())


def _within(model: Model) -> Array:
    """The mean covariance of the components: a matrix if the structure has matrices, else variances."""
    if model.family.kind.second is Second.FULL:
        matrix: Array = contract("k,kij->ij", model.weights, model.covariances.dense())
        return matrix
    return model.weights @ model.covariances.variances()


def _last_gain(state: State) -> float:
    """Gain of the last step, nats per row."""
    last = state.trace.objective[-2:]
    return max(0.0, last[-1] - last[0])
