"""Estimates of missing values for initialisations: conditional means under one normal distribution."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from gaussmix._src.em.initialisation.base import nearest_centre
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.step.loop import run_to_sound_end
from gaussmix._src.families.base import FAMILIES
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.waiting import seconds_left

MAX_ROWS, MAX_STEPS = 4096, 50  # limits of EM, because estimates need not be exact
MAX_FEATURES = 32  # with more features, estimates take long, and do not improve fits


def estimate_missing_values(sample: DistinctRows, engine: Any, objective: Objective) -> DistinctRows:
    """Return a sample with estimates of its missing values; without estimates if there are too many features.

    EM fits one normal distribution with a full covariance to a subsample, and the estimates are conditional means under
    this distribution. Means of columns would move rows with missing values towards each other, whatever their cluster.
    """
    if sample.rows.shape[1] > MAX_FEATURES:
        return sample
    subsample = sample.subsample(MAX_ROWS, np.random.default_rng(0))
    rows = ArraySource(subsample.rows, subsample.weight)
    first = InitialMoments(rows, engine, 1, nearest_centre(np.zeros((1, rows.n_features))))
    stopping = StopRule(max_steps=MAX_STEPS, deadline=time.monotonic() + seconds_left())
    end = run_to_sound_end(rows, engine, first.model(FAMILIES["full"], objective), objective, stopping)
    return sample if end is None else replace(sample, estimates=engine.filled_rows(sample.rows, end.model.parameters))
