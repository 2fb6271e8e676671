"""The results of all candidates as a table that data frames can be made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gaussmix.em.criteria import CRITERIA
from gaussmix.errors import Outcome
from gaussmix.fit.candidate import Result

Table = dict[str, list[Any]]


def results_table(results: Sequence[Result]) -> Table:
    """A list for each column, with a row for each candidate; a candidate that failed has NaN, except for its size."""
    has_factors = any("n_factors" in result.candidate.family.options for result in results)
    rows = [_row(result, has_factors) for result in results]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _row(result: Result, has_factors: bool) -> dict[str, Any]:
    family, evidence = result.candidate.family, result.evidence
    run = result.run
    return {
        "structure": family.name,
        "n_components": result.candidate.n_components,
        **({"n_factors": family.options.get("n_factors")} if has_factors else {}),
        "log_likelihood": math.nan if evidence is None else evidence.log_likelihood,
        "n_parameters": result.n_parameters,
        **{name: math.nan if evidence is None else value(evidence) for name, value in CRITERIA.items()},
        "converged": run is not None and run.outcome is Outcome.CONVERGED,
        "n_iter": 0 if run is None else run.trace.n_steps,
        "seconds": result.seconds,
        "failure": None if result.failure is None else str(result.failure),
    }
