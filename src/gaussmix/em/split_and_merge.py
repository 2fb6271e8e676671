"""A search for a higher maximum of the likelihood than the one that EM finds: `moves` are tried and judged by EM.

Ueda, Nakano, Ghahramani & Hinton (2000), Neural Computation 12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gaussmix.em.initial import InitialMoments
from gaussmix.em.moves import ROWS_PER_FEATURE, Fits, Moves
from gaussmix.em.objective import Objective
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import State
from gaussmix.engines.base import Engine
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.blas import one_blas_thread
from gaussmix.numerics.pieces import pieces
from gaussmix.sources.base import Source
from gaussmix.starts.sample import Distinct
from gaussmix.waist.need import Second

ROWS_PER_PARAMETER, LEAST_ROWS = 20, 500  # of each component, for EM to judge a move
RANKING_ROWS = 8_000  # at least, to rank moves
FIRST, SETTLING = Stopping(1e-5, 300), Stopping(1e-5, 60)  # EM from the start, and from a move that was better
JUDGING, LONGER = Stopping(1e-5, 4), Stopping(1e-5, 16)  # EM after a move; the second where it may reach the aim
LOOK_AHEAD = 16  # steps with the gain of the last one that may still reach it
GAIN = 2e-5  # nats per row: what a move has to gain
MOST_MOVES = 5  # for each component
FEW_ROWS, SOME_ROWS = 2, 10  # distinct rows for each number in a mean and its variance
FLAT = 5e-6  # of the covariance within the components of the start


def first_model(
    first: InitialMoments,
    family: Family,
    objective: Objective,
    source: Source | None = None,
    is_unwanted: Callable[[], bool] = lambda: False,
) -> Model:
    """The model that EM starts from: that of the M-step, or of a search from it where the partition asks for one.

    Parameters
    ----------
    first, family, objective, source : see `InitialMoments.model`.
    is_unwanted : asked before each move whether to stop the search.

    Raises
    ------
    SingularCovariance : a component has too few distinct rows for a covariance; the message names it.
    """
    model, partition = first.model(family, objective, source), first.partition
    if partition.searched is None:
        return model
    rng = np.random.default_rng(partition.seed)
    return split_and_merge(model, partition.searched, first.engine, objective, rng, is_unwanted)


@one_blas_thread()
def split_and_merge(
    model: Model,
    sample: Distinct,
    engine: Engine[Any],
    objective: Objective,
    rng: np.random.Generator,
    is_unwanted: Callable[[], bool] = lambda: False,
) -> Model:
    """Move components until no move has helped for some time.

    A move is refused where it adds a component that has nearly no distinct rows, or few and is nearly flat: there the
    likelihood has maxima that say nothing of the data.

    Parameters
    ----------
    model : where to begin.
    sample : the rows, or a part of them; a part of that is taken where it is enough.
    engine, objective : of the fit.
    rng : draws that part, and directions of splits.
    is_unwanted : asked before each move whether to stop.

    Returns
    -------
    model : with a higher objective than EM from `model` reaches on these rows; `model` if there is none.
    """
    n_components, n_features = model.means.shape
    if n_components == 1:
        return model
    wanted = max(LEAST_ROWS, ROWS_PER_PARAMETER * model.n_parameters // n_components)
    rows = _part(sample, n_components * wanted, rng)
    wanted = max(RANKING_ROWS, ROWS_PER_FEATURE * n_components * (n_features + 1))
    ranking = _part(rows, wanted, rng)
    fits = Fits(model.family, engine, objective)
    settled = fits.end(rows, model, FIRST)
    if settled is None:
        return model
    return _Search(rows, ranking, fits, rng, settled, is_unwanted).best()


class _Search:
    """Tries moves of a settled state; parameters as in `split_and_merge`."""

    def __init__(
        self,
        rows: Distinct,
        ranking: Distinct,
        fits: Fits,
        rng: np.random.Generator,
        settled: State,
        is_unwanted: Callable[[], bool],
    ) -> None:
        self._rows, self._fits, self._state, self._is_unwanted = rows, fits, settled, is_unwanted
        self._within = _within(settled.model)
        variances = np.diagonal(self._within) if self._within.ndim == 2 else self._within
        self._moves = Moves(ranking, fits, rng, np.sqrt(np.maximum(variances, np.finfo(np.float64).tiny)))
        self._n_unsound = self._count_unsound(settled.model)
        self._left = MOST_MOVES * settled.model.n_components

    def best(self) -> Model:
        """The model that no move makes better."""
        n_components = self._state.model.n_components
        self._try(self._moves.ranked, max(4, n_components // 2))
        if self._fits.family.is_shared:  # bounds of splits are none there
            self._left = MOST_MOVES * n_components
            self._try(self._swaps, max(20, 2 * n_components))
        return self._state.model

    def _swaps(self, model: Model) -> Iterator[Model]:
        while True:
            yield self._moves.swapped(model)

    def _try(self, moves: Callable[[Model], Iterator[Model]], patience: int) -> None:
        """Go on from each move that is better, until so many in a row are not."""
        n_failures, moved = 0, moves(self._state.model)
        for _ in range(self._left):
            if n_failures == patience or self._is_unwanted() or (model := next(moved, None)) is None:
                return
            after = self._better(model)
            if after is None:
                n_failures += 1
            else:
                self._state, n_failures = after, 0
                moved = moves(after.model)

    def _better(self, moved: Model) -> State | None:
        """Where EM leads from a moved model; None if it is no better than where it leads from here in as many steps."""
        after = self._fits.end(self._rows, moved, JUDGING)
        if after is None:
            return None
        if after.trace.last <= self._aim(JUDGING):
            if after.trace.last + LOOK_AHEAD * _last_gain(after) <= self._aim(LONGER):
                return None
            after = self._fits.end(self._rows, after.model, LONGER)
            if after is None or after.trace.last <= self._aim(LONGER):
                return None
        settled = self._fits.end(self._rows, after.model, SETTLING)
        return settled if settled is not None and self._count_unsound(settled.model) <= self._n_unsound else None

    def _aim(self, stopping: Stopping) -> float:
        """What a move has to reach: the objective, and what EM might gain without it."""
        return self._state.trace.last + GAIN + stopping.max_steps * _last_gain(self._state)

    def _count_unsound(self, model: Model) -> int:
        """Components with too few distinct rows; or with few, and nearly flat beside the components of the start."""
        n_numbers = model.n_features + 1 if self._within.ndim == 2 and not model.covariances.is_shared else 2
        n_rows = np.zeros(model.n_components)
        for part in pieces((len(self._rows.rows), model.n_components)):
            n_rows += np.exp(self._fits.log_shares(self._rows.rows[part], model)[0]).sum(axis=0)
        is_unsound = n_rows < FEW_ROWS * n_numbers
        few = np.flatnonzero(~is_unsound & (n_rows < SOME_ROWS * n_numbers))
        if self._within.ndim == 2 and few.size:
            values, axes = np.linalg.eigh(self._within)
            axes = axes / np.sqrt(np.maximum(values, np.finfo(np.float64).tiny))
            relative = axes.T @ model.covariances.take(few).dense() @ axes
            is_unsound[few] = np.linalg.eigvalsh(relative)[:, 0] < FLAT
        elif few.size:
            is_unsound[few] = (model.covariances.take(few).variances() < FLAT * self._within).any(axis=1)
        return int(is_unsound.sum())


def _within(model: Model) -> Array:
    """The mean covariance of the components: a matrix where those have matrices, else variances."""
    if model.family.kind.second is Second.FULL:
        matrix: Array = np.einsum("k,kij->ij", model.weights, model.covariances.dense())
        return matrix
    return model.weights @ model.covariances.variances()


def _last_gain(state: State) -> float:
    """Of the last step, nats per row."""
    last = state.trace.objective[-2:]
    return max(0.0, last[-1] - last[0])


def _part(rows: Distinct, wanted: int, rng: np.random.Generator) -> Distinct:
    """About so many of the rows, drawn by their weight; all where that is nearly all."""
    if len(rows.weight) <= 1.3 * wanted:
        return rows
    places, times = np.unique(rows.draw_many(rng, wanted), return_counts=True)
    return Distinct(rows.rows[places], times.astype(np.float64))
