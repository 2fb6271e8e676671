"""Small tables: whole fits and predictions beside scikit-learn, and steps of EM by the core alone and from Python.

    python -m bench.pages.small    # a minute; writes bench/results/small.md

Fits and predictions of the two libraries take turns. Steps are of the same fit of iris, from the same partition. The
least time of many repeats counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import sklearn.mixture
from scipy.cluster.hierarchy import fcluster, ward
from sklearn.datasets import load_iris
from threadpoolctl import threadpool_limits

from bench.pages.base import RESULTS, facts, head, parser_of
from gaussmix import GaussianMixture
from gaussmix.em.initial import InitialMoments
from gaussmix.em.loop import run_em
from gaussmix.em.objective import Ridge
from gaussmix.em.stopping import Stopping
from gaussmix.em.trace import final
from gaussmix.engines.base import Engine
from gaussmix.engines.native.engine import NativeEngine
from gaussmix.families import FAMILIES
from gaussmix.families.base import Family
from gaussmix.model import Model
from gaussmix.sources.array import ArraySource
from gaussmix.starts.base import Partition
from gaussmix.testing.check_runner import Stepwise

RESULT = RESULTS / "small.md"
FEW, MANY = 5, 30  # steps of two runs: what a run costs once cancels out in the difference
REASON = """
Asked for: ×5 for a fit of 300 × 2, ×8 for 5000 × 4, ×3 for one row. The fits take turns, and the other library
leaves caches cold: in a loop of its own a fit of 300 × 2 takes 0.9 ms. One call of the core makes the start, the
ridge and EM, 0.2 ms of it; the rest are checks in Python. Of a fit of 5000 × 4 the core takes 1.7 ms: k-means 0.6,
EM and the first M-step 0.5, the variances of the ridge 0.3 and the sort of the rows 0.2. scikit-learn makes two
steps of EM there, too."""
SECONDS = 0.5  # of the repeats of each figure
COMPONENTS = 3, 6
MANY_ROWS = 5000
SIZES = (200, 2, 2), (300, 2, 3), (MANY_ROWS, 4, 5)  # rows, features, components of whole fits


def begun(family: Family, n_components: int) -> tuple[ArraySource, Model]:
    """Iris, and the model of a cut of Ward's tree."""
    rows = load_iris().data
    labels = fcluster(ward(rows), n_components, "maxclust") - 1
    source = ArraySource(rows, None, labels.astype(np.int32))
    first = InitialMoments(source, NativeEngine(), n_components, Partition())
    return source, first.model(family, Ridge(np.zeros(rows.shape[1])))


def seconds_of(call: Callable[[], Any]) -> float:
    began = perf_counter()
    call()
    return perf_counter() - began


def step(engine: Engine[Any], source: ArraySource, start: Model) -> float:
    """Microseconds of a step."""
    objective = Ridge(np.zeros(source.n_features))
    least, until = {FEW: np.inf, MANY: np.inf}, perf_counter() + SECONDS
    while perf_counter() < until:
        for n_steps in least:
            states = run_em(source, engine, start, objective, Stopping(0.0, n_steps))
            least[n_steps] = min(least[n_steps], seconds_of(partial(final, states)))
    return 1e6 * (least[MANY] - least[FEW]) / (MANY - FEW)


def in_turns(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """Microseconds of each call, the least of many."""
    least, until = [np.inf] * len(calls), perf_counter() + SECONDS * len(calls)
    while perf_counter() < until:
        least = [min(before, seconds_of(call)) for before, call in zip(least, calls, strict=True)]
    return [1e6 * seconds for seconds in least]


def beside_scikit_learn() -> list[str]:
    """Rows of the table of whole default fits, and of predictions for one row."""
    lines = ["", "| call | gaussmix, µs | scikit-learn, µs | ratio |", "|---|" + "---:|" * 3]

    def compare(name: str, calls: Sequence[Callable[[], Any]]) -> None:
        ours, theirs = in_turns(calls)
        lines.append(f"| {name} | {ours:.0f} | {theirs:.0f} | ×{theirs / ours:.1f} |")
        print(lines[-1], flush=True)

    for n_rows, n_features, n_components in SIZES:
        rng = np.random.default_rng(0)
        centres = 4 * rng.normal(size=(n_components, n_features))
        rows = centres[rng.integers(n_components, size=n_rows)] + rng.normal(size=(n_rows, n_features))
        fits: list[Any] = [
            estimator(n_components, random_state=0).fit(rows)
            for estimator in (GaussianMixture, sklearn.mixture.GaussianMixture)
        ]
        compare(f"fit of {n_rows} × {n_features}, K = {n_components}", [partial(each.fit, rows) for each in fits])
        if n_rows == MANY_ROWS:
            for method in "predict", "predict_proba", "score_samples":
                compare(f"{method} of one row", [partial(getattr(each, method), rows[:1]) for each in fits])
    return lines


def main() -> None:
    parser_of(__doc__).parse_args()
    steps = f"steps: of iris, 150 × 4, from runs of {FEW} and of {MANY} steps"
    lines = head("Small tables", f"`python -m bench.pages.small`; microseconds; {steps}", facts())
    with threadpool_limits(1):  # threads of BLAS get in the way here
        lines += [*beside_scikit_learn(), *REASON.split("\n")]
    lines += ["", "| steps of structure | K | by the core | from Python | ratio |", "|---|" + "---:|" * 4]
    for n_components in COMPONENTS:
        for name, family in FAMILIES.items():
            if family.algebra is None:
                continue
            source, start = begun(family, n_components)
            alone, single = (step(engine, source, start) for engine in (NativeEngine(), Stepwise(NativeEngine())))
            lines.append(f"| {name} | {n_components} | {alone:.1f} | {single:.0f} | ×{single / alone:.0f} |")
            print(lines[-1], flush=True)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
