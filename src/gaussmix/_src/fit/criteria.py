"""Criteria that weigh the likelihood of a mixture against its number of parameters. Lower is better for all.

A search may also choose by held-out likelihood and by stability, of which the highest wins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gaussmix._src.em.step.accumulate import StepTask, collect_facts
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import MomentSpec, Rule, Second
from gaussmix._src.model import Model
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.row_statistics import Cells
from gaussmix._src.validation.parameters import check_name


@dataclass(frozen=True)
class Evidence:
    """The numbers that criteria are computed from.

    Parameters
    ----------
    log_likelihood : Σ_i s_i log p(x_i), nats, a total.
    classified : Σ_i s_i max_k log p(x_i, k), nats: the likelihood with each row in its most probable component.
    n_parameters : number of free parameters.
    row_weight : Σ_i s_i of rows with at least one value; the number of these rows if there are no weights.
    """

    log_likelihood: float
    classified: float
    n_parameters: int
    row_weight: float


def compute_evidence(mixture: Model, size: int, source: Source, engine: Engine[object], unit: float) -> Evidence:
    """Make one pass over the rows for a mixture with `size` free parameters; `unit` divided the row weights before."""
    spec, parameters = MomentSpec(Second.NONE), mixture.parameters
    context = collect_facts(source, engine, spec)
    task = _SoftAndHard(engine, mixture.n_components, parameters, spec, context=context)
    soft, hard = (engine.finish(sums, parameters, spec, context) for sums in source.map_merge(task))
    row_weight = soft.row_weight - (source.collect(Cells).empty_weight if source.may_miss else 0.0)
    return Evidence(soft.log_likelihood * unit, hard.log_likelihood * unit, size, row_weight * unit)


class _SoftAndHard(StepTask):
    """A soft step and a hard step in one pass."""

    def call(self, block: Block, state: Any) -> Any:
        hard = StepTask(self.engine, self.n_components, self.parameters, self.spec, Rule.HARD, context=self.context)
        return Sums([super().call(block, state), hard.call(block, state)])


def bic(evidence: Evidence) -> float:
    """−2 log L + p log n; Schwarz (1978), Annals of Statistics 6. mclust's has the opposite sign."""
    return -2 * evidence.log_likelihood + evidence.n_parameters * math.log(evidence.row_weight)


def icl(evidence: Evidence) -> float:
    """BIC of the classified likelihood; Biernacki, Celeux & Govaert (2000), IEEE PAMI 22. mclust's sign is opposite."""
    return -2 * evidence.classified + evidence.n_parameters * math.log(evidence.row_weight)


def aic(evidence: Evidence) -> float:
    """−2 log L + 2 p; Akaike (1974), IEEE Trans. Automatic Control 19."""
    return -2 * evidence.log_likelihood + 2 * evidence.n_parameters


def aicc(evidence: Evidence) -> float:
    """AIC + 2 p (p + 1) / (n − p − 1), infinite for n ≤ p + 1; Hurvich & Tsai (1989), Biometrika 76."""
    size, spare = evidence.n_parameters, evidence.row_weight - evidence.n_parameters - 1
    return aic(evidence) + (2 * size * (size + 1) / spare if spare > 0 else math.inf)


CRITERIA: dict[str, Callable[[Evidence], float]] = {"bic": bic, "icl": icl, "aic": aic, "aicc": aicc}
CROSS_VALIDATION = "cv"
STABILITY = "stability"
HIGHER = (CROSS_VALIDATION, STABILITY)  # the highest of these wins; of `CRITERIA`, the lowest


def name_criterion(criterion: str) -> str:
    """The name of a criterion, as people read it."""
    return criterion if criterion == STABILITY else criterion.upper()


def structures(results: Mapping[str, Sequence[Any]]) -> list[str]:
    """The structure of each candidate in a table of results, with its number of factors."""
    n_factors = results.get("n_factors", [None] * len(results["structure"]))
    pairs = zip(results["structure"], n_factors, strict=True)
    return [name if count is None else f"{name} {count}" for name, count in pairs]


def check_criterion(criterion: Any) -> str:
    """The name of a criterion."""
    return check_name("criterion", criterion, (*CRITERIA, *HIGHER))
