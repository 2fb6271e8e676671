"""Candidates, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gaussmix.em.criteria import Evidence
from gaussmix.em.trace import State, Trace
from gaussmix.errors import Failure
from gaussmix.families.base import Family


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
    run : the end of its best run; None where there was none.
    n_parameters : number of free parameters, also of a candidate that failed.
    evidence : what criteria are made of; None where it failed.
    failure : why it failed; None if it did not.
    seconds : how long it took.
    ends : the trace of each run that ended with a finite likelihood.
    """

    candidate: Candidate
    run: State | None
    n_parameters: int
    evidence: Evidence | None
    failure: Failure | None
    seconds: float
    ends: Sequence[Trace] = ()

    @property
    def was_begun(self) -> bool:
        """Whether there was a fit at all, however it ended."""
        return self.failure is None or self.failure.kind.was_begun
