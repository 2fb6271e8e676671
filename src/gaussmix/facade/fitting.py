"""From an estimator's checked parameters and rows to the best run of EM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.em.loop import Report, run_em
from gaussmix.em.restarts import Run, best_run
from gaussmix.em.ridge import automatic_ridge
from gaussmix.em.start import start_mixture
from gaussmix.em.stopping import Stopping
from gaussmix.engines.base import Engine
from gaussmix.facade.parameters import check_given
from gaussmix.families.base import Family
from gaussmix.mixture.mixture import Mixture
from gaussmix.sources.array import ArraySource
from gaussmix.sources.distinct import Distinct, distinct_rows
from gaussmix.starts import STARTS, Partition
from gaussmix.starts.base import nearest_centre
from gaussmix.waist.arrays import Array, Rows

Given = Array | NDArray[np.int32]
StartCall = Callable[[Rows, int, np.random.Generator], Given]


@dataclass(frozen=True)
class GivenStart:
    """Parameters that the user knows; None for what the start is to find."""

    weights: Array | None = None
    means: Array | None = None
    covariances: Array | None = None

    @property
    def is_complete(self) -> bool:
        return not (self.weights is None or self.means is None or self.covariances is None)


@dataclass(frozen=True)
class Fitting:
    """A mixture to be fitted to rows.

    Parameters
    ----------
    rows, row_weight : the data.
    family, engine, n_components : what to fit, and on what.
    ridge : added to each variance, data units²; None for the automatic one.
    """

    rows: Rows
    row_weight: Array | None
    family: Family
    engine: Engine[Any]
    n_components: int
    ridge: float | None

    @cached_property
    def unit(self) -> float:
        """The power of 2 that weights are divided by, so that weighted squares neither overflow nor vanish."""
        return 1.0 if self.row_weight is None else 2.0 ** int(np.frexp(self.row_weight.max())[1])

    @cached_property
    def source(self) -> ArraySource:
        """The rows; weights below 1, which changes no bit of a fit."""
        return ArraySource(self.rows, None if self.row_weight is None else self.row_weight / self.unit)

    @cached_property
    def sample(self) -> Distinct:
        """Rows for starts and for the automatic ridge."""
        return distinct_rows(self.source)

    @cached_property
    def ridges(self) -> Array:
        """The ridge of each feature, (n_features,)."""
        if self.ridge is None:
            return self._automatic_ridge()
        return np.full(self.source.n_features, self.ridge)

    def _automatic_ridge(self) -> Array:
        """Of the weights as they were given: the ridge counts rows."""
        return automatic_ridge(replace(self.sample, weight=self.sample.weight * self.unit))

    def continues(self, mixture: Mixture) -> bool:
        """Whether EM can go on from a mixture: it has the size and the structure of this one."""
        return (
            mixture.means.shape == (self.n_components, self.source.n_features)
            and mixture.family.name == self.family.name
        )

    def best(
        self,
        init: str | Given | StartCall,
        given: GivenStart,
        n_init: int,
        stopping: Stopping,
        rng: np.random.Generator,
        reports: Iterator[Report | None],
    ) -> Run:
        """The best of `n_init` runs; one is enough where nothing is drawn."""

        def run() -> Run:
            report = next(reports)
            return self.run(self.start(init, given, rng), stopping, report)

        is_drawn = not given.is_complete and ((isinstance(init, str) and given.means is None) or callable(init))
        return best_run(run for _ in range(n_init if is_drawn else 1))

    def run(self, start: Mixture, stopping: Stopping, report: Report | None, previous: float = -np.inf) -> Run:
        """EM from a mixture."""
        return run_em(
            self.source, self.engine, start, ridge=self.ridges, stopping=stopping, previous=previous, report=report
        )

    def start(self, init: str | Given | StartCall, given: GivenStart, rng: np.random.Generator) -> Mixture:
        """The mixture that EM starts from: what is given, and the rest from an M-step on shared rows."""
        if given.weights is not None and given.means is not None and given.covariances is not None:
            return Mixture(given.weights, given.means, given.covariances, self.family)
        found = self._found(init, given, rng)
        return Mixture(
            found.weights if given.weights is None else given.weights,
            found.means if given.means is None else given.means,
            found.covariances if given.covariances is None else given.covariances,
            self.family,
        )

    def _found(self, init: str | Given | StartCall, given: GivenStart, rng: np.random.Generator) -> Mixture:
        source = self.source
        # Covariances that are given need not be found, so they can't be singular either.
        ridge = self.ridges if given.covariances is None else self._automatic_ridge()
        if isinstance(init, str) and given.means is not None:  # so that weights and covariances fit the given means
            partition = nearest_centre(given.means)
        elif isinstance(init, str):
            partition = STARTS[init](self.sample, self.engine, self.n_components, rng)
        else:
            row_weight, shape = self.source.block.row_weight, (len(self.rows), self.n_components)
            shared = init(_read_only(self.rows), self.n_components, rng) if callable(init) else init
            shares = check_given(shared, row_weight, shape, returned=callable(init))
            source, partition = ArraySource(self.rows, row_weight, shares), Partition()
        return start_mixture(source, self.engine, self.family, self.n_components, partition, ridge)


def _read_only(rows: Rows) -> Rows:
    """A view for somebody else's function, through which the user's data can't be changed."""
    view = rows.view()
    view.flags.writeable = False
    return view
