"""How a mixture is fitted: from which starts, and until when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from gaussmix.covariances import Covariances
from gaussmix.door.parameters import check_start_names
from gaussmix.em.initial import InitialMoments
from gaussmix.em.maximise import LOST_SHARE, MAX_LOSS, NOISE
from gaussmix.em.ridge import SHARE, TRIMMED
from gaussmix.em.stopping import Stopping
from gaussmix.engines.runner import Control, Recipe, Seeds
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Rows
from gaussmix.numerics.rows import SMALLEST_SPREAD
from gaussmix.sources.base import Given
from gaussmix.starts.base import Partition, repeated
from gaussmix.starts.kmeans import MAX_PASSES, TOLERANCE
from gaussmix.starts.kmeans_plus_plus import count_candidates

StartCall = Callable[[Rows, int, np.random.Generator], Given]
Init = str | Sequence[str] | Given | StartCall  # what `init_params` may be


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
class Onward:
    """The start of a run that goes on from a model.

    Parameters
    ----------
    model : where EM goes on.
    reached : the objective there, −inf where it is not known; for the first test of convergence.
    collapsed : components that are frozen, unless a ridge carries them now.
    """

    model: Model
    reached: float = float("-inf")
    collapsed: Sequence[int] = ()

    def arrays(self) -> list[Any]:
        """All that decides about the bits of the run."""
        model = self.model
        return [model.weights, model.means, model.covariances.array, self.reached, self.collapsed]


Start = str | Given | StartCall | Partition | Onward


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a start came to.

    Parameters
    ----------
    moments : of all rows, as the start shares them.
    on_sample : of the sample of the starts; None where the start is no name.
    after : the state of the generator when it was drawn.
    """

    moments: InitialMoments
    on_sample: InitialMoments | None
    after: Any


@dataclass(frozen=True, eq=False)
class SharedStarts:
    """Starts that several structures of the same size begin with: the first to need one draws it.

    Parameters
    ----------
    made : by their numbers.
    one_at_a_time : held while one is drawn.
    """

    made: dict[int, Drawn] = field(default_factory=dict)
    one_at_a_time: Lock = field(default_factory=Lock)


def never() -> bool:
    """A result is always wanted."""
    return False


@dataclass(frozen=True, eq=False)
class Plan:
    """How a mixture is fitted: EM runs from each start, and the run that ends highest is kept.

    Parameters
    ----------
    starts : one for each run.
    rng : starts draw from it, one after the other.
    stopping : when EM ends.
    given : parameters to start from, which replace those of the starts.
    is_accelerated : as for `run_em`.
    is_unwanted : asked after each step, and before each move of a search, whether to end without a result.
    ends_at_collapse : whether a run ends where a component collapses, because its likelihood can't be compared then.
    shared : starts that other structures of the same size draw from the same state of `rng`; None where there are none.
    candidate : of a search, its row of `results_`; None where there is one mixture.
    stage : of a search, which of the fits of the candidate this is.
    """

    starts: Sequence[Start]
    rng: np.random.Generator
    stopping: Stopping
    given: InitialParameters = field(default_factory=InitialParameters)
    is_accelerated: bool = False
    is_unwanted: Callable[[], bool] = never
    ends_at_collapse: bool = False
    shared: SharedStarts | None = None
    candidate: int | None = None
    stage: str = ""

    @property
    def key(self) -> str:
        """What a checkpoint calls this fit."""
        return f"{self.stage}{'' if self.candidate is None else self.candidate}"

    @staticmethod
    def starts_of(init: Init, n_init: int, given: InitialParameters) -> list[Any]:
        """`n_init` starts of each kind that draws; one is enough where nothing is drawn."""
        names = check_start_names(init)
        starts: list[Any] = repeated(names, n_init) if names else [init] * (n_init if callable(init) else 1)
        is_drawn = not (given.is_complete or (names and given.means is not None))
        return starts if is_drawn else starts[:1]


_PASSES = {"kmeans": MAX_PASSES, "k-means++": 0}  # of k-means, after the starts that engines make


def recipe_of(
    init: object,
    family: Family,
    n_components: int,
    n_features: int,
    ridge: float | None,
    stopping: Stopping,
    rng: np.random.Generator,
) -> Recipe | None:
    """The recipe of a fit from one start; None where engines make no such start, or have several for the structure.

    Parameters
    ----------
    init : the name of a start, if it is one.
    family, n_components, n_features : of the mixture.
    ridge : added to every variance, data units²; None for the automatic one.
    stopping : when EM ends. Under another rule, or watched, the recipe is of the first M-step alone.
    rng : gives what the start draws, where there is a recipe.
    """
    n_passes = _PASSES.get(init) if isinstance(init, str) else None
    if n_passes is None or family.algebra is None or family.has_alternatives:
        return None
    is_usual = type(stopping) is Stopping and not stopping.is_watched
    n_candidates = count_candidates(n_components)
    seeds = Seeds(n_candidates, rng.random(1 + (n_components - 1) * n_candidates), n_passes, TOLERANCE)
    every = None if ridge is None else np.full(n_features, ridge)
    max_steps = stopping.max_steps if is_usual else 0
    control = Control(every, stopping.tolerance, max_steps, LOST_SHARE, NOISE, MAX_LOSS)
    return Recipe(family.algebra, n_components, seeds, control, SHARE, TRIMMED, SMALLEST_SPREAD)
