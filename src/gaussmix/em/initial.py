"""From rows that are shared among components to the model that EM starts from: an M-step first."""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np

from gaussmix.em.accumulate import StepTask
from gaussmix.em.fast_path import FastPath
from gaussmix.em.loop import TOLERANCE_IN_SINGLE, run_em
from gaussmix.em.maximise import initial_models
from gaussmix.em.objective import Objective
from gaussmix.em.restarts import best_run
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import final
from gaussmix.engines.base import Engine
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array
from gaussmix.sources.base import Source
from gaussmix.starts.base import Partition
from gaussmix.waist.moments import Moments
from gaussmix.waist.need import Need, Second

FEW_STEPS = 4  # enough to see which of several initial models is the best
APART = 0.1  # standard deviations between a component and each of its halves


class InitialMoments:
    """Moments of rows as a partition shares them. Structures may share them: each kind of moments is summed once.

    Parameters
    ----------
    source : the rows; threads read them one at a time.
    engine : sums moments over them.
    n_components : K.
    partition : how the rows are shared.
    """

    def __init__(self, source: Source, engine: Engine[Any], n_components: int, partition: Partition) -> None:
        self._source, self.engine = source, engine
        self._n_components, self.partition = n_components, partition
        self._made: dict[Need, Moments] = {}
        self._one_at_a_time = Lock()

    def about_means(self, need: Need) -> tuple[Moments, Array]:
        """Sum moments about the means.

        Returns
        -------
        moments : of the kind that is needed.
        means : (n_components, n_features), data units. A component without rows has the place that the partition
            gives it, and the mean of all rows where that gives none.
        """
        with self._one_at_a_time:
            if need.projection is not None:  # which no other structure has
                return self._sum(need, self._means), self._means
            if need not in self._made:
                self._made[need] = self._sum(need, self._means)
            return self._made[need], self._means

    def model(self, family: Family, objective: Objective, source: Source | None = None) -> Model:
        """Make weights, means and covariances of the rows as they are shared.

        Where the family has several initial covariances, a few steps of EM from each tell which to take.

        Parameters
        ----------
        family : the covariance structure.
        objective : what EM is going to raise.
        source : the same rows for those steps, where other threads use these moments.

        Raises
        ------
        SingularCovariance : a component has too few distinct rows for a covariance; the message names it.
        """
        centres = self.partition.centres
        if centres is not None and not family.has_alternatives:
            fast = FastPath(source or self._source, self.engine, family, self._n_components, objective, Stopping())
            found = fast.begin(centres)
            if found is not None:
                return found
        moments, means = self.about_means(family.need(None))
        models = initial_models(moments, family, self.engine, objective, means)
        model = models[0]
        if len(models) > 1:
            model = _most_promising(models, source or self._source, self.engine, objective)
        for _ in range(family.n_first_updates - 1):
            moments, means = self.about_means(family.need(model.covariances))
            model = initial_models(moments, family, self.engine, objective, means, model.covariances)[0]
        return model

    @cached_property
    def _means(self) -> Array:
        rough, parameters = self._sum(Need(Second.NONE), None), self.partition.parameters
        centre = rough.anchor + rough.first.sum(axis=0) / rough.mass.sum()
        return rough.means(centre if parameters is None else parameters.means)

    def _sum(self, need: Need, anchor: Array | None) -> Moments:
        parameters, rule, share = self.partition.parameters, self.partition.rule, self.partition.share
        task = StepTask(self.engine, self._n_components, parameters, need, rule, anchor=anchor, share=share)
        return task.over(self._source)


def split(model: Model, n_components: int) -> Model:
    """Cut the heaviest component in two, until there are `n_components`.

    The halves keep its covariance. Their means are `APART` before and behind its mean: in the feature in which it is
    widest compared with the mixture, and in the others as they follow from that one. So near, the likelihood is hardly
    below that of the model, and EM moves the halves apart where that raises it.
    """
    while model.n_components < n_components:
        k = int(model.weights.argmax())
        weights, means, variances = model.weights, model.means, model.covariances.variances()
        centre = (weights[:, None] * means).sum(axis=0)
        total = (weights[:, None] * (variances + (means - centre) ** 2)).sum(axis=0)
        widest = int((variances[k] / total).argmax())
        step = APART * model.covariances.take([k]).dense()[0, widest] / np.sqrt(variances[k, widest])
        model = model.take([*range(model.n_components), k])
        weights, means = np.array(model.weights), np.array(model.means)
        weights[[k, -1]] *= 0.5
        means[[k, -1]] += [step, -step]
        model = Model(weights, means, model.covariances, model.family)
    return model


def _most_promising(models: list[Model], source: Source, engine: Engine[Any], objective: Objective) -> Model:
    """The model from which a few steps lead highest; of equals the first.

    Biernacki, Celeux & Govaert (2003), Computational Statistics & Data Analysis 41.
    """
    few = Stopping(TOLERANCE_IN_SINGLE, FEW_STEPS)
    ends = [final(run_em(source, engine, model, objective, few)) for model in models]
    return models[ends.index(best_run([end] for end in ends))]
