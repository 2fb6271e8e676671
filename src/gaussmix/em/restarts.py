"""Several starts; the run that ends with the largest likelihood is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gaussmix.em.trace import Trace
from gaussmix.errors import NonFiniteLikelihood, Outcome, SingularCovariance
from gaussmix.mixture.mixture import Mixture

Run = tuple[Mixture, Trace]


def best_run(starts: Iterable[Callable[[], Run]]) -> Run:
    """Run each and keep the best; the first of equals.

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
        elif best is None or trace.last > best[1].last:
            best = mixture, trace
    if best is None:
        assert failure is not None, "at least one start"
        raise failure
    return best
