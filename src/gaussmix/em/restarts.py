"""Several starts: the run that ends with the largest objective is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from gaussmix.em.trace import State, Trace, final
from gaussmix.errors import NonFiniteLikelihood, Outcome, SingularCovariance

# Nats, relative where the objective is above 1: ends of runs to one maximum differ by less, in the order of components.
ROUNDING = 1e-10

# A run of EM from a start; or from where an earlier one stood, which began with the same start.
Run = Callable[[State | None], Iterator[State]]


def best_run(runs: Iterable[Iterable[State]], ends: list[Trace] | None = None) -> State:
    """Make each run and keep the end of the best.

    Of runs that are equal up to rounding the first is kept, so that neither the engine nor the number of threads
    decides. A run without collapsed components beats any with one.

    Parameters
    ----------
    runs : the states of each; a run raises `SingularCovariance` where its start has no covariances.
    ends : gets the trace of each run that ended with a finite likelihood.

    Raises
    ------
    SingularCovariance : no start had covariances; the error of the last one.
    NonFiniteLikelihood : the likelihood of the last start was not a finite number, and no other start did better.
    """
    best: State | None = None
    failure: ValueError | None = None
    for states in runs:
        try:
            end = final(states)
        except SingularCovariance as error:
            failure = error
            continue
        if end.outcome is Outcome.NON_FINITE:
            failure = NonFiniteLikelihood()
        else:
            best = better(best, end)
            if ends is not None:
                ends.append(end.trace)
    if best is None:
        assert failure is not None, "at least one start"
        raise failure
    return best


def better(best: State | None, end: State) -> State:
    """The better of two ends of runs; the first of equals."""
    return end if best is None or _is_better(end.trace, best.trace) else best


def _is_better(one: Trace, other: Trace) -> bool:
    """Compare by objective, unless one run has collapsed: its objective says when that component was frozen."""
    if bool(one.collapsed) != bool(other.collapsed):
        return not one.collapsed
    return one.last > other.last + ROUNDING * max(1.0, abs(other.last))
