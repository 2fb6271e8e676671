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


class Collapsed(SingularCovariance):
    """Components fell onto too few distinct rows in the course of EM: no likelihood that others compare with."""


def refuse_collapsed(trace: Trace) -> None:
    """Raise `Collapsed` where it has come to that: what EM does with the other components is of no use then."""
    collapsed = sorted(k for k, why in trace.frozen.items() if why is Frozen.COLLAPSED)
    if collapsed:
        raise Collapsed(collapsed)


def why_failed(error: ValueError) -> str:
    """The few words for a table that an error of a fit has."""
    if isinstance(error, SingularCovariance):
        kind = Frozen.COLLAPSED.value if isinstance(error, Collapsed) else "singular covariance"
        return f"{kind}: {name_components(error.components)}"
    return "likelihood not finite: rescale the columns of X"
