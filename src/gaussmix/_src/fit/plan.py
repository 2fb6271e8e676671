"""Define the plan of a fit, that is, its initialisations, stopping rule and options."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.initialisation.base import AUTO, DETERMINISTIC_STARTS, SCALED_KMEANS, SEARCHES, Partition
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.kmeans import LLOYD_TOLERANCE, MAX_LLOYD_PASSES, count_candidates
from gaussmix._src.em.initialisation.sample import RIDGE_FRACTION, RIDGE_TRIM_FRACTION
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.search.split_and_merge import (
    FINAL_STEPS_FACTOR,
    N_EXTRA_EM_STEPS,
    core_search_settings,
    report_nothing,
)
from gaussmix._src.engines.calls import EMSettings, FitSettings, KMeansSettings
from gaussmix._src.errors import StopReason
from gaussmix._src.families.base import Equivariance, Family
from gaussmix._src.fit.problem import Problem
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Rows
from gaussmix._src.numerics.rows import MIN_SPREAD
from gaussmix._src.sources.base import Assignment

if TYPE_CHECKING:
    from gaussmix._src.validation.initial import InitialParameters

# The ridge's effect on a fit is checked if the ridge is above this fraction of a feature's conditional variance.
MIN_RIDGE_FRACTION = 1e-3
AFTER_SEARCH_TOL, AFTER_SEARCH_MAX_STEPS = 1e-5, 300  # tolerance and step limit of EM after a split-and-merge search
MIN_SEARCH_STEPS = 20  # minimum `max_iter` with which "auto" runs a split-and-merge search
StartFunction = Callable[[Rows, int, np.random.Generator], Assignment]


@dataclass(frozen=True, eq=False)
class ModelStart:
    """Initialisation of an EM run that continues from a model.

    Parameters
    ----------
    model : initial model.
    last_objective : objective of the model, which the first check of convergence uses; −inf if unknown.
    collapsed : components to freeze, unless a ridge now keeps these components from collapsing.
    """

    model: Model
    last_objective: float = float("-inf")
    collapsed: Sequence[int] = ()

    def identity_values(self) -> list[Any]:
        """Return all values of this initialisation that determine the exact result of the run."""
        model = self.model
        return [model.weights, model.means, model.covariances.array, self.last_objective, self.collapsed]


Start = str | Assignment | StartFunction | Partition | ModelStart


@dataclass(frozen=True, eq=False)
class StartDraw:
    """Result of drawing an initialisation.

    Parameters
    ----------
    moments : moments of all rows, divided among components by the initial partition.
    sample_moments : moments of the sample that is used for initialisation; None if the initialisation is not named.
    generator_state : state of the random generator after the draw.
    """

    moments: InitialMoments
    sample_moments: InitialMoments | None
    generator_state: Any


@dataclass(frozen=True, eq=False)
class SharedStarts:
    """Draws that structures with the same number of components share; the first fit to need a draw makes it.

    Parameters
    ----------
    draws : draw for each triple (index of the run, name of the initialisation or "", whether it scales columns).
    lock : lock that a fit holds while it makes a draw.
    """

    draws: dict[tuple[int, str, bool], StartDraw] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)


@dataclass(frozen=True, eq=False)
class Plan:
    """Settings of a fit. EM runs from each initialisation, and the run with the highest objective is the result.

    Parameters
    ----------
    starts : one initialisation for each EM run.
    rng : random generator from which the initialisations draw one after another.
    stopping : stopping rule of EM.
    user_init : initial parameters that the user passed, which replace drawn parameters; None if there are none.
    is_accelerated : whether EM is accelerated; see `run_em`.
    should_stop : function that is called after each EM step and before each split-and-merge move; if it returns True,
        the fit ends without a result.
    fallback_start : initialisation to use if the search of "auto" finds singular covariances; None to raise an error.
    make_moves : function that returns the birth and merge moves of variational Bayes; None for fits without such moves.
    check_maximum : whether to check if the fit ends at a maximum; None to check only if the check is cheap.
    may_search : whether the initialisation "auto" may run a split-and-merge search.
    has_sample_fit : whether EM may first run on the sample of rows that is used for initialisation.
    can_run_in_core : whether one call of the C++ core may compute the first state of a run or make the whole run.
    find_stop_reason : function that returns the reason why no further run may begin; None if a further run may begin.
    skip_reasons : map from each candidate to the reason for skipping its runs; a single fit has the key None.
    report_progress : function that is called with messages about work before the first EM step of the run.
    n_candidates : in a model selection, the number of candidates; otherwise None.
    candidate : in a model selection, the index of the candidate in `results_`; otherwise None.
    checkpoint_key : key of the fit in a checkpoint, which differs for each stage and candidate of a model selection.
    shared_starts : draws that several structures share; None if each fit makes its own.
    """

    starts: Sequence[Start]
    rng: np.random.Generator
    stopping: StopRule
    user_init: InitialParameters | None = None
    is_accelerated: bool = False
    should_stop: Callable[[], bool] = lambda: False
    fallback_start: str | None = None
    make_moves: Callable[[Problem, Plan], Any] | None = None
    check_maximum: bool | None = None
    may_search: bool = True
    has_sample_fit: bool = True
    can_run_in_core: bool = True
    find_stop_reason: Callable[[], StopReason | None] = lambda: None
    skip_reasons: dict[int | None, StopReason] = field(default_factory=dict)
    report_progress: Callable[[str], object] = report_nothing
    n_candidates: int | None = None
    candidate: int | None = None
    checkpoint_key: str = ""
    shared_starts: SharedStarts | None = None

    def should_end_moves(self) -> bool:
        """Return whether split, merge and birth moves must end because the fit must stop or its deadline has passed."""
        return self.should_stop() or self.stopping.is_past_deadline()

    def resolve_auto(self, problem: Problem) -> Plan:
        """Return this plan with "auto" replaced by the initialisations for which "auto" stands."""
        name = SCALED_KMEANS if self.candidate is None else "hierarchical"
        if not (self.may_search and is_auto_search(problem.n_components, self.stopping)):
            return self.replace_auto(name)
        # With trimming, distant rows are trimmed before the first search.
        has_clutter = problem.data.noise is not None and problem.data.trimming is None
        return self.replace_auto(*SEARCHES if has_clutter else ["search"], fallback_start=name)

    def replace_auto(self, *names: str, fallback_start: str | None = None) -> Plan:
        """Return this plan with `names` instead of each "auto"; a deterministic initialisation is used only once."""
        are_auto = [isinstance(start, str) and start == AUTO for start in self.starts]
        if not any(are_auto):
            return self
        starts: list[Start] = []
        for start, is_auto in zip(self.starts, are_auto, strict=True):
            starts += names if is_auto else [start]
        for name in DETERMINISTIC_STARTS.intersection(names):
            first = starts.index(name)
            starts[first + 1 :] = [start for start in starts[first + 1 :] if start != name]
        return replace(self, starts=starts, fallback_start=fallback_start)

    def core_settings(
        self, start: object, family: Family, n_components: int, n_features: int, ridge: float | None, n_starts: int = 1
    ) -> FitSettings | None:
        """Return settings for a fit in one call of the C++ core; None if the C++ core can't make this initialisation.

        With callbacks or a subclass of `StopRule`, the fit in the core ends after the first M-step.

        Parameters
        ----------
        start : initialisation.
        family, n_components, n_features : covariance structure and size of the mixture.
        ridge : number that is added to every variance, in squared units of the data; None for the automatic ridge.
        n_starts : number of runs; the run with the highest likelihood is the result.
        """
        name = start if isinstance(start, str) else ""
        if name == AUTO:
            name = "search" if is_auto_search(n_components, self.stopping) else SCALED_KMEANS
        may_search = name == "search"
        n_passes = _KMEANS_PASSES.get(name)
        if n_passes is None or family.algebra is None or family.has_alternatives:
            return None
        ridges = None if ridge is None else np.full(n_features, ridge)
        em_settings = _em_settings(ridges, self.stopping)
        if may_search and (n_components == 1 or not em_settings.max_steps):
            return None
        n_candidates = count_candidates(n_components)
        uniform, rngs = np.empty((n_starts, 1 + (n_components - 1) * n_candidates)), []
        for draws in uniform:
            self.rng.random(out=draws)
            if may_search:
                rngs.append(np.random.default_rng(int(self.rng.integers(2**63))))
        kmeans, search = KMeansSettings(n_candidates, uniform, n_passes, LLOYD_TOLERANCE, is_scaled(name, family)), None
        if may_search:
            last_rule = search_stopping(self.stopping)
            final_limits = last_rule.tolerance, last_rule.max_steps
            search = core_search_settings(family, n_components, n_features, final_limits, rngs)
        return FitSettings(
            family.algebra, n_components, kmeans, em_settings, RIDGE_FRACTION, RIDGE_TRIM_FRACTION, MIN_SPREAD, search
        )


def search_stopping(stopping: StopRule, n_steps: float = math.inf) -> StopRule:
    """Return the stopping rule for EM after a split-and-merge search that followed `n_steps` EM steps."""
    max_steps = min(AFTER_SEARCH_MAX_STEPS, FINAL_STEPS_FACTOR * (n_steps + N_EXTRA_EM_STEPS))
    return replace(stopping, tolerance=min(stopping.tolerance, AFTER_SEARCH_TOL), max_steps=int(max_steps))


def is_scaled(start: object, family: Family) -> bool:
    """Return whether an initialisation scales the columns separately, and the structure allows this scaling."""
    follows = family.equivariance in (Equivariance.AFFINE, Equivariance.SCALING)
    return follows and isinstance(start, str) and start in (AUTO, *SEARCHES, "tree", SCALED_KMEANS)


def is_auto_search(n_components: int, stopping: StopRule) -> bool:
    """Return whether `init_params="auto"` runs a split-and-merge search if EM uses the stopping rule `stopping`."""
    return n_components > 1 and stopping.max_steps >= MIN_SEARCH_STEPS


# Maximum number of k-means passes in each initialisation of the C++ core (a search begins with k-means).
_KMEANS_PASSES = {"k-means++": 0, **dict.fromkeys(("kmeans", "search", SCALED_KMEANS), MAX_LLOYD_PASSES)}


def label_settings(
    assignment: Array | NDArray[np.int32] | None, family: Family, n_components: int, ridge: Array, stopping: StopRule
) -> FitSettings | None:
    """Return settings for a C++ fit from a hard assignment of rows; None if the C++ core can't make this fit."""
    if assignment is None or family.algebra is None or family.has_alternatives:
        return None
    em_settings = _em_settings(ridge, stopping)
    return FitSettings(
        family.algebra, n_components, assignment, em_settings, RIDGE_FRACTION, RIDGE_TRIM_FRACTION, MIN_SPREAD
    )


def _em_settings(ridge: Array | None, stopping: StopRule) -> EMSettings:
    """Return the stopping rule of the C++ core, which stops after the first M-step if Python runs the EM steps."""
    is_usual = type(stopping) is StopRule and not (stopping.is_watched or stopping.seeks_maximum)
    return EMSettings(ridge, stopping.tolerance, stopping.max_steps if is_usual else 0)
