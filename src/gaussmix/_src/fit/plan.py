"""How a mixture is fitted: from which starts, and until when."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.initialisation.base import (
    AUTO,
    DETERMINISTIC_STARTS,
    SCALED_KMEANS,
    Partition,
    repeat_start_names,
)
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.kmeans import LLOYD_TOLERANCE, MAX_LLOYD_PASSES, count_candidates
from gaussmix._src.em.initialisation.sample import RIDGE_FRACTION, RIDGE_TRIM_FRACTION
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import SearchReport
from gaussmix._src.em.search.split_and_merge import MAX_CLOSING_STEPS, MORE_STEPS, core_search_settings, report_nothing
from gaussmix._src.engines.calls import EMSettings, FitSettings, KMeansSettings
from gaussmix._src.errors import Outcome
from gaussmix._src.families.base import Equivariance, Family
from gaussmix._src.fit.problem import Problem
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.numerics.rows import MIN_SPREAD
from gaussmix._src.sources.base import Assignment

if TYPE_CHECKING:
    from gaussmix._src.validation.initial import InitialParameters

# Part of the ridge in a variance, given the other features: with more, it is found out what the ridge does to the fit.
MIN_RIDGE_FRACTION = 1e-3
AFTER_SEARCH_TOL, AFTER_SEARCH_MAX_STEPS = 1e-5, 300  # of EM after a search; nats per unit of row weight
_RIDGE_SETTINGS = RIDGE_FRACTION, RIDGE_TRIM_FRACTION, MIN_SPREAD  # how the core makes the automatic one
MIN_SEARCH_STEPS = 20  # with a lower `max_iter`, "auto" is not a search
StartFunction = Callable[[Rows, int, np.random.Generator], Assignment]
InitParams = str | Sequence[str] | Assignment | StartFunction  # what `init_params` may be


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

    def identity_values(self) -> list[Any]:
        """All that the bits of the run depend on."""
        model = self.model
        return [model.weights, model.means, model.covariances.array, self.last_objective, self.collapsed]


@dataclass(frozen=True)
class SizedStart:
    """A named start with a number of components of its own, where moves change that of the problem."""

    name: str
    n_components: int


Start = str | Assignment | StartFunction | Partition | ModelStart | SizedStart


@dataclass(frozen=True, eq=False)
class StartDraw:
    """What a start drew.

    Parameters
    ----------
    moments : of all rows, as the start assigns them.
    sample_moments : moments of the sample of the starts; None unless the start is a name.
    generator_state : the state of the generator after the draw.
    """

    moments: InitialMoments
    sample_moments: InitialMoments | None
    generator_state: Any


@dataclass(frozen=True, eq=False)
class SharedStarts:
    """Starts that several structures of the same size share: the first fit that needs one draws it.

    Parameters
    ----------
    draws : by the number of the start, its name if it has one, and whether it scales columns.
    lock : a lock, held during a draw.
    """

    draws: dict[tuple[int, str, bool], StartDraw] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)


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
    shared_starts : starts shared with other structures of the same size; None outside a model selection.
    candidate : in a model selection, its row of `results_`; else None.
    n_candidates : in a model selection, their number; else None.
    stage_name : in a model selection, which of the fits of the candidate this is.
    fallback_start : the start that takes the place of a search that "auto" chose and that has no covariances; None if
        there is none.
    make_moves : makes the moves of variational Bayes, which change the number of components; None without moves.
    check_maximum : whether to find out if the fit ends at a maximum; None to find that out where it is cheap.
    may_search : whether "auto" may be a search.
    has_sample_fit : whether EM may run on the sample of the starts first.
    can_run_in_engine : whether the core may make the first state of a run, or all of them, by itself.
    stop_reason : says why no more runs may begin; None if they may.
    skip_reasons : why starts of a candidate were left out, if some were; those of a single fit have the key None.
    report_progress : called with what is done before the first step on all rows.
    search : gets what the search of a run does; None without one.
    """

    starts: Sequence[Start]
    rng: np.random.Generator
    stopping: StopRule
    user_init: InitialParameters | None = None
    is_accelerated: bool = False
    should_stop: Callable[[], bool] = lambda: False
    ends_at_collapse: bool = False
    shared_starts: SharedStarts | None = None
    candidate: int | None = None
    n_candidates: int | None = None
    stage_name: str = ""
    fallback_start: str | None = None
    make_moves: Callable[[Problem, Plan], Any] | None = None
    check_maximum: bool | None = None
    may_search: bool = True
    has_sample_fit: bool = True
    can_run_in_engine: bool = True
    stop_reason: Callable[[], Outcome | None] = lambda: None
    skip_reasons: dict[int | None, Outcome] = field(default_factory=dict)
    report_progress: Callable[[str], object] = report_nothing
    search: SearchReport | None = None

    @property
    def checkpoint_key(self) -> str:
        """The name of this fit in a checkpoint."""
        return f"{self.stage_name}{'' if self.candidate is None else self.candidate}"

    def should_end_moves(self) -> bool:
        """Whether moves are to end."""
        return self.should_stop() or self.stopping.is_past_deadline()

    def resolve_auto(self, problem: Problem) -> Plan:
        """The same plan with the starts that "auto" stands for."""
        name = SCALED_KMEANS if self.candidate is None else "hierarchical"
        is_search = self.may_search and is_auto_search(problem.n_components, self.stopping)
        return self.replace_auto("search", name) if is_search else self.replace_auto(name)

    def replace_auto(self, start_name: str, fallback_start: str | None = None) -> Plan:
        """The same plan with a start in place of "auto", once if it draws nothing; `fallback_start` as above."""
        are_auto = [isinstance(start, str) and start == AUTO for start in self.starts]
        if not any(are_auto):
            return self
        starts = [start_name if is_auto else start for start, is_auto in zip(self.starts, are_auto, strict=True)]
        if start_name in DETERMINISTIC_STARTS:
            is_again = [isinstance(start, str) and start in starts[:i] for i, start in enumerate(starts)]
            starts = [start for start, again in zip(starts, is_again, strict=True) if start != start_name or not again]
        return replace(self, starts=starts, fallback_start=fallback_start)

    @staticmethod
    def repeat_starts(init_params: InitParams, names: Sequence[str], n_init: int) -> list[Any]:
        """`n_init` starts of each kind that draws. `names` are those in `init_params`."""
        return repeat_start_names(names, n_init) if names else [init_params] * (n_init if callable(init_params) else 1)


