"""From an estimator's checked parameters and rows to the best run of EM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.covariances import Covariances
from gaussmix.em.loop import Report, run_em
from gaussmix.em.restarts import Run, best_run
from gaussmix.em.ridge import automatic_ridge
from gaussmix.em.start import start_mixture
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import Frozen
from gaussmix.engines.base import Engine
from gaussmix.estimators.parameters import check_given, check_start_names
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.sources.base import Given, Source
from gaussmix.starts import STARTS, Partition
from gaussmix.starts.base import nearest_centre, repeated
from gaussmix.starts.sample import Distinct, distinct_rows

StartCall = Callable[[Rows, int, np.random.Generator], Given]
Init = str | Sequence[str] | Given | StartCall  # what `init_params` may be

SMALLEST_EXPONENT = -1021  # of the unit of weights, so that it has a reciprocal


@dataclass(frozen=True)
class GivenStart:
    """Parameters that the user knows; None for what the start is to find."""

    weights: Array | None = None
    means: Array | None = None
    covariances: Covariances | None = None

    @property
    def is_complete(self) -> bool:
        return not (self.weights is None or self.means is None or self.covariances is None)


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
        return 1.0 if largest is None else 2.0 ** max(int(np.frexp(largest)[1]), SMALLEST_EXPONENT)

    @cached_property
    def _reduced(self) -> Source:
        """The rows with weights below 1, which changes no bit of a fit."""
        return self.original.reweighted(1 / self.unit)

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

    def ridges(self, ridge: float | None) -> Array:
        """A ridge for each feature, (n_features,): the number, or without one the automatic ones."""
        return self.ridge if ridge is None else np.full(self.original.n_features, ridge)

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
    """

    data: Data
    family: Family
    engine: Engine[Any]
    n_components: int
    ridge: float | None

    @cached_property
    def source(self) -> Source:
        """The rows, with the states that this fit keeps beside them."""
        return self.data.source()

    @property
    def ridges(self) -> Array:
        """The ridge of each feature, (n_features,)."""
        return self.data.ridges(self.ridge)

    def continues(self, mixture: Model) -> bool:
        """Whether EM can go on from a mixture: it has the size and the structure of this one."""
        return mixture.means.shape == (self.n_components, self.source.n_features) and mixture.family == self.family

    def best(
        self,
        init: Init,
        given: GivenStart,
        n_init: int,
        stopping: Stopping,
        rng: np.random.Generator,
        reports: Iterator[Report | None],
    ) -> Run:
        """The best of `n_init` runs from each start; one is enough where nothing is drawn."""

        def run(start: Given | StartCall | str) -> Run:
            report = next(reports)
            return self.run(self.start(start, given, rng), stopping, report)

        names = check_start_names(init)
        starts: Sequence[Any] = repeated(names, n_init) if names else [init] * (n_init if callable(init) else 1)
        if given.is_complete or (names and given.means is not None):  # nothing is drawn
            starts = starts[:1]
        return best_run(partial(run, start) for start in starts)

    def run(
        self,
        start: Model,
        stopping: Stopping,
        report: Report | None,
        previous: float = -np.inf,
        collapsed: Iterable[int] = (),
    ) -> Run:
        """EM from a mixture; components that an earlier run froze stay frozen unless a ridge carries them now."""
        frozen = {} if self.ridges.all() else dict.fromkeys(collapsed, Frozen.COLLAPSED)
        return run_em(
            self.source,
            self.engine,
            start,
            ridge=self.ridges,
            stopping=stopping,
            previous=previous,
            frozen=frozen,
            report=report,
        )

    def start(self, init: Given | StartCall | str, given: GivenStart, rng: np.random.Generator) -> Model:
        """The mixture that EM starts from: what is given, and the rest from an M-step on shared rows."""
        if given.weights is not None and given.means is not None and given.covariances is not None:
            return Model(given.weights, given.means, given.covariances, self.family)
        found = self._found(init, given, rng)
        return Model(
            found.weights if given.weights is None else given.weights,
            found.means if given.means is None else given.means,
            found.covariances if given.covariances is None else given.covariances,
            self.family,
        )

    def _found(self, init: Given | StartCall | str, given: GivenStart, rng: np.random.Generator) -> Model:
        source = self.source
        # Covariances that are given need not be found, so they can't be singular either.
        ridge = self.ridges if given.covariances is None else self.data.ridge
        if isinstance(init, str) and given.means is not None:  # so that weights and covariances fit the given means
            partition = nearest_centre(given.means)
        elif isinstance(init, str):
            partition = STARTS[init](self.data.sample, self.engine, self.n_components, rng)
        else:
            shared = init(_rows_for_a_callable(source), self.n_components, rng) if callable(init) else init
            shape = source.n_rows, self.n_components
            shares = check_given(shared, source.row_weight, shape, returned=callable(init))
            source, partition = self.data.source(shares), Partition()
        return start_mixture(source, self.engine, self.family, self.n_components, partition, ridge)


def _rows_for_a_callable(source: Source) -> Rows:
    """All rows, as a view through which somebody else's function cannot change the user's data."""
    block = source.whole
    if block is None:
        raise ValueError("init_params can't be a callable for rows that are not one array in memory: name a start.")
    view = block.rows.view()
    view.flags.writeable = False
    return view
