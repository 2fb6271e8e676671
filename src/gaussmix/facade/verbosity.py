"""What `verbose` prints, in scikit-learn's words."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from gaussmix.em.loop import Report
from gaussmix.em.trace import Trace


def reports(verbose: int, interval: int) -> Iterator[Report | None]:
    """A report for each run of EM: None in silence, from 2 on with times and likelihoods."""
    run = 0
    while True:
        if verbose:
            print(f"Initialization {run}")
        yield _report(verbose, interval) if verbose else None
        run += 1


def _report(verbose: int, interval: int) -> Report:
    last = perf_counter()

    def report(trace: Trace) -> None:
        nonlocal last
        if trace.n_steps % interval:
            return
        if verbose == 1:
            print(f"  Iteration {trace.n_steps}")
            return
        now, change = perf_counter(), trace.last - (trace.log_likelihood[-2] if trace.n_steps > 1 else -float("inf"))
        print(f"  Iteration {trace.n_steps}\t time lapse {now - last:.5f}s\t ll change {change:.5f}")
        last = now

    return report