def search_stopping(stopping: StopRule, n_steps: float = math.inf) -> StopRule:
    """When EM ends after the moves of a search; EM made `n_steps` before it."""
    max_steps = min(AFTER_SEARCH_MAX_STEPS, MAX_CLOSING_STEPS * (n_steps + MORE_STEPS))
    return replace(stopping, tolerance=min(stopping.tolerance, AFTER_SEARCH_TOL), max_steps=int(max_steps))


def is_scaled(start: object, family: Family) -> bool:
    """Whether a start measures distances in a unit of each column: for structures that are equivariant to it."""
    follows = family.equivariance in (Equivariance.AFFINE, Equivariance.SCALING)
    return follows and isinstance(start, str) and start in (AUTO, "search", "tree", SCALED_KMEANS)


def is_auto_search(n_components: int, stopping: StopRule) -> bool:
    """Whether `init_params="auto"` is a search: with several components and `MIN_SEARCH_STEPS` steps of EM."""
    return n_components > 1 and stopping.max_steps >= MIN_SEARCH_STEPS


# Starts that the core makes, and the passes of k-means in each; a search begins with k-means.
_KMEANS_PASSES = {
    "kmeans": MAX_LLOYD_PASSES,
    "k-means++": 0,
    "search": MAX_LLOYD_PASSES,
    SCALED_KMEANS: MAX_LLOYD_PASSES,
}


def fit_settings(
    init_params: object,
    family: Family,
    n_components: int,
    n_features: int,
    ridge: float | None,
    stopping: StopRule,
    rng: np.random.Generator,
    n_starts: int = 1,
) -> FitSettings | None:
    """A usual fit as plain values, for one call of the core; None if the core does not make this start.

    Parameters
    ----------
    init_params : the name of a start, if it is one.
    family, n_components, n_features : of the mixture.
    ridge : added to every variance, data units²; None for the automatic one.
    stopping : when EM ends. With another rule, or callbacks, the fit stops after the first M-step.
    rng : for the draws of the starts, if the fit draws.
    n_starts : how often `init_params` begins; the highest run is the result.
    """
    name = init_params if isinstance(init_params, str) else ""
    if name == AUTO:
        name = "search" if is_auto_search(n_components, stopping) else SCALED_KMEANS
    may_search = name == "search"
    n_passes = _KMEANS_PASSES.get(name)
    if n_passes is None or family.algebra is None or family.has_alternatives:
        return None
    ridges = None if ridge is None else np.full(n_features, ridge)
    control = _make_control(ridges, stopping)
    if may_search and (n_components == 1 or not control.max_steps):
        return None
    n_candidates = count_candidates(n_components)
    uniform, rngs = np.empty((n_starts, 1 + (n_components - 1) * n_candidates)), []
    for start in uniform:
        rng.random(out=start)
        if may_search:
            rngs.append(np.random.default_rng(int(rng.integers(2**63))))
    seeds, search = KMeansSettings(n_candidates, uniform, n_passes, LLOYD_TOLERANCE, is_scaled(name, family)), None
    if may_search:
        of_search = n_components, n_features, search_stopping(stopping), rngs
        search = core_search_settings(family, *of_search)
    return FitSettings(family.algebra, n_components, seeds, control, *_RIDGE_SETTINGS, search)


def label_settings(
    assignment: Array | NDArray[np.int32] | None, family: Family, n_components: int, ridge: Array, stopping: StopRule
) -> FitSettings | None:
    """A fit as plain values, from what `Partition.hard_assignment` says of all rows, with a ridge (n_features,)."""
    if assignment is None or family.algebra is None or family.has_alternatives:
        return None
    return FitSettings(family.algebra, n_components, assignment, _make_control(ridge, stopping), *_RIDGE_SETTINGS)


def _make_control(ridge: Array | None, stopping: StopRule) -> EMSettings:
    """When the core ends a fit: after the first M-step if Python makes the steps."""
    is_usual = type(stopping) is StopRule and not (stopping.is_watched or stopping.seeks_maximum)
    max_steps = stopping.max_steps if is_usual else 0
    return EMSettings(ridge, stopping.tolerance, max_steps)
