"""The results of all candidates as a table that data frames can be made from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from gaussmix.em.criteria import CRITERIA
from gaussmix.errors import Outcome
from gaussmix.families.base import Family
from gaussmix.fit.candidate import Result

Table = dict[str, list[Any]]


def results_table(results: Sequence[Result]) -> Table:
    """A list for each column, with a row for each candidate; a candidate that failed has NaN, except for its size."""
    has_factors = any(hasattr(result.candidate.family, "n_factors") for result in results)
    names = _names({result.candidate.family for result in results})
    rows = [_row(result, names, has_factors) for result in results]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _names(families: Collection[Family]) -> dict[Family, str]:
    """The name of each structure; where structures of one name differ in other options than `n_factors`, the value."""
    options = ((family.name, {**family.options, "n_factors": None}) for family in families)
    kinds = {(name, repr(sorted(each.items()))) for name, each in options}
    several = Counter(name for name, _ in kinds)
    return {family: family.name if several[family.name] == 1 else repr(family) for family in families}


def _row(result: Result, names: Mapping[Family, str], has_factors: bool) -> dict[str, Any]:
    family, evidence = result.candidate.family, result.evidence
    run = result.run
    return {
        "structure": names[family],
        "n_components": result.candidate.n_components,
        **({"n_factors": getattr(family, "n_factors", None)} if has_factors else {}),
        "log_likelihood": math.nan if evidence is None else evidence.log_likelihood,
        "n_parameters": result.n_parameters,
        **{name: math.nan if evidence is None else value(evidence) for name, value in CRITERIA.items()},
        "converged": run is not None and run.outcome is Outcome.CONVERGED,
        "n_iter": 0 if run is None else run.trace.n_steps,
        "seconds": result.seconds,
        "failure": None if result.failure is None else str(result.failure),
    }
