"""Measure how near the kernels come to the limits of the processor, as percentages of the peak and of a bound.

    python -m bench.pages.roofline        # five minutes; writes bench/results/roofline.md

A step is the core's pass over the rows, an E-step with the sums for the M-step, on overlapping clusters. The useful
operations of a full step are n K (2 d² + 6 d). The peak is measured by a loop of fused multiply-adds, which runs
between the steps. Steps and peak are measured in processor time of one thread, and the least of many runs counts,
because other work on the machine affects it least. instructions.py counts the vector instructions of each structure,
which give the bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bench import fma, instructions
from bench.pages.base import Page, parser_of, seconds_of
from gaussmix import _core

REPEATS = 40  # runs of each step, of which the fastest counts
WORK = 2.5e8  # multiply-adds of a step, which takes about 10 ms
# The core's codes of structure and second moments.
STRUCTURES = {"spherical": (0, 1), "diag": (1, 2), "tied": (2, 0), "full": (2, 3)}
FULL = [(2, 8), (2, 16), (3, 16), (4, 16), (5, 16), (6, 16), (7, 16), (8, 16), (10, 16), (12, 16), (16, 16),
        (24, 16), (32, 32), (64, 32), (128, 16)]  # fmt: skip
COUNTED = {"full": instructions.full, "tied": instructions.tied}
FLAT = [(2, 16), (4, 16), (8, 16), (16, 16), (32, 32), (64, 32), (128, 16)]
BARS = {2: 22, 3: 32, 4: 40, 5: 45, 6: 45, 7: 45, 8: 60, 12: 65, 16: 73, 32: 80, 64: 80, 128: 80}
AVX2_BAR, FLAT_BAR, SCALING_BAR = 55, 75, 92


def make_step(target: Any, structure: str, d: int, k: int, n_threads: int = 1, scale: float = 1.0) -> tuple[Any, int]:
    """Return a step of the core on rows of overlapping clusters, and the number of these rows."""
    rng = np.random.default_rng(0)
    number, second = STRUCTURES[structure]
    pairs = {"full": d * d + 20, "tied": 3 * d + 30 + d * d / (2 * k)}  # multiply-adds of a row and a component
    pair = pairs.get(structure, 8 * d + 40)
    n = 144 * max(28, int(scale * min(200_000, WORK / (k * pair)) / 144))
    means = 0.05 * rng.normal(size=(k, d))
    rows = rng.normal(size=(n, d)) + means[rng.integers(k, size=n)]
    triangles = np.eye(d) + 0.1 * np.tril(rng.normal(size=(k, d, d))) / d**0.5
    factors = {
        "full": triangles, "tied": triangles[:1], "diag": np.ones((k, d)), "spherical": np.ones(k)
    }[structure]  # fmt: skip
    origin, anchor = (np.zeros(d), None) if structure == "tied" else (None, means)
    arguments = rows, None, None, origin, np.full(k, -1.0), means, number, factors, anchor, 0, second, n_threads
    return lambda: target.step(*arguments), n


def least(step: Callable[[], Any], isa: str) -> tuple[float, float]:
    """Return the least seconds of a step on one thread, and the largest peak."""
    seconds, peak = np.inf, 0.0
    for _ in range(REPEATS):
        peak = max(peak, fma.operations_per_second(isa))
        seconds = min(seconds, seconds_of(step, time.thread_time))
    return seconds, peak


def measure_full(target: Any) -> list[dict[str, Any]]:
    """Return the percentage of the peak for each of the sizes `FULL`, counting useful operations."""
    found = []
    for d, k in FULL:
        step, n = make_step(target, "full", d, k)
        seconds, peak = least(step, target.isa)
        share = 100 * n * k * (2 * d * d + 6 * d) / seconds / peak
        bar = BARS.get(d) if target.isa == "avx512" else AVX2_BAR if d >= 8 else None
        found.append({"isa": target.isa, "d": d, "K": k, "ns": 1e9 * seconds / n / k, "share": share, "bar": bar})
    return found


def measure_bounded(target: Any, structure: str) -> list[dict[str, Any]]:
    """Return the percentage of the instruction bound for each of the sizes `FLAT`.

    In each cycle, the peak's loop makes two multiply-adds of eight numbers, which are 32 operations.
    """
    found = []
    for d, k in FLAT:
        step, n = make_step(target, structure, d, k)
        seconds, peak = least(step, target.isa)
        count = instructions.total(COUNTED.get(structure, partial(instructions.flat, structure))(d, k))
        cycles = 8 * seconds / (n * k) * peak / 32  # for eight pairs of a row and a component
        found.append(
            {"structure": structure, "d": d, "K": k, "ns": 1e9 * seconds / n / k, "multiply": count.multiply,
             "other": count.other, "bound": count.cycles, "cycles": cycles, "share": 100 * count.cycles / cycles}
        )  # fmt: skip
    return found


def measure_threads(target: Any) -> list[dict[str, Any]]:
    """Return the speed-up by a second thread, of the steps and of the peak's loop: least times of alternating runs."""
    found = []
    for structure, d, k, scale in [("full", 2, 8, 1), ("full", 8, 16, 1), ("full", 16, 16, 1), ("full", 32, 32, 1),
                                   ("full", 64, 32, 1), ("diag", 16, 16, 1), ("full", 8, 16, 0.25),
                                   ("full", 8, 16, 0.05)]:  # fmt: skip
        runs = {n: make_step(target, structure, d, k, n, scale)[0] for n in (1, 2)}
        steps, loops = dict.fromkeys(runs, np.inf), dict.fromkeys(runs, np.inf)
        for _ in range(REPEATS):
            for n, step in runs.items():
                loops[n] = min(loops[n], fma.elapsed(target.isa, n) / n)
                steps[n] = min(steps[n], seconds_of(step))
        scaling, peak = steps[1] / steps[2], loops[1] / loops[2]
        found.append({"structure": structure, "d": d, "K": k, "ms": 1e3 * steps[1], "scaling": scaling, "peak": peak,
                      "share": 100 * scaling / peak})  # fmt: skip
    return found


