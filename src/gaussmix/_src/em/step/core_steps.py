"""Several EM steps in one call of the C++ core, as long as no step needs the Python loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.step.accumulate import prepare_context
from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.calls import EMSettings, RunHistory
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.algebra import Algebra
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.model import Model
from gaussmix._src.noise_component import NoiseComponent
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.base import Source


@dataclass(frozen=True, eq=False)
class CoreSteps:
    """Object that runs EM steps of a run in the C++ core. The fields are the arguments of `run_em`."""

    source: Source
    engine: Engine[Any]
    family: Family
    n_components: int
    objective: Objective
    stopping: StopRule

    def run_steps(
        self, model: Model, n_steps: int, previous_objective: float, max_steps: int | None = None
    ) -> tuple[Model, list[float], list[float]]:
        """Continue a run from a model by as many EM steps as the C++ core can make in one call.

        `n_steps` is the number of earlier steps of the run, and `previous_objective` is the objective of the last
        earlier step. `max_steps`, the stopping rule or a time limit ends the call. Callers repeat the call until the
        stopping rule ends the run. Return the model, and lists of the mean log-likelihood and the objective before each
        step. Both lists are empty if Python must run the next step.
        """
        if self._core_task is None or not self.supports_model(model):
            return model, [], []
        (block, context, algebra, em_settings), left = self._core_task, self.stopping.max_steps - n_steps
        left = left if max_steps is None else min(left, max_steps)
        em_settings = em_settings._replace(max_steps=left, previous_objective=previous_objective)
        if model.noise is not None:
            em_settings = em_settings._replace(log_noise_volume=model.noise.log_volume)
        start = model.all_weights, model.means, model.covariances.array
        history = self.engine.run_em(block, context, start, algebra, em_settings)
        if not history.log_likelihood:
            return model, [], []
        return model_from_history(history, self.family, model.noise), history.log_likelihood, history.objective

    def supports_model(self, model: Model) -> bool:
        """Return whether the C++ core supports EM steps from a model."""
        if self._core_task is None:
            return False
        block, _, algebra, em_settings = self._core_task
        prior, has_noise = em_settings.prior, model.noise is not None
        return self.engine.supports_core_steps(block, self.n_components, algebra, prior, has_noise)

    @cached_property
    def _core_task(self) -> tuple[Block, Any, Algebra, EMSettings] | None:
        """Return the inputs of the C++ core except the model: all rows, engine context, structure, EM settings.

        The result is None if there are too many rows, or if the covariance structure, the objective or the stopping
        rule requires steps in Python.
        """
        algebra, block = self.family.algebra, self.source.whole
        terms = self.objective.pack_for_core(self.n_components) if type(self.stopping) is StopRule else None
        if algebra is None or terms is None or block is None or block.n_rows > LEAF_ROWS:
            return None
        em_settings = EMSettings(terms[0], self.stopping.tolerance, 0, prior=terms[1])
        return block, prepare_context(self.source, self.engine, self.family.moment_spec(None)), algebra, em_settings


def model_from_history(history: RunHistory, family: Family, noise: NoiseComponent | None = None) -> Model:
    """Return the model after the last step of a history. `noise` is the noise component with which the run began."""
    weights, (n_components, n_features) = history.weights, history.means.shape
    array = history.covariances.reshape(family.shape(n_components, n_features))
    covariances = family.kind.from_array(array, n_components, n_features, family.is_shared, history.whitening)
    if noise is None:
        return Model(weights, history.means, covariances, family)
    return Model(weights[:-1], history.means, covariances, family, noise.with_weight(float(weights[-1])))


def step_multiply_adds(model: Model) -> float:
    """Return the approximate number of multiply-adds per row of an EM step, according to time measurements."""
    (K, d), is_shared = model.means.shape, model.covariances.is_shared
    matrix_cost = (0.3 if is_shared else 0.75) * d * (d + 1)
    return float(K * (20 + (matrix_cost if model.covariances.second is Second.FULL else 2 * d)))
