"""The first M-step, which computes the initial model of EM from the responsibilities of a partition."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.initialisation.base import Partition
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.em.step.best_of import MIN_RACE_TOLERANCE, race_models
from gaussmix._src.em.step.core_steps import model_from_history
from gaussmix._src.em.step.maximise import initial_models
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.calls import EMSettings, FitSettings, RowGroups
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.interfaces.moment_spec import MomentSpec, Second
from gaussmix._src.interfaces.moments import Moments
from gaussmix._src.model import Model
from gaussmix._src.noise_component import NoiseComponent
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.base import Source

MIN_NOISE_FRACTION = 1e-9  # rows in no component become noise if they have more than this fraction of all weight
SPLIT_DISTANCE = 0.1  # distance by which the mean of each half of a split component moves, in standard deviations


@dataclass(eq=False)
class InitialMoments:
    """Moments of the rows under a partition, summed once and shared by all covariance structures that need them.

    A lock ensures that only one thread reads the rows at a time. If a partition leaves out rows, the fraction of
    left-out rows becomes the weight of the noise component.
    """

    source: Source
    engine: Engine[Any]
    n_components: int
    partition: Partition
    noise: NoiseComponent | None = None
    _cached_moments: dict[MomentSpec, Moments] = field(default_factory=dict, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def sum_about_means(self, spec: MomentSpec) -> tuple[Moments, Array]:
        """Return the moments about the means, as requested by `spec`, and the means (n_components, n_features).

        A component without rows gets its mean from the partition's parameters or, without parameters, from all rows.
        """
        with self._lock:
            if spec.projection is not None:  # not cached, because no other structure can use projected moments
                return self._sum_moments(spec, self._partition_means), self._partition_means
            if spec not in self._cached_moments:
                self._cached_moments[spec] = self._sum_moments(spec, self._partition_means)
            return self._cached_moments[spec], self._partition_means

    def model(
        self, family: Family, objective: Objective, source: Source | None = None, tolerance: float = MIN_RACE_TOLERANCE
    ) -> Model:
        """Make the initial model by an M-step, or raise `SingularCovarianceError` if a covariance is singular.

        If the structure has several initial covariances, EM runs from each one, and the best run's model is returned.
        The EM runs read `source`, which has the same rows as `self.source` and is needed if other threads use this
        object. `tolerance`, in nats per unit of row weight, ends the EM runs; it is not below the fit's tolerance.
        """
        rows = source or self.source
        start = self.partition.hard_assignment(rows.whole)
        if start is not None and not family.has_alternatives:
            result = self._model_from_core(rows, start, family, objective)
            if result is not None:
                return result.with_noise(self.noise)
        moments, means = self.sum_about_means(family.moment_spec(None))
        noise = self.noise
        if noise is not None and moments.mass.sum() < moments.row_weight * (1 - MIN_NOISE_FRACTION):
            noise = noise.with_weight(1 - moments.mass.sum() / moments.row_weight)
        models = [model.with_noise(noise) for model in initial_models(moments, family, objective, means)]
        model = models[0]
        if len(models) > 1:
            model = race_models(models, rows, self.engine, objective, tolerance)
        for _ in range(family.n_first_updates - 1):
            moments, means = self.sum_about_means(family.moment_spec(model.covariances))
            updated = initial_models(moments, family, objective, means, model.covariances)[0]
            model = updated.with_noise(noise)
        return model

    def _model_from_core(
        self, source: Source, start: Array | NDArray[np.int32], family: Family, objective: Objective
    ) -> Model | None:
        """Make the initial model from a hard assignment by an M-step in the C++ core; None if the core cannot do so.

        `start` contains labels (n_rows,) or centres (n_components, n_features) to which the nearest rows are assigned.
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
    """Split the heaviest component in two, repeatedly, until there are `n_components` components.

    Both halves keep the covariance of the component. The means of the two halves move in opposite directions, by
    `SPLIT_DISTANCE` in the feature in which the component is widest compared with the mixture. In the other features,
    the means move as predicted by regression on the widest feature. The split hardly decreases the likelihood, and EM
    moves the halves further apart if this increases the likelihood.
    """
    noise, model = model.noise, model.without_noise
    while model.n_components < n_components:
        k = int(model.weights.argmax())
        variances = model.covariances.variances()
        widest = int((variances[k] / model.feature_variances).argmax())
        step = SPLIT_DISTANCE * model.covariances.take([k]).dense()[0, widest] / np.sqrt(variances[k, widest])
        model = split_component(model, k, step)
    return model.with_noise(noise)


def split_component(model: Model, component: int, offset: Array) -> Model:
    """Replace a component by two halves, with means moved by ± `offset` (n_features,); the second half comes last."""
    larger = model.take([*range(model.n_components), component])
    weights, means = np.array(larger.weights), np.array(larger.means)
    weights[[component, -1]] *= 0.5
    means[[component, -1]] += [offset, -offset]
    return Model(weights, means, larger.covariances, larger.family)
