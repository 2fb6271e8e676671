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
    n_seen = 0

    def report(trace: Trace) -> None:
        nonlocal last, n_seen
        now, timed = perf_counter(), verbose > 1
        course = [float("-inf"), *trace.log_likelihood]
        for number in range(n_seen + 1, trace.n_steps + 1):
            if number % interval == 0:
                change = course[number] - course[number - 1]
                details = f"\t time lapse {now - last:.5f}s\t ll change {change:.5f}" if timed else ""
                print(f"  Iteration {number}{details}")
                last = now
        n_seen = trace.n_steps
        if trace.outcome is not None:
            ended = "converged" if trace.outcome is Outcome.CONVERGED else "did not converge"
            details = f" time lapse {now - began:.5f}s\t lower bound {trace.last:.5f}." if timed else ""
            print(f"Initialization {ended}.{details}")

    return report
