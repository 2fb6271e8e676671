"""Candidates, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass

from gaussmix.em.restarts import Run
from gaussmix.em.trace import Frozen, Trace
from gaussmix.errors import Failure, FailureKind, SingularCovariance
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
    failure : why it failed; None if it did not.
    seconds : it took.
    """

    candidate: Candidate
    run: Run | None
    n_parameters: int
    evidence: Evidence | None
    failure: Failure | None
    seconds: float


class Collapsed(SingularCovariance):
    """Components fell onto too few distinct rows in the course of EM: no likelihood that others compare with."""


def refuse_collapsed(trace: Trace) -> None:
    """Raise `Collapsed` where it has come to that: what EM does with the other components is of no use then."""
    collapsed = sorted(k for k, why in trace.frozen.items() if why is Frozen.COLLAPSED)
    if collapsed:
        raise Collapsed(collapsed)


def why_failed(error: ValueError) -> Failure:
    """The failure that an error of a fit stands for."""
    if isinstance(error, SingularCovariance):
        kind = FailureKind.COLLAPSED if isinstance(error, Collapsed) else FailureKind.SINGULAR
        return Failure(kind, error.components)
    return Failure(FailureKind.NON_FINITE, details="rescale the columns of X")
