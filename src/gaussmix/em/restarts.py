"""Several starts; the run that ends with the largest likelihood is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gaussmix.em.trace import Frozen, Trace
from gaussmix.errors import NonFiniteLikelihood, Outcome, SingularCovariance
from gaussmix.mixture.mixture import Mixture

Run = tuple[Mixture, Trace]


def best_run(starts: Iterable[Callable[[], Run]]) -> Run:
    """Run each and keep the best; the first of equals. A run without collapsed components beats any with one.

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
        elif best is None or _merit(trace) > _merit(best[1]):
            best = mixture, trace
    if best is None:
        assert failure is not None, "at least one start"
        raise failure
    return best


def _merit(trace: Trace) -> tuple[bool, float]:
    """What runs are compared by: the likelihood of a collapsed component tells when it was frozen, not how it fits."""
    return Frozen.COLLAPSED not in trace.frozen.values(), trace.last
