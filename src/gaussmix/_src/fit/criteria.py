"""Information criteria, which weigh the likelihood of a mixture against its number of parameters; lower is better.
Model selection may also use the held-out likelihood or the stability; for both, the highest value is the best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gaussmix._src.em.step.accumulate import StepTask, prepare_context
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec, Second
from gaussmix._src.interfaces.moments import Moments
from gaussmix._src.model import Model
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.row_statistics import Cells
from gaussmix._src.validation.parameters import check_name


@dataclass(frozen=True)
class CriterionInputs:
    """Values of a fitted mixture from which all criteria are computed.

    Parameters
    ----------
    log_likelihood : log-likelihood Σ_i s_i log p(x_i) of all rows x_i with weights s_i, in nats.
    classification_likelihood : log-likelihood Σ_i s_i max_k log p(x_i, k), in nats, if each row x_i is in its most
        probable component k. Rows without observed values add s_i log p(x_i).
    n_parameters : number of free parameters of the mixture.
    row_weight : total weight of the rows with at least one observed value; without weights, the number of these rows.
    """

    log_likelihood: float
    classification_likelihood: float
    n_parameters: int
    row_weight: float


def compute_inputs(model: Model, n_parameters: int, rows: Source, engine: Engine[Any], unit: float) -> CriterionInputs:
    """Compute the inputs of the criteria in one pass over `rows`, whose row weights were divided by `unit`."""
    soft, hard = soft_and_hard_moments(model, rows, engine)
    row_weight = soft.row_weight - (rows.collect(Cells).empty_weight if rows.may_miss else 0.0)
    return CriterionInputs(soft.log_likelihood * unit, hard.log_likelihood * unit, n_parameters, row_weight * unit)


def soft_and_hard_moments(model: Model, rows: Source, engine: Engine[Any]) -> tuple[Moments, Moments]:
    """Return the moments of a soft and of a hard E-step, without second moments, from one pass over the rows.

    The engine must be exact: a truncated engine would need `begin_pass`.
    """
    spec, parameters = MomentSpec(Second.NONE), model.parameters
    context = prepare_context(rows, engine, spec)
    task = _SoftAndHardStep(engine, model.n_components, parameters, spec, context=context)
    soft, hard = (engine.finish(sums, parameters, spec, context) for sums in rows.map_merge(task))
    return soft, hard


class _SoftAndHardStep(StepTask):
    """Task that performs both a soft and a hard E-step in one pass over the rows."""

    def call(self, block: Block, state: Any) -> Any:
        hard = StepTask(
            self.engine, self.n_components, self.parameters, self.spec, AssignmentRule.HARD, context=self.context
        )
        soft = super().call(block, state)
        if not self.engine.is_incomplete or not (are_empty := block.are_empty).any():
            return Sums([soft, hard.call(block, state)])
        # Rows without observed values are in no cluster, so they add log p(x) to both likelihoods.
        weights = (np.where(mask, block.weight, 0.0) for mask in (are_empty, ~are_empty))
        empty, others = (replace(block, row_weight=weight) for weight in weights)
        return Sums([soft, super().call(empty, state) + hard.call(others, state)])


def bic(inputs: CriterionInputs) -> float:
    """Compute −2 log L + p log n; Schwarz (1978), Annals of Statistics 6. mclust reports the opposite sign."""
    return -2 * inputs.log_likelihood + inputs.n_parameters * math.log(inputs.row_weight)


def icl(inputs: CriterionInputs) -> float:
    """Compute ICL, the BIC with the classification likelihood (mclust: −ICL); Biernacki and others (2000), PAMI 22."""
    return -2 * inputs.classification_likelihood + inputs.n_parameters * math.log(inputs.row_weight)


def aic(inputs: CriterionInputs) -> float:
    """Compute −2 log L + 2 p; Akaike (1974), IEEE Transactions on Automatic Control 19."""
    return -2 * inputs.log_likelihood + 2 * inputs.n_parameters


def aicc(inputs: CriterionInputs) -> float:
    """Compute AIC + 2 p (p + 1) / (n − p − 1), or infinity if n ≤ p + 1; Hurvich & Tsai (1989), Biometrika 76."""
    size, spare = inputs.n_parameters, inputs.row_weight - inputs.n_parameters - 1
    return aic(inputs) + (2 * size * (size + 1) / spare if spare > 0 else math.inf)


CRITERIA: dict[str, Callable[[CriterionInputs], float]] = {"bic": bic, "icl": icl, "aic": aic, "aicc": aicc}
CROSS_VALIDATION = "cv"
STABILITY = "stability"
HIGHER_IS_BETTER = (CROSS_VALIDATION, STABILITY)  # criteria for which the highest value is the best


def criterion_title(criterion: str) -> str:
    """Return the name of a criterion in the form that is shown to users."""
    return criterion if criterion == STABILITY else criterion.upper()


def structure_names(results: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the structure name of each candidate in a table of results, followed by the number of factors, if any."""
    n_factors = results.get("n_factors", [None] * len(results["structure"]))
    pairs = zip(results["structure"], n_factors, strict=True)
    return [name if count is None else f"{name} {count}" for name, count in pairs]


def check_criterion(criterion: Any) -> str:
    """Return the parameter `criterion` if it is the name of a criterion; otherwise raise an error."""
    return check_name("criterion", criterion, (*CRITERIA, *HIGHER_IS_BETTER))
