"""Measure one peer on one case in a separate process. The table runs `python -m bench.peers.measure OUT JSON`.

The time of an iteration is the difference between a long and a short fit, so that validation, copies, compilation and a
final E-step cancel out. A budget of seconds decides how many iterations the long fit makes, and how often both are
repeated. If the budget does not allow the fewest repeats on all rows, the peer gets fewer rows, and its time is scaled
in proportion.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.cases import Case
from bench.peak import rise_of_peak
from bench.peers import PEERS
from bench.peers.base import Peer, Problem
from bench.peers.process import parse_arguments

LEAST_REPEATS, MOST_REPEATS = 2, 3  # a single repeat would include any interruption
LEAST_ITERATIONS, MOST_ITERATIONS = 2, 20
FEWEST = 5_000  # least number of rows, if a peer cannot take all


@dataclass(frozen=True)
class Plan:
    """A plan within a budget: rows, extra iterations of the long fit, and repeats."""

    n_rows: int
    iterations: int
    repeats: int


def plan(iteration: float, overhead: float, tried: int, n_rows: int, budget: float, whole: bool) -> Plan:
    """Spend the budget on rows first, then on repeats, then on iterations.

    Parameters
    ----------
    iteration, overhead : seconds of an iteration, and of the rest of a fit, with `tried` rows.
    tried : rows of the fits that were timed.
    n_rows : rows of the case.
    budget : seconds for all fits together.
    whole : whether to take all rows even if this exceeds the budget.
    """
    short_and_long = 2 * overhead + (2 + LEAST_ITERATIONS) * iteration
    least = LEAST_REPEATS * short_and_long / tried  # seconds per row of the fewest repeats
    used = n_rows if whole else min(n_rows, max(tried, int(budget / least)))
    repeats = int(np.clip(budget * LEAST_REPEATS / (used * least), LEAST_REPEATS, MOST_REPEATS))
    spare = budget / repeats - used * least / LEAST_REPEATS
    further = int(spare / (iteration * used / tried))
    return Plan(used, int(np.clip(LEAST_ITERATIONS + further, LEAST_ITERATIONS, MOST_ITERATIONS)), repeats)


def timed(peer: Peer, problem: Problem, iterations: int, threads: int) -> tuple[float, float | None]:
    """Return seconds of a fit, by the peer's own clock if it has one, and megabytes or None if it reports none."""
    time.sleep(0.1)  # until threads have stopped spinning
    before = time.perf_counter()
    fit = peer.fit(problem, iterations, threads)
    seconds = time.perf_counter() - before
    return (seconds if fit.seconds is None else fit.seconds), fit.megabytes


def time_probe(peer: Peer, problem: Problem, iterations: int, budget: float) -> float:
    """Return seconds of a fit with one thread: the smaller of two, or of a single fit if it takes the whole budget."""
    seconds, _ = timed(peer, problem, iterations, 1)
    return seconds if seconds > budget else min(seconds, timed(peer, problem, iterations, 1)[0])


def make_plan(peer: Peer, problem: Problem, budget: float) -> Plan:
    """Make a plan from fits of few rows, and then of more, because small fits may be mostly overhead."""
    n, k, d = len(problem.rows), *problem.means.shape
    tried = min(n, max(FEWEST, 2 * k * d))  # rows that suffice for regular covariances
    while True:
        part = problem.head(tried)
        peer.prepare(part)
        short, long = (time_probe(peer, part, length, budget) for length in (1, 2))
        iteration = max(long - short, 0.1 * long)
        chosen = plan(iteration, max(short - iteration, 0), tried, n, budget, peer.whole)
        if chosen.n_rows == n or chosen.n_rows <= 4 * tried:
            return chosen
        tried *= 4


def seconds_of(
    peer: Peer, problem: Problem, chosen: Plan, threads: Sequence[int], first: int = 1
) -> tuple[dict[int, float | None], float | None]:
    """Return seconds per iteration by number of threads, None if they stall, and megabytes if the peer reports them.

    Fits alternate. The result is the least long fit minus the least short one, which has `first` iterations. A number
    of threads that once takes five times as long as one thread is left out, because a fit may take minutes if the host
    takes a core away while threads spin.
    """
    lengths = first, first + chosen.iterations
    least = {(count, length): np.inf for count in threads for length in lengths}
    stalled: set[int] = set()
    megabytes = None
    peer.prepare(problem)
    for _ in range(chosen.repeats):
        for count, length in least:
            if count not in stalled:
                seconds, megabytes = timed(peer, problem, length, count)
                least[count, length] = min(least[count, length], seconds)
                if seconds > 5 * least[threads[0], length]:
                    stalled.add(count)
    short, long = ({count: least[count, length] for count in threads} for length in lengths)
    found = {count: None if count in stalled else (long[count] - short[count]) / chosen.iterations for count in threads}
    return found, megabytes


def measure(peer: Peer, case: Case, budget: float) -> dict[str, Any]:
    """Return seconds per iteration of all rows by number of threads, megabytes besides the rows, and the plan.

    Megabytes are the rise of the peak over all fits together, because a single fit may use memory that an earlier fit
    left. The budget in seconds covers all numbers of threads together.
    """
    problem = Problem.of(case)
    small = Problem.of(Case(case.structure, 1_000, 2, 2))
    peer.prepare(small)
    for count in peer.threads:  # loads everything that a first fit loads
        peer.fit(small, 2, count)

    def fits() -> tuple[Plan, tuple[dict[int, float | None], float | None]]:
        chosen = make_plan(peer, problem, budget / len(peer.threads))
        first = peer.settles if case.separated else 1
        return chosen, seconds_of(peer, problem.head(chosen.n_rows), chosen, peer.threads, first)

    (chosen, (found, counted)), rise = rise_of_peak(fits)
    times = {str(count): seconds for count, seconds in found.items() if seconds is not None and seconds > 0}
    if not times:
        raise RuntimeError(f"the difference of fits was lost in noise: {found}")
    scaled = {count: seconds * case.n_rows / chosen.n_rows for count, seconds in times.items()}
    megabytes = rise if counted is None else counted
    return {"seconds": scaled, "megabytes": megabytes, **vars(chosen)}


if __name__ == "__main__":
    arguments = parse_arguments(__doc__, "request")
    request = json.loads(arguments.request)
    found = measure(PEERS[request["peer"]], Case(**request["case"]), request["budget"])
    arguments.out.write_text(json.dumps(found))
