"""Several starts; the run that ends with the largest likelihood is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gaussmix.em.trace import Frozen, Trace
from gaussmix.errors import NonFiniteLikelihood, Outcome, SingularCovariance
from gaussmix.model import Model

Run = tuple[Model, Trace]

ROUNDING = 1e-10  # nats, or of the log-likelihood: runs to one maximum, by another order of the components, differ so


def best_run(starts: Iterable[Callable[[], Run]]) -> Run:
    """Run each and keep the best; the first of equals but for rounding, which no engine or threads then decide.

    A run without collapsed components beats any with one.

    Raises
    ------
    SingularCovariance : no start had covariances; the error of the last one.
    NonFiniteLikelihood : the likelihood of the last start was not a finite number, and no other start did better.
    """
    best: Run | None = None
    failure: ValueError | None = None
    for start in starts:
        try:
            mixture, trace = start()
        except SingularCovariance as error:
            failure = error
            continue
        if trace.outcome is Outcome.NON_FINITE:
            failure = NonFiniteLikelihood()
        elif best is None or _is_better(trace, best[1]):
            best = mixture, trace
    if best is None:
        assert failure is not None, "at least one start"
        raise failure
    return best


def _is_better(one: Trace, other: Trace) -> bool:
    """By likelihood, unless one has collapsed: then it tells when that component was frozen, not how it fits."""
    collapsed, other_collapsed = (Frozen.COLLAPSED in trace.frozen.values() for trace in (one, other))
    if collapsed != other_collapsed:
        return other_collapsed
    return one.last > other.last + ROUNDING * max(1.0, abs(other.last))
