"""A usual fit as plain values, for engines that begin it, or make all of it, in one call."""

from __future__ import annotations

import numpy as np

from gaussmix.em.maximise import LOST_SHARE, MAX_LOSS, MEAN_ROUNDING
from gaussmix.em.ridge import SHARE, TRIMMED
from gaussmix.em.stopping import Stopping
from gaussmix.engines.runner import Control, Recipe, Seeds
from gaussmix.families.base import Family
from gaussmix.numerics.rows import SMALLEST_SPREAD
from gaussmix.starts.kmeans import MAX_PASSES, TOLERANCE, count_candidates

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
    control = Control(every, stopping.tolerance, max_steps, LOST_SHARE, MEAN_ROUNDING, MAX_LOSS)
    return Recipe(family.algebra, n_components, seeds, control, SHARE, TRIMMED, SMALLEST_SPREAD)
