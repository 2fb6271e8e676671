"""Time an EM step on float32 rows beside one on the same rows in float64.

    python -m bench.pages.float32        about two minutes; writes results/float32.md

Each step runs on one thread, with full covariances, 16 overlapping components and given parameters. The number of rows
is such that a step in float64 takes 20 to 50 ms. Three steps are timed: on float64 rows, on float32 rows in float32
arithmetic, and on float32 rows that are widened to float64. They alternate, and the least of twelve counts, in
processor time, because other work on the machine disturbs that less. GAUSSMIX_ISA=avx2 times the kernels for AVX2.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.pages.base import Page, facts, least_seconds, parser_of
from gaussmix import Mixture
from gaussmix.engines.native.engine import NativeEngine
from gaussmix.engines.native.float32 import suits_single
from gaussmix.families.base import FAMILIES
from gaussmix.waist.block import Block
from gaussmix.waist.need import Need, Second

N_COMPONENTS = 16
N_FEATURES = 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 128
WORK = 1.2e9  # multiply-adds of a step
REPEATS = 12
BARS = "at least 1.7 from 16 features on, 1.4 below"


def measure(n_features: int) -> tuple[int, list[float]]:
    """The number of rows, and seconds of a step: float64, float32, float32 widened."""
    rng = np.random.default_rng(n_features)
    mixture = overlapping(rng, n_features)
    assert suits_single(mixture.parameters)
    n_rows = int(WORK / (N_COMPONENTS * (n_features**2 + 5 * n_features + 20)))
    narrow = mixture.sample(n_rows, rng)[0].astype(np.float32)
    engine, need = NativeEngine(1), Need(Second.FULL)
    tried: dict[str, tuple[Any, Any]] = {
        "float64": (narrow.astype(np.float64), None),
        "float32": (narrow, None),
        "widened": (narrow, mixture.means),
    }
    steps = {name: step_of(engine, Block(0, rows), mixture, need, anchor) for name, (rows, anchor) in tried.items()}
    assert [step().in_single for step in steps.values()] == [False, True, False]
    return n_rows, [*least_seconds(steps, REPEATS, time.thread_time).values()]


def overlapping(rng: np.random.Generator, n_features: int) -> Mixture:
    """Components that are close together, each with its own correlations."""
    shape = N_COMPONENTS, n_features, n_features
    factors = np.tril(0.5 * rng.standard_normal(shape) / np.sqrt(n_features)) + np.eye(n_features)
    means = 0.05 * rng.standard_normal(shape[:2])
    return Mixture(
        np.full(N_COMPONENTS, 1 / N_COMPONENTS), means, factors @ factors.transpose(0, 2, 1), FAMILIES["full"]
    )


def step_of(engine: NativeEngine, block: Block, mixture: Mixture, need: Need, anchor: Any) -> Callable[[], Any]:
    state = engine.open(block, need, N_COMPONENTS)
    return lambda: engine.step(block, state, mixture.parameters, need, anchor=anchor)


def cells(n_features: int) -> tuple[object, ...]:
    """A row of the table."""
    n_rows, times = measure(n_features)
    pair = 1e9 * times[1] / n_rows / N_COMPONENTS
    shown = [f"{1e3 * seconds:.1f}" for seconds in times]
    return (n_features, f"{n_rows:,}", *shown, f"×{times[0] / times[1]:.2f}", f"{pair:.2f}")


def main() -> None:
    """Measure, and write the page."""
    parser_of(__doc__).parse_args()
    machine = {name: value for name, value in facts().items() if name != "scikit-learn"}
    page = Page(__file__, "float32 beside float64", f"the bars: {BARS}", machine)
    page.say(f"Milliseconds of processor time of an EM step on one thread: full, K = {N_COMPONENTS}, overlapping.")
    names = "d | n | float64 | float32 | float32, widened | ratio | ns per row and component in float32"
    page.table(names, map(cells, N_FEATURES), n_words=0)
    page.write()


if __name__ == "__main__":
    main()
