"""Births, merges and deletions of components in variational Bayes.

A move (a birth, a merge or a deletion) is accepted if it raises the lower bound on the log evidence. A deletion that
lowers the bound by a negligible amount is also accepted, because the rows then hardly support the deleted component.
See Hughes & Sudderth (2013), NIPS 26. `em.bayes.births` and `em.bayes.merges` propose moves; this module computes the
bound from all rows, and accepts or rejects the moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.bayes.births import BirthProposals
from gaussmix._src.em.bayes.merges import deletion_gains, find_merges, merge_pairs, merge_sums
from gaussmix._src.em.bayes.variational import VariationalObjective
from gaussmix._src.em.bayes.variational_posterior import VariationalPosterior
from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.step.fast_path import FastPath
from gaussmix._src.em.step.loop import em_step
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.calls import MAX_STEPS_OF_CALL
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.parameters import LIMITS
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.core import core, native_target
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source

# After births, EM stops when a step raises the bound by less than this number of nats per row.
MIN_STEP_GAIN = 1e-4
# Two fits count as the same solution if their bounds differ by less than this number of nats per row.
MAX_BOUND_DIFFERENCE = 1e-6
N_RANDOM_CUTS = 256  # number of random numbers that the C++ core uses to split components
MAX_ESTIMATION_ROWS = 2**14  # maximum number of rows from which the gains of moves are estimated
# The mark of a component is SPLIT_REFUSED if its split was rejected, NO_SPLIT if no split was found, and 0 if no split
# was tried.
SPLIT_REFUSED, NO_SPLIT = 1, 2

Marks = NDArray[np.int8]


class EvaluatedModel(NamedTuple):
    """A model, its lower bound on the log evidence in nats, and the model after one more EM step."""

    model: Model
    bound: float
    next_model: Model


class PrunedModel(NamedTuple):
    """Model after merges or deletions, indices of the remaining components, and the merged pairs of components."""

    model: Model
    retained_components: Indices
    merged_pairs: list[tuple[int, int]]


@dataclass(eq=False)
class BirthMergeMoves:
    """Search for births, merges and deletions that improve a variational posterior.

    Parameters
    ----------
    source, engine, objective : source of the rows, engine, and objective of the fit, as in `run_em`.
    sample : sampled rows from which the splits of components are computed.
    max_components : maximum number of components after births.
    rng : random generator for the splits of components.
    should_stop : function that is called before each move. If `should_stop` returns true, no more moves are made.
    """

    source: Source
    engine: Engine[Any]
    objective: VariationalObjective
    sample: DistinctRows
    max_components: int
    rng: np.random.Generator
    should_stop: Callable[[], bool]
    bound_at_last_births: float = field(default=-np.inf, init=False)  # lower bound when births were last tried
    # Lower bound of the converged fit to the rows that `condense_rows` returns.
    sample_bound: float = field(default=-np.inf, init=False)
    # The mark (SPLIT_REFUSED, NO_SPLIT or 0) of each component in the fit to the previous subsample.
    split_marks: Marks | None = field(default=None, init=False)
    _context: Any = field(default=None, init=False)  # context from the engine's previous pass

    def for_sample(self, sample: DistinctRows) -> BirthMergeMoves:
        """Return an object that makes moves on the given sample of rows instead of on all rows."""
        source = ArraySource(sample.rows, sample.weight)
        source.may_miss = self.source.may_miss
        objective = replace(self.objective, total_weight=self.objective.weight_unit * float(sample.weight.sum()))
        return replace(self, source=source, objective=objective, sample=sample)

    @cached_property
    def _birth_proposals(self) -> BirthProposals:
        return BirthProposals(self.sample, self.rng)

    @cached_property
    def _fast_path(self) -> FastPath:
        """Return the object that runs EM steps in the C++ core, without a Python loop."""
        prior, stopping = self.objective.gauss_wishart, StopRule(MIN_STEP_GAIN, core.STEPS_AFTER_BIRTHS - 1)
        return FastPath(self.source, self.engine, prior.family, self.max_components, self.objective, stopping)