def main() -> None:
    parser_of(__doc__).parse_args()
    page, newest = Page(__file__, "Shares of the peak", "its help explains how each figure is measured"), _core.active()
    every = [r for target in {target.isa: target for target in _core.targets()}.values() for r in measure_full(target)]
    page.say("## Full covariances, one thread")
    page.table(
        "instructions | d | K | ns per pair | share of the peak | required",
        (
            (r["isa"], r["d"], r["K"], f"{r['ns']:.2f}", f"{r['share']:.0f} %", r["bar"] and f"{r['bar']} %")
            for r in every
        ),
    )
    bounded_results = [r for structure in STRUCTURES for r in measure_bounded(newest, structure)]
    page.say("## The bound of the vector instructions, one thread, AVX-512")
    page.table(
        "structure | d | K | ns per pair | multiplications | others | bound, cycles | measured | share",
        (
            (r["structure"], r["d"], r["K"], f"{r['ns']:.2f}", f"{r['multiply']:.0f}", f"{r['other']:.0f}",
             f"{r['bound']:.1f}", f"{r['cycles']:.1f}", f"{r['share']:.0f} %")
            for r in bounded_results
        ),
    )  # fmt: skip
    page.say(f"Counts are for eight pairs of a row and a component. Diag and spherical must reach {FLAT_BAR} %.")
    page.say("## Two threads")
    two = measure_threads(newest)
    page.table(
        "| d | K | one thread, ms | speed-up | of the peak's loop | share",
        (
            (r["structure"], r["d"], r["K"], f"{r['ms']:.2f}", f"{r['scaling']:.2f}", f"{r['peak']:.2f}",
             f"{r['share']:.0f} %")
            for r in two
        ),
    )  # fmt: skip
    page.say(
        f"Steps of 2 ms and more must reach {SCALING_BAR} %. Shorter steps must not be slower than with one thread."
    )
    page.write()


if __name__ == "__main__":
    main()
