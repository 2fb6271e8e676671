"""What `verbose` prints, in scikit-learn's words."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from gaussmix.em.loop import Report
from gaussmix.em.trace import Trace
from gaussmix.errors import Outcome


def reports(verbose: int, interval: int) -> Iterator[Report | None]:
    """A report for each run of EM: None in silence, from 2 on with times and likelihoods."""
    run = 0
    while True:
        if verbose:
            print(f"Initialization {run}")
        yield _report(verbose, interval) if verbose else None
        run += 1


def _report(verbose: int, interval: int) -> Report:
    began = last = perf_counter()

    def report(trace: Trace) -> None:
        nonlocal last
        now, timed = perf_counter(), verbose > 1
        if trace.n_steps % interval == 0:
            change = trace.last - (trace.log_likelihood[-2] if trace.n_steps > 1 else float("-inf"))
            details = f"\t time lapse {now - last:.5f}s\t ll change {change:.5f}" if timed else ""
            print(f"  Iteration {trace.n_steps}{details}")
            last = now
        if trace.outcome is not None:
            ended = "converged" if trace.outcome is Outcome.CONVERGED else "did not converge"
            details = f" time lapse {now - began:.5f}s\t lower bound {trace.last:.5f}." if timed else ""
            print(f"Initialization {ended}.{details}")

    return report
