"""From an estimator's checked parameters and rows to the best run of EM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.covariances import Covariances
from gaussmix.door.initial import check_given
from gaussmix.door.parameters import check_start_names
from gaussmix.em.fast_path import model_of
from gaussmix.em.guided import guided
from gaussmix.em.initial import InitialMoments
from gaussmix.em.known import Known
from gaussmix.em.loop import run_em
from gaussmix.em.objective import Objective, Ridge
from gaussmix.em.remedies import Remedy, run_with
from gaussmix.em.restarts import Run
from gaussmix.em.restrictions import Moments, Restrictions
from gaussmix.em.ridge import automatic_ridge
from gaussmix.em.split_and_merge import first_model
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import Frozen, State, Trace, final
from gaussmix.em.trimmed_start import trimmed_partition
from gaussmix.em.trimming import trimmed
from gaussmix.engines.base import Engine
from gaussmix.engines.runner import Runner
from gaussmix.errors import Outcome, SingularCovariance
from gaussmix.families.base import Family
from gaussmix.fit.recipe import recipe_of
from gaussmix.model import Model
from gaussmix.noise import Noise
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.numerics.rows import unit_of_weights
from gaussmix.sources.array import ArraySource
from gaussmix.sources.base import Given, Source
from gaussmix.starts import STARTS, Partition
from gaussmix.starts.base import nearest_centre, repeated
from gaussmix.starts.sample import Distinct, distinct_rows
from gaussmix.waist.leaves import LEAF_ROWS
from gaussmix.waist.need import Second

StartCall = Callable[[Rows, int, np.random.Generator], Given]
Init = str | Sequence[str] | Given | StartCall  # what `init_params` may be

MANY = 4 * LEAF_ROWS  # rows: with more, EM settles on the sample of the starts first
FEW = LEAF_ROWS // 8  # rows: with more, calls cost little beside the work, and several starts share a sort of the rows


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
    known : what is known of their components; None for nothing.
    noise : a background, with the weight to begin with; None for none.
    trim : share of the row weight that fits leave out.
    """

    original: Source
    known: Known | None = None
    noise: Noise | None = None
    trim: float = 0.0
    _moments: dict[bool, Moments] = field(default_factory=dict, init=False)  # whether they are matrices

    @property
    def is_plain(self) -> bool:
        """Whether rows are all there is: none is left out, and nothing is known of their components."""
        return self.known is None and not self.trim

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

    def labelled(self, n_components: int) -> Source:
        """The same with what is known of the rows, for a fit of so many components."""
        if self.known is None:
            return self.source()
        return self._reduced.with_log_prior(*self.known.log_prior(n_components, self.noise is not None))

    @cached_property
    def sample(self) -> Distinct:
        """Rows for starts and for the automatic ridge."""
        return distinct_rows(self.source())

    @cached_property
    def ridge(self) -> Array:
        """The automatic ridge, (n_features,), of the weights as they were given: it counts rows."""
        sample = self.sample
        if self.unit != 1.0:
            sample = replace(sample, weight=sample.weight * self.unit)
        return automatic_ridge(sample, self.trim)

    def objective(self, ridge: float | None) -> Ridge:
        """Maximum likelihood with this ridge on every variance, data units²; None for the automatic one."""
        return Ridge(self.ridge if ridge is None else np.full(self.original.n_features, ridge))

    def restricted(
        self, restrictions: Restrictions, ridge: float | None, family: Family, n_components: int, engine: Engine[Any]
    ) -> Ridge:
        """As `objective`, with a prior and with what is fixed."""
        is_matrix = family.kind.second is Second.FULL
        if restrictions.prior is not None and is_matrix not in self._moments:
            self._moments[is_matrix] = Moments.of(self.source(), self.unit, engine, is_matrix=is_matrix)
        plain, moments = self.objective(ridge), self._moments.get(is_matrix)
        return restrictions.objective(plain.ridge, self.unit, n_components, family, moments)

    def part(self, chosen: NDArray[np.bool_]) -> Data:
        """Some of the rows."""
        known = None if self.known is None else self.known.part(chosen)
        return replace(self, original=self.original.part(chosen), known=known)


