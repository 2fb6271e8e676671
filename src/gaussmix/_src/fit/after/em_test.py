"""The EM-test of one normal component against two, for one feature; Chen & Li (2009), Annals of Statistics 37."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np

from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import final_state
from gaussmix._src.em.priors.posterior import ConjugatePrior, PosteriorObjective, WeightUpdate
from gaussmix._src.em.step.loop import em_step, run_em
from gaussmix._src.engines import make_engine
from gaussmix._src.engines.base import Engine
from gaussmix._src.families import FAMILIES
from gaussmix._src.interfaces.parameters import LOG_2PI
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.sources.base import Source

INITIAL_SECOND_WEIGHTS = 0.1, 0.3, 0.5  # initial weights of the second component
VARIANCE_PENALTY = 0.25  # factor of the penalty on variances that differ from the variance of all values
FIXED_WEIGHT_STEPS, FREE_WEIGHT_STEPS = 300, 3  # numbers of EM steps with fixed weights and then with free weights
MIN_VARIANCE = 0.05  # minimum initial variance of a component, as a fraction of the variance of all values
CHI2_DOF = 2  # degrees of freedom of the limiting χ² distribution of the statistic


def em_test_statistic(values: Array) -> float:
    """Compute twice the gain in penalised log-likelihood of `values` (n,) from a second component, in nats.

    The penalty of a weight α is log(1 − |1 − 2 α|). The penalty of a variance σ² is −¼ (s² / σ² + log(σ² / s²)), where
    s² is the variance of all values (sections 2.1 and 3). If the values come from one normal distribution, the
    distribution of the statistic tends to χ² with two degrees of freedom. Initial weights, penalties and numbers of EM
    steps equal those in the authors' R package MixtureInf 1.1.
    """
    x = values / np.abs(values).max()  # scaling avoids overflow and does not change the statistic
    x = (x - x.min()) / np.ptp(x)
    x = (x - x.mean()) / x.std()
    alone = -0.5 * len(x) * (1 + LOG_2PI) - 2 * VARIANCE_PENALTY  # value for two equal components
    return max(2 * (max(_best_height(x, weight) for weight in INITIAL_SECOND_WEIGHTS) - alone), 0.0)


def _best_height(x: Array, weight: float) -> float:
    """Return the penalised log-likelihood after the best EM run with the given initial weight of component 2."""
    source, engine, stopping = ArraySource(x[:, None]), make_engine(1), StopRule(0.0, FIXED_WEIGHT_STEPS)
    objective = penalised_likelihood(weight)
    ends = [final_state(run_em(source, engine, start, objective, stopping)) for start in initial_models(x, weight)]
    steps = [_height_and_step(source, engine, objective, end.model) for end in ends]
    height, model = max(steps, key=itemgetter(0))
    for _ in range(FREE_WEIGHT_STEPS):
        height, model = _height_and_step(source, engine, objective, model)
    return height


def penalised_likelihood(weight: float) -> Objective:
    """Return the log-likelihood plus the penalty on variances, for a fixed weight of component 2.

    If the variance of all values is 1, the penalty is the logarithm of a prior density.
    """
    penalty = 2 * VARIANCE_PENALTY
    prior = ConjugatePrior(np.zeros(1), 0.0, np.full(1, penalty), penalty, 0.0)
    return PosteriorObjective(np.zeros(1), prior, WeightUpdate(fixed_weights={0: 1 - weight, 1: weight}))


def _height_and_step(source: Source, engine: Engine[Any], objective: Objective, model: Model) -> tuple[float, Model]:
    """Return the penalised log-likelihood of a model, and the model after an EM step that changes the weights, too."""
    moments, following, _ = em_step(source, engine, model, objective, {})
    weight_penalty = math.log(1 - abs(1 - 2 * model.weights[1]))
    n, mass = source.n_rows, float(moments.mass[1])
    weight = min((mass + 1) / (n + 1), 0.5) if mass < n / 2 else max(mass / (n + 1), 0.5)
    following = replace(following, weights=np.array([1 - weight, weight]))
    return moments.log_likelihood + objective.log_prior(model) + weight_penalty, following


def initial_models(x: Array, weight: float) -> Iterator[Model]:
    """Yield the initial models with the given weight of component 2, for values of mean 0 and variance 1."""
    ordered, cut = np.sort(x), max(1, round(weight * len(x)))
    parts = (ordered[cut:], ordered[:cut]), (ordered[:-cut], ordered[-cut:])
    sides = [([each.mean() for each in pair], [max(each.var(), MIN_VARIANCE) for each in pair]) for pair in parts]
    for means, variances in (*sides, ([0.0, 0.0], [0.5, 2.0]), ([0.0, 0.0], [1.5, 0.3])):
        weights = np.array([1 - weight, weight])
        yield Model.from_arrays(weights, np.array(means)[:, None], np.array(variances), FAMILIES["diag"])
