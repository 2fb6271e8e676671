"""How a mixture is fitted: from which starts, and until when."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.initialisation.base import AUTO, DETERMINISTIC, Partition, repeated
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.kmeans import MAX_PASSES, TOLERANCE, count_candidates
from gaussmix._src.em.initialisation.sample import RIDGE_FRACTION, TRIMMED_FRACTION
from gaussmix._src.em.objective.stopping import Stopping
from gaussmix._src.em.search.split_and_merge import MAX_CLOSING_STEPS, MORE_STEPS, search_by_core, silent
from gaussmix._src.engines.calls import Control, FitSettings, Seeds
from gaussmix._src.errors import Outcome
from gaussmix._src.families.base import Family
from gaussmix._src.fit.problem import Problem
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.numerics.rows import MIN_SPREAD
from gaussmix._src.sources.base import Assignment

if TYPE_CHECKING:
    from gaussmix._src.validation.initial import InitialParameters

# Row weight for each number in a mean and a full covariance, whatever the structure: with less, "auto" is not a search.
MIN_SEARCH_ROWS = 20
AFTER_SEARCH_TOL, AFTER_SEARCH_MAX_STEPS = 1e-5, 300  # of EM after a search; nats per unit of row weight
_OF_RIDGE = RIDGE_FRACTION, TRIMMED_FRACTION, MIN_SPREAD  # how the core makes the automatic one
MIN_SEARCH_STEPS = 20  # with a lower `max_iter`, "auto" is not a search
StartCall = Callable[[Rows, int, np.random.Generator], Assignment]
Init = str | Sequence[str] | Assignment | StartCall  # what `init_params` may be


@dataclass(frozen=True, eq=False)
class ModelStart:
    """The start of a run that continues from a model.

    Parameters
    ----------
    model : to continue from.
    last_objective : the objective there, for the first test of convergence; −inf if unknown.
    collapsed : components to freeze, unless a ridge now keeps them from collapsing.
    """

    model: Model
    last_objective: float = float("-inf")
    collapsed: Sequence[int] = ()

    def arrays(self) -> list[Any]:
        """All that the bits of the run depend on."""
        model = self.model
        return [model.weights, model.means, model.covariances.array, self.last_objective, self.collapsed]


Start = str | Assignment | StartCall | Partition | ModelStart


@dataclass(frozen=True, eq=False)
class Draw:
    """What a start drew.

    Parameters
    ----------
    moments : of all rows, as the start assigns them.
    sample_moments : moments of the sample of the starts; None unless the start is a name.
    after : the state of the generator after the draw.
    """

    moments: InitialMoments
    sample_moments: InitialMoments | None
    after: Any


@dataclass(frozen=True, eq=False)
class SharedStarts:
    """Starts that several structures of the same size share: the first fit that needs one draws it.

    Parameters
    ----------
    made : by the number of the start, and its name if it has one.
    one_at_a_time : a lock, held during a draw.
    """

    made: dict[tuple[int, str], Draw] = field(default_factory=dict)
    one_at_a_time: Lock = field(default_factory=Lock)


@dataclass(frozen=True, eq=False)
class Plan:
    """How a mixture is fitted: EM runs from each start, and the result is the run that ends highest.

    Parameters
    ----------
    starts : one for each run.
    rng : starts draw from it, one after the other.
    stopping : when EM ends.
    user_init : parameters to start from, which replace those of the starts; None if there is none.
    is_accelerated : as for `run_em`.
    should_stop : asked after each step, and before each move of a search; true ends the fit without a result.
    ends_at_collapse : whether a run ends when a component collapses: its likelihood can't be compared then.
    shared : starts shared with other structures of the same size; None outside a model selection.
    candidate : in a model selection, its row of `results_`; else None.
    n_candidates : in a model selection, their number; else None.
    stage : in a model selection, which of the fits of the candidate this is.
    fallback : the start that takes the place of a search that "auto" chose and that has no covariances; None if there
        is none.
    moves : makes the moves of variational Bayes, which change the number of components; None without moves.
    certify : whether to find out if the fit ends at a maximum; None to find that out where it is cheap.
    may_search : whether "auto" may be a search.
    in_one_call : whether the core may make the first state of a run, or all of them, by itself.
    stop_reason : says why no more runs may begin; None if they may.
    left_out : why starts of a candidate were left out, if some were; those of a single fit have the key None.
    report : called with what is done before the first step on all rows.
    """

    starts: Sequence[Start]
    rng: np.random.Generator
    stopping: Stopping
    user_init: InitialParameters | None = None
    is_accelerated: bool = False
    should_stop: Callable[[], bool] = lambda: False
    ends_at_collapse: bool = False
    shared: SharedStarts | None = None
    candidate: int | None = None
    n_candidates: int | None = None
    stage: str = ""
    fallback: str | None = None
    moves: Callable[[Problem, Plan], Any] | None = None
    certify: bool | None = None
    may_search: bool = True
    in_one_call: bool = True
    stop_reason: Callable[[], Outcome | None] = lambda: None
    left_out: dict[int | None, Outcome] = field(default_factory=dict)
    report: Callable[[str], object] = silent

    @property
    def key(self) -> str:
        """The name of this fit in a checkpoint."""
        return f"{self.stage}{'' if self.candidate is None else self.candidate}"

    def is_over(self) -> bool:
        """Whether moves are to end."""
        return self.should_stop() or self.stopping.is_over()

    def named(self, problem: Problem) -> Plan:
        """The same plan with the starts that "auto" stands for."""
        name = "kmeans" if self.candidate is None else "hierarchical"
        is_search = self.may_search and any(map(_is_auto, self.starts)) and search_pays(problem, self.stopping)
        return self.with_auto("search", name) if is_search else self.with_auto(name)

    def with_auto(self, name: str, fallback: str | None = None) -> Plan:
        """The same plan with a start in place of "auto", once if it draws nothing; `fallback` as above."""
        if not any(map(_is_auto, self.starts)):
            return self
        starts = [name if _is_auto(start) else start for start in self.starts]
        if name in DETERMINISTIC:
            is_again = [isinstance(start, str) and start in starts[:i] for i, start in enumerate(starts)]
            starts = [start for start, again in zip(starts, is_again, strict=True) if start != name or not again]
        return replace(self, starts=starts, fallback=fallback)

    @staticmethod
    def repeat_starts(init: Init, names: Sequence[str], n_init: int) -> list[Any]:
        """`n_init` starts of each kind that draws. `names` are those in `init`."""
        return repeated(names, n_init) if names else [init] * (n_init if callable(init) else 1)


def _is_auto(start: Start) -> bool:
    return isinstance(start, str) and start == AUTO


def close_after_search(stopping: Stopping, n_steps: float = math.inf) -> Stopping:
    """When EM ends after the moves of a search; EM made `n_steps` before it."""
    max_steps = min(AFTER_SEARCH_MAX_STEPS, MAX_CLOSING_STEPS * (n_steps + MORE_STEPS))
    return replace(stopping, tolerance=min(stopping.tolerance, AFTER_SEARCH_TOL), max_steps=int(max_steps))


def search_pays(problem: Problem, stopping: Stopping) -> bool:
    """Whether `init_params="auto"` is a search.

    It is not for one component, and not where rows are few: a higher likelihood is no better clustering there.
    """
    rows = problem.data.original
    if problem.n_components == 1:
        return False
    return rows.profile.total_weight >= weight_for_search(rows.n_features, stopping.max_steps)


def weight_for_search(n_features: int, max_steps: int) -> float:
    """The least row weight with which "auto" is a search; infinity if the user wants few steps of EM."""
    if max_steps < MIN_SEARCH_STEPS:
        return math.inf
    return MIN_SEARCH_ROWS * (n_features + n_features * (n_features + 1) / 2)


# Starts that the core makes, and the passes of k-means in each; a search begins with k-means.
_PASSES = {"kmeans": MAX_PASSES, "k-means++": 0, "search": MAX_PASSES, AUTO: MAX_PASSES}


def fit_settings(
    init: object,
    family: Family,
    n_components: int,
    n_features: int,
    ridge: float | None,
    stopping: Stopping,
    rng: np.random.Generator,
    n_starts: int = 1,
) -> FitSettings | None:
    """A usual fit as plain values, for one call of the core; None if the core does not make this start.

    Parameters
    ----------
    init : the name of a start, if it is one. "auto", of one start, is a search for groups that are heavy enough.
    family, n_components, n_features : of the mixture.
    ridge : added to every variance, data units²; None for the automatic one.
    stopping : when EM ends. With another rule, or callbacks, the fit stops after the first M-step.
    rng : for the draws of the starts, if the fit draws.
    n_starts : how often `init` begins; the highest run is the result.
    """
    may_search = isinstance(init, str) and (init == "search" or (init == AUTO and n_components > 1))
    n_passes = _PASSES.get(init) if isinstance(init, str) else None
    if n_passes is None or family.algebra is None or family.has_alternatives:
        return None
    ridges = None if ridge is None else np.full(n_features, ridge)
    control = _control(ridges, stopping)
    if may_search and (n_components == 1 or not control.max_steps or (init == AUTO and n_starts > 1)):
        return None
    n_candidates = count_candidates(n_components)
    uniform, rngs = np.empty((n_starts, 1 + (n_components - 1) * n_candidates)), []
    for start in uniform:
        rng.random(out=start)
        if may_search:
            rngs.append(np.random.default_rng(int(rng.integers(2**63))))
    seeds = Seeds(n_candidates, uniform, n_passes, TOLERANCE)
    search = None
    if may_search:
        min_weight = weight_for_search(n_features, stopping.max_steps) if init == AUTO else 0.0
        of_search = n_components, n_features, close_after_search(stopping), rngs
        search = search_by_core(family, *of_search, min_weight)
    return FitSettings(family.algebra, n_components, seeds, control, *_OF_RIDGE, search)


def label_settings(
    sharp: Array | NDArray[np.int32] | None, family: Family, n_components: int, ridge: Array, stopping: Stopping
) -> FitSettings | None:
    """A fit as plain values, from what `Partition.sharp` says of all rows, with a ridge (n_features,), data units²."""
    if sharp is None or family.algebra is None or family.has_alternatives:
        return None
    return FitSettings(family.algebra, n_components, sharp, _control(ridge, stopping), *_OF_RIDGE)


def _control(ridge: Array | None, stopping: Stopping) -> Control:
    """When the core ends a fit: after the first M-step if Python makes the steps."""
    is_usual = type(stopping) is Stopping and not (stopping.is_watched or stopping.seeks_maximum)
    max_steps = stopping.max_steps if is_usual else 0
    return Control(ridge, stopping.tolerance, max_steps)
