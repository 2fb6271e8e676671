"""What `verbose` prints, in scikit-learn's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter

from gaussmix.em.trace import State
from gaussmix.errors import Outcome


def printed(runs: Iterable[Iterator[State]], verbose: int, interval: int) -> Iterator[Iterator[State]]:
    """Pass runs of EM on, and print how far each has come as it is made.

    Parameters
    ----------
    runs : the states of each run.
    verbose : 0 prints nothing; from 2 on times and likelihoods are printed too.
    interval : steps between two lines.
    """
    for number, states in enumerate(runs):
        yield _printed(states, number, verbose > 1, interval) if verbose else states


def _printed(states: Iterator[State], number: int, has_times: bool, interval: int) -> Iterator[State]:
    print(f"Initialization {number}")
    began = last = perf_counter()
    n_seen = 0
    for state in states:
        now, trace = perf_counter(), state.trace
        course = [float("-inf"), *trace.objective]
        for step in range(n_seen + 1, trace.n_steps + 1):
            if step % interval == 0:
                change = course[step] - course[step - 1]
                details = f"\t time lapse {now - last:.5f}s\t ll change {change:.5f}" if has_times else ""
                print(f"  Iteration {step}{details}")
                last = now
        n_seen = trace.n_steps
        if state.outcome is not None and n_seen:
            ended = "converged" if state.outcome is Outcome.CONVERGED else "did not converge"
            details = f" time lapse {now - began:.5f}s\t lower bound {trace.last:.5f}." if has_times else ""
            print(f"Initialization {ended}.{details}")
        yield state
