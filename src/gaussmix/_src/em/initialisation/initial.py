"""The first M-step, from the responsibilities of a partition to the model from which EM starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.background import Background
from gaussmix._src.em.initialisation.base import Partition
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.em.step.best_of import MIN_RACE_TOLERANCE, race_models
from gaussmix._src.em.step.fast_path import model_from_history
from gaussmix._src.em.step.maximise import initial_models
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.calls import EMSettings, FitSettings, RowGroups
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.interfaces.moment_spec import MomentSpec, Second
from gaussmix._src.interfaces.moments import Moments
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.base import Source

MIN_NOISE_FRACTION = 1e-9  # if the components lack a larger fraction of the row weight, the rest is background
SPLIT_DISTANCE = 0.1  # distance between a component and each of its halves, in standard deviations


@dataclass(eq=False)
class InitialMoments:
    """Moments of rows under a partition, which are summed only once for all covariance structures.

    Threads read the rows one at a time. The fraction of rows that a partition leaves out is the background's weight.
    """

    source: Source
    engine: Engine[Any]
    n_components: int
    partition: Partition
    noise: Background | None = None
    _cached_moments: dict[MomentSpec, Moments] = field(default_factory=dict, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def sum_about_means(self, spec: MomentSpec) -> tuple[Moments, Array]:
        """Sum the moments of `spec` about the means (n_components, n_features), data units, and return both.

        A component without rows gets its mean in the partition, or the mean of all rows if the partition has no means.
        """
        with self._lock:
            if spec.projection is not None:  # moments that no other structure can use
                return self._sum_moments(spec, self._partition_means), self._partition_means
            if spec not in self._cached_moments:
                self._cached_moments[spec] = self._sum_moments(spec, self._partition_means)
            return self._cached_moments[spec], self._partition_means

    def model(
        self, family: Family, objective: Objective, source: Source | None = None, tolerance: float = MIN_RACE_TOLERANCE
    ) -> Model:
        """Make the first model by an M-step; raise `SingularCovarianceError` if a component has too few distinct rows.

        If the structure has several initial covariances, EM runs from each, and the model of the best run is returned.
        These runs read `source`, which has the same rows and is needed if other threads use these moments. Their
        tolerance, nats per unit of row weight, is not lower than the tolerance of the fit.
        """
        rows = source or self.source
        sharp = self.partition.hard_assignment(rows.whole)
        if sharp is not None and not family.has_alternatives:
            result = self._model_from_core(rows, sharp, family, objective)
            if result is not None:
                return result.beside(self.noise)
        moments, means = self.sum_about_means(family.moment_spec(None))
        noise = self.noise
        if noise is not None and moments.mass.sum() < moments.row_weight * (1 - MIN_NOISE_FRACTION):
            noise = noise.weighing(1 - moments.mass.sum() / moments.row_weight)
        models = [model.beside(noise) for model in initial_models(moments, family, objective, means)]
        model = models[0]
        if len(models) > 1:
            model = race_models(models, rows, self.engine, objective, tolerance)
        for _ in range(family.n_first_updates - 1):
            moments, means = self.sum_about_means(family.moment_spec(model.covariances))
            updated = initial_models(moments, family, objective, means, model.covariances)[0]
            model = updated.beside(noise)
        return model

    def _model_from_core(
        self, source: Source, start: Array | NDArray[np.int32], family: Family, objective: Objective
    ) -> Model | None:
        """Make the model of an M-step in the core, with each row in a single component; None if Python must make it.

        `start` are centres (n_components, n_features), of which each row takes the nearest, or labels (n_rows,).
        """
        block, terms = source.whole, objective.pack_for_core(self.n_components)
        if family.algebra is None or terms is None or terms[1] is not None:
            return None
        if block is None or block.n_rows > LEAF_ROWS or block.log_prior is not None:
            return None
        start = start if start.flags.c_contiguous else start.copy()
        settings = FitSettings(
            family.algebra, self.n_components, start, EMSettings(terms[0], 0.0, 0), unit=self.partition.unit
        )
        fits = self.engine.fit_many(RowGroups.from_block(block, 1.0), settings)
        history = None if fits is None else fits.run_history()
        return None if history is None else model_from_history(history, family)

    @cached_property
    def _partition_means(self) -> Array:
        rough, parameters = self._sum_moments(MomentSpec(Second.NONE), None), self.partition.parameters
        centre = rough.anchor + rough.first.sum(axis=0) / rough.mass.sum()
        return rough.means(centre if parameters is None else parameters.means)

    def _sum_moments(self, spec: MomentSpec, anchor: Array | None) -> Moments:
        parameters, rule, soft = self.partition.parameters, self.partition.rule, self.partition.responsibilities
        task = StepTask(self.engine, self.n_components, parameters, spec, rule, anchor=anchor, responsibilities=soft)
        return task.sum_moments(self.source)


def split_heaviest(model: Model, n_components: int) -> Model:
    """Split the heaviest component in two until there are `n_components` components.

    Both halves keep the covariance. Their means move by `SPLIT_DISTANCE` to both sides in the feature in which the
    component is widest compared with the mixture, and in all other features by regression on this one. The likelihood
    hardly falls, and EM moves the halves apart if that increases the likelihood.
    """
    noise, model = model.noise, model.without_noise
    while model.n_components < n_components:
        k = int(model.weights.argmax())
        weights, means, variances = model.weights, model.means, model.covariances.variances()
        centre = (weights[:, None] * means).sum(axis=0)
        total = (weights[:, None] * (variances + (means - centre) ** 2)).sum(axis=0)
        widest = int((variances[k] / total).argmax())
        step = SPLIT_DISTANCE * model.covariances.take([k]).dense()[0, widest] / np.sqrt(variances[k, widest])
        model = split_component(model, k, step)
    return model.beside(noise)


def split_component(model: Model, component: int, offset: Array) -> Model:
    """Replace a component by two halves, moved by ± `offset` (n_features,); the second half comes last."""
    larger = model.take([*range(model.n_components), component])
    weights, means = np.array(larger.weights), np.array(larger.means)
    weights[[component, -1]] *= 0.5
    means[[component, -1]] += [offset, -offset]
    return Model(weights, means, larger.covariances, larger.family)