@dataclass(frozen=True, eq=False)
class Fitting:
    """A mixture to be fitted to rows.

    Parameters
    ----------
    data : the rows.
    family, engine, n_components : what to fit, and on what.
    ridge : added to each variance, data units²; None for the automatic one.
    is_accelerated : as for `run_em`.
    remedy : what to do with a component that gets stuck.
    restrictions : priors, and what is fixed.
    """

    data: Data
    family: Family
    engine: Engine[Any]
    n_components: int
    ridge: float | None
    is_accelerated: bool = False
    remedy: Remedy = Remedy.FREEZE
    restrictions: Restrictions = field(default_factory=Restrictions)

    @cached_property
    def source(self) -> Source:
        """The rows, with the states that this fit keeps beside them."""
        return trimmed(self.data.labelled(self.n_components), self.data.trim)

    @cached_property
    def objective(self) -> Ridge:
        """What EM raises."""
        return self._objective(self.ridge)

    @property
    def is_plain(self) -> bool:
        """Whether EM raises the log-likelihood of all rows and nothing else."""
        return self.restrictions.is_empty and self.data.is_plain

    def _objective(self, ridge: float | None) -> Ridge:
        return self.data.restricted(self.restrictions, ridge, self.family, self.n_components, self.engine)

    def continues(self, model: Model) -> bool:
        """Whether EM can go on from a model: it has the size and the structure of this fit."""
        is_alike = model.family == self.family and (model.noise is None) == (self.data.noise is None)
        return is_alike and model.means.shape == (self.n_components, self.source.n_features)

    def here(self, model: Model) -> Model:
        """The model of another fit, with its noise where the rows of this one are."""
        noise = self.data.noise
        if noise is None or model.noise is None:
            return model
        return model.without_noise.beside(noise.weighing(model.noise.weight))

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
        if begun is None and given.is_empty:
            begun = self._begun_by_engine(init, stopping, rng)
        if begun is None:
            begun = State(self.objective.feasible(self.initial_model(init, given, stopping, rng)), Trace())
        if begun.outcome is None:
            yield from self._states(begun.model, stopping, trace=begun.trace)
        else:
            yield begun

    def _begun_by_engine(self, init: object, stopping: Stopping, rng: np.random.Generator) -> State | None:
        """Where EM comes to in one call of the engine, from the start on; None where Python has to begin.

        The bits are those of the usual way, and so is what is left to draw from `rng`.
        """
        block, engine, n_features = self.source.whole, self.engine, self.source.n_features
        is_usual = self.is_plain and self.data.noise is None and not self.is_accelerated
        if not is_usual or block is None or block.n_rows > FEW or not isinstance(engine, Runner):
            return None
        before = rng.bit_generator.state
        recipe = recipe_of(init, self.family, self.n_components, n_features, self.ridge, stopping, rng)
        found = None if recipe is None else engine.fit_one(block, self.data.unit, recipe)
        if found is None:
            rng.bit_generator.state = before
            return None
        course, ridge = found
        if self.ridge is None:
            vars(self.data)["ridge"] = ridge  # so that nobody sorts the columns again
        steps = course.log_likelihood
        outcome = stopping.after(steps, float("-inf")) if steps else None
        return State(model_of(course, self.family), Trace(tuple(steps), tuple(steps)), outcome)

    def run_on(
        self, model: Model, stopping: Stopping, previous: float, collapsed: Iterable[int], begun: State | None
    ) -> Iterator[State]:
        """EM from the model of another fit. Components that it froze stay frozen, unless a ridge carries them now."""
        objective = self.objective
        trace = Trace(frozen={} if objective.floor.all() else dict.fromkeys(collapsed, Frozen.COLLAPSED))
        model = objective.feasible(model)
        if begun is not None:
            model, trace = begun.model, begun.trace
        return self._states(model, stopping, previous, trace)

    def _states(
        self, model: Model, stopping: Stopping, previous: float = float("-inf"), trace: Trace | None = None
    ) -> Iterator[State]:
        of_run = self.source, self.engine, model, self.objective, stopping, previous, trace
        return run_with(self.remedy, *of_run, is_accelerated=self.is_accelerated)

    def initial_model(
        self, init: Given | StartCall | str, given: InitialParameters, stopping: Stopping, rng: np.random.Generator
    ) -> Model:
        """The model that EM starts from: what is given, and the rest from an M-step on shared rows.

        Where nothing is given and rows are `MANY`, it is where EM ends on the sample of the starts: few passes over all
        rows are left then.
        """
        if given.weights is not None and given.means is not None and given.covariances is not None:
            return Model(given.weights, given.means, given.covariances, self.family).beside(self.data.noise)
        found = self._found(init, given, stopping, rng)
        if given.is_empty:
            return found
        return Model(
            found.without_noise.weights if given.weights is None else given.weights,
            found.means if given.means is None else given.means,
            found.covariances if given.covariances is None else given.covariances,
            self.family,
        ).beside(found.noise)

    def _found(
        self, init: Given | StartCall | str, given: InitialParameters, stopping: Stopping, rng: np.random.Generator
    ) -> Model:
        source = self.source
        # Covariances that are given need not be found, so they can't be singular either.
        ridge = self.ridge if given.covariances is None else None
        objective = (self.objective if given.covariances is None else self._objective(None)).for_any
        of_fit = source, self.engine, self.n_components
        if isinstance(init, str) and given.means is not None:  # so that weights and covariances fit the given means
            partition = guided(nearest_centre(given.means), *of_fit, is_matched=True)
        elif isinstance(init, str):
            partition = STARTS[init](self.data.sample, *of_fit[1:], rng)
            if self.data.trim:
                plain = self.data.objective(ridge)  # a prior is for the structure of the fit, and that is another
                partition = trimmed_partition(partition, self.data.sample, *of_fit[1:], plain, self.data.trim, rng)
            partition = guided(partition, *of_fit)
            is_plain = self.data.known is None
            has_places = partition.parameters is not None and (self.data.trim > 0 or partition.centres is not None)
            is_plain = is_plain and not source.has_errors
            if given.is_empty and is_plain and stopping.max_steps > 0 and source.n_rows > MANY and has_places:
                settled = self._settled_on_the_sample(partition, objective, stopping)
                if settled is not None:
                    return settled
        else:
            shared = init(_rows_for_a_callable(self.data.source()), self.n_components, rng) if callable(init) else init
            shape = source.n_rows, self.n_components
            has_noise = self.data.noise is not None
            shares = check_given(shared, source.row_weight, shape, returned=callable(init), has_noise=has_noise)
            source, partition = trimmed(self.data.source(shares), self.data.trim), Partition()
        first = InitialMoments(source, self.engine, self.n_components, partition, self.data.noise)
        try:
            return first_model(first, self.family, objective, tolerance=stopping.tolerance)
        except SingularCovariance:
            if self.remedy is Remedy.FREEZE:
                raise
        without_floor = self.data.objective(None)  # the first step finds what collapses
        return first_model(first, self.family, without_floor, tolerance=stopping.tolerance)

    def _settled_on_the_sample(self, partition: Partition, objective: Objective, stopping: Stopping) -> Model | None:
        """Where EM ends on the sample of the starts; None where a component freezes there."""
        rows = ArraySource(self.data.sample.rows, self.data.sample.weight)
        rows.may_miss = self.source.may_miss
        sample = trimmed(rows, self.data.trim)
        first = InitialMoments(sample, self.engine, self.n_components, partition, self.data.noise)
        try:
            start = first_model(first, self.family, objective, tolerance=stopping.tolerance)
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
