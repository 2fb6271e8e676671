"""From an estimator's checked parameters and rows to the best run of EM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import frexp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.covariances import Covariances
from gaussmix.em.initial import InitialMoments
from gaussmix.em.loop import run_em
from gaussmix.em.objective import Ridge
from gaussmix.em.restarts import Run
from gaussmix.em.ridge import automatic_ridge
from gaussmix.em.split_and_merge import first_model
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import Frozen, State, Trace, final
from gaussmix.engines.base import Engine
from gaussmix.errors import Outcome, SingularCovariance
from gaussmix.estimators.initial import check_given
from gaussmix.estimators.parameters import check_start_names
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Given, Source
from gaussmix.starts import STARTS, Partition
from gaussmix.starts.base import nearest_centre, repeated
from gaussmix.starts.sample import Distinct, distinct_rows
from gaussmix.waist.leaves import LEAF_ROWS

StartCall = Callable[[Rows, int, np.random.Generator], Given]
Init = str | Sequence[str] | Given | StartCall  # what `init_params` may be

MANY = 4 * LEAF_ROWS  # rows: with more, EM settles on the sample of the starts first
SMALLEST_EXPONENT = -1021  # of the unit of weights, so that it has a reciprocal


def unit_of_weights(largest: float) -> float:
    """The power of 2 that brings weights below 1, where the largest is this."""
    return 2.0 ** max(frexp(largest)[1], SMALLEST_EXPONENT)


@dataclass(frozen=True)
class InitialParameters:
    """Parameters that the user gives to start from; None for what the start is to find."""

    weights: Array | None = None
    means: Array | None = None
    covariances: Covariances | None = None

    @property
    def is_complete(self) -> bool:
        return not (self.weights is None or self.means is None or self.covariances is None)

    @property
    def is_empty(self) -> bool:
        return self.weights is None and self.means is None and self.covariances is None


@dataclass(frozen=True, eq=False)
class Data:
    """Rows to fit to, and what is found out about them once for all mixtures.

    Parameters
    ----------
    original : the rows, with the weights that the user gave.
    """

    original: Source

    @cached_property
    def unit(self) -> float:
        """The power of 2 that weights are divided by, so that weighted squares neither overflow nor vanish."""
        largest = self.original.profile.largest_weight
        return 1.0 if largest is None else unit_of_weights(largest)

    @cached_property
    def _reduced(self) -> Source:
        """The rows with weights below 1, which changes no bit of a fit."""
        return self.original if self.unit == 1.0 else self.original.reweighted(1 / self.unit)

    def source(self, given: Given | None = None) -> Source:
        """The rows with weights below 1, and with states of their own: for one fit."""
        return self._reduced.fresh() if given is None else self._reduced.with_given(given)

    @cached_property
    def sample(self) -> Distinct:
        """Rows for starts and for the automatic ridge."""
        return distinct_rows(self.source())

    @cached_property
    def ridge(self) -> Array:
        """The automatic ridge, (n_features,), of the weights as they were given: it counts rows."""
        return automatic_ridge(replace(self.sample, weight=self.sample.weight * self.unit))

    def objective(self, ridge: float | None) -> Ridge:
        """Maximum likelihood with this ridge on every variance, data units²; None for the automatic one."""
        return Ridge(self.ridge if ridge is None else np.full(self.original.n_features, ridge))

    def part(self, chosen: NDArray[np.bool_]) -> Data:
        """Some of the rows."""
        return Data(self.original.part(chosen))


@dataclass(frozen=True, eq=False)
class Fitting:
    """A mixture to be fitted to rows.

    Parameters
    ----------
    data : the rows.
    family, engine, n_components : what to fit, and on what.
    ridge : added to each variance, data units²; None for the automatic one.
    is_accelerated : as for `run_em`.
    """

    data: Data
    family: Family
    engine: Engine[Any]
    n_components: int
    ridge: float | None
    is_accelerated: bool = False

    @cached_property
    def source(self) -> Source:
        """The rows, with the states that this fit keeps beside them."""
        return self.data.source()

    @property
    def objective(self) -> Ridge:
        """What EM raises."""
        return self.data.objective(self.ridge)

    def continues(self, model: Model) -> bool:
        """Whether EM can go on from a model: it has the size and the structure of this fit."""
        return model.means.shape == (self.n_components, self.source.n_features) and model.family == self.family

    def runs(
        self, init: Init, given: InitialParameters, n_init: int, stopping: Stopping, rng: np.random.Generator
    ) -> list[Run]:
        """`n_init` runs from each start; one is enough where nothing is drawn."""
        names = check_start_names(init)
        starts: Sequence[Any] = repeated(names, n_init) if names else [init] * (n_init if callable(init) else 1)
        if given.is_complete or (names and given.means is not None):  # nothing is drawn
            starts = starts[:1]
        return [partial(self._run_from, start, given, stopping, rng) for start in starts]

    def _run_from(
        self,
        init: Given | StartCall | str,
        given: InitialParameters,
        stopping: Stopping,
        rng: np.random.Generator,
        begun: State | None,
    ) -> Iterator[State]:
        model = self.initial_model(init, given, stopping, rng) if begun is None else begun.model
        yield from self._states(model, stopping, trace=None if begun is None else begun.trace)

    def run_on(
        self, model: Model, stopping: Stopping, previous: float, collapsed: Iterable[int], begun: State | None
    ) -> Iterator[State]:
        """EM from the model of another fit. Components that it froze stay frozen, unless a ridge carries them now."""
        objective = self.objective
        trace = Trace(frozen={} if objective.floor.all() else dict.fromkeys(collapsed, Frozen.COLLAPSED))
        if begun is not None:
            model, trace = begun.model, begun.trace
        return self._states(model, stopping, previous, trace)

    def _states(
        self, model: Model, stopping: Stopping, previous: float = float("-inf"), trace: Trace | None = None
    ) -> Iterator[State]:
        of_run = self.source, self.engine, model, self.objective, stopping, previous, trace
        return run_em(*of_run, is_accelerated=self.is_accelerated)

    def initial_model(
        self, init: Given | StartCall | str, given: InitialParameters, stopping: Stopping, rng: np.random.Generator
    ) -> Model:
        """The model that EM starts from: what is given, and the rest from an M-step on shared rows.

        Where nothing is given and rows are `MANY`, it is where EM ends on the sample of the starts: few passes over all
        rows are left then.
        """
        if given.weights is not None and given.means is not None and given.covariances is not None:
            return Model(given.weights, given.means, given.covariances, self.family)
        found = self._found(init, given, stopping, rng)
        if given.is_empty:
            return found
        return Model(
            found.weights if given.weights is None else given.weights,
            found.means if given.means is None else given.means,
            found.covariances if given.covariances is None else given.covariances,
            self.family,
        )

    def _found(
        self, init: Given | StartCall | str, given: InitialParameters, stopping: Stopping, rng: np.random.Generator
    ) -> Model:
        source = self.source
        # Covariances that are given need not be found, so they can't be singular either.
        objective = self.data.objective(self.ridge if given.covariances is None else None)
        if isinstance(init, str) and given.means is not None:  # so that weights and covariances fit the given means
            partition = nearest_centre(given.means)
        elif isinstance(init, str):
            partition = STARTS[init](self.data.sample, self.engine, self.n_components, rng)
            if given.is_empty and stopping.max_steps > 0 and source.n_rows > MANY and partition.centres is not None:
                settled = self._settled_on_the_sample(partition, objective, stopping)
                if settled is not None:
                    return settled
        else:
            shared = init(_rows_for_a_callable(source), self.n_components, rng) if callable(init) else init
            shape = source.n_rows, self.n_components
            shares = check_given(shared, source.row_weight, shape, returned=callable(init))
            source, partition = self.data.source(shares), Partition()
        first = InitialMoments(source, self.engine, self.n_components, partition)
        return first_model(first, self.family, objective)

    def _settled_on_the_sample(self, partition: Partition, objective: Ridge, stopping: Stopping) -> Model | None:
        """Where EM ends on the sample of the starts; None where a component freezes there."""
        sample = ArraySource(self.data.sample.rows, self.data.sample.weight)
        first = InitialMoments(sample, self.engine, self.n_components, partition)
        try:
            start = first_model(first, self.family, objective)
            states = run_em(sample, self.engine, start, objective, stopping, is_accelerated=self.is_accelerated)
            end = final(states)
        except SingularCovariance:
            return None
        return None if end.trace.frozen or end.outcome is Outcome.NON_FINITE else end.model


def _rows_for_a_callable(source: Source) -> Rows:
    """All rows, as a view through which somebody else's function cannot change the user's data."""
    block = source.whole
    if block is None:
        raise ValueError("init_params can't be a callable for rows that are not one array in memory: name a start.")
    view = block.rows.view()
    view.flags.writeable = False
    return view
