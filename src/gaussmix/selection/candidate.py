"""Candidates, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass

from gaussmix.em.restarts import Run
from gaussmix.em.trace import Frozen, Trace
from gaussmix.errors import SingularCovariance, name_components
from gaussmix.families.base import Family
from gaussmix.selection.criteria import Evidence


@dataclass(frozen=True)
class Candidate:
    """A structure and a number of components."""

    family: Family
    n_components: int


@dataclass(frozen=True, eq=False)
class Result:
    """What became of a candidate.

    Parameters
    ----------
    candidate : what was tried.
    run : the best one; None where there was none.
    n_parameters : free ones, also of what failed.
    evidence : what it is judged by; None where it failed.
    failure : why it failed, "kind: details"; None where it did not.
    seconds : it took.
    """

    candidate: Candidate
    run: Run | None
    n_parameters: int
    evidence: Evidence | None
    failure: str | None
    seconds: float


def why_failed(error: ValueError) -> str:
    """The few words for a table that an error of a fit has."""
    if isinstance(error, SingularCovariance):
        return f"singular covariance: {name_components(error.components)}"
    return "likelihood not finite: rescale the columns of X"


def why_unsound(trace: Trace) -> str | None:
    """The few words for a run whose likelihood can't be compared with others; None where it can."""
    collapsed = sorted(k for k, why in trace.frozen.items() if why is Frozen.COLLAPSED)
    return f"collapsed onto too few distinct rows: {name_components(collapsed)}" if collapsed else None
