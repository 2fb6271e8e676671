"""Small tables: whole fits and predictions beside scikit-learn, and steps of EM by the core alone and from Python.

    python -m bench.pages.small    # a minute; writes bench/results/small.md

All is on one thread, fits and predictions in processor time. Calls that are compared take turns, some at a time. Steps
are of the same fit of iris, from the same partition. The least time of many repeats counts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter, process_time
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
Fits and predictions are in processor time. Asked of a default fit: ×1. It is a search in all these rows. With tied
covariances a move changes all components, so that it is judged on all rows. At least 20 swaps are tried in the end,
each in four steps of EM or more; where scikit-learn ends after a few steps, that takes as long as its whole fit."""
SECONDS, TOGETHER = 0.5, 10  # of the repeats of each figure; calls in a row
COMPONENTS = 3, 6
SIZES = (300, 2, 3), (1000, 2, 3), (5000, 4, 4), (5000, 4, 10)  # rows, features, components of whole fits
ASKED = {(300, "full"): 5, (300, "diag"): 5, (5000, "full"): 8, (5000, "tied"): 6}  # times faster, from k-means


def begun(family: Family, n_components: int) -> tuple[ArraySource, Model]:
    """Iris, and the model of a cut of Ward's tree."""
    rows = load_iris().data
    labels = fcluster(ward(rows), n_components, "maxclust") - 1
    source = ArraySource(rows, None, labels.astype(np.int32))
    first = InitialMoments(source, NativeEngine(), n_components, Partition())
    return source, first.model(family, Ridge(np.zeros(rows.shape[1])))


def seconds_of(call: Callable[[], Any], clock: Callable[[], float] = perf_counter) -> float:
    began = clock()
    call()
    return clock() - began


def step(engine: Engine[Any], source: ArraySource, start: Model) -> float:
    """Microseconds of a step."""
    objective = Ridge(np.zeros(source.n_features))
    least, until = {FEW: np.inf, MANY: np.inf}, perf_counter() + SECONDS
    while perf_counter() < until:
        for n_steps in least:
            states = run_em(source, engine, start, objective, Stopping(0.0, n_steps))
            least[n_steps] = min(least[n_steps], seconds_of(partial(final, states)))
    return 1e6 * (least[MANY] - least[FEW]) / (MANY - FEW)


def in_turns(*calls: Callable[[], Any]) -> list[float]:
    """Microseconds of each call, the least of many."""
    least, until = [np.inf] * len(calls), perf_counter() + SECONDS * len(calls)
    while perf_counter() < until:
        least = [
            min(before, *(seconds_of(call, process_time) for _ in range(TOGETHER)))
            for before, call in zip(least, calls, strict=True)
        ]
    return [1e6 * seconds for seconds in least]


def whole_fits() -> list[str]:
    """A table of fits from both starts."""
    lines = ["", "| rows | K | structure | scikit-learn | k-means start | ratio | asked | default | ratio |"]
    lines.append("|---|---:|---|" + "---:|" * 6)
    for n_rows, n_features, n_components in SIZES:
        rng = np.random.default_rng(0)
        centres = 5 * rng.normal(size=(n_components, n_features))
        rows = centres[rng.integers(n_components, size=n_rows)] + rng.normal(size=(n_rows, n_features))
        for structure in "full", "tied", "diag":
            options: dict[str, Any] = {"covariance_type": structure, "random_state": 0}
            ours = partial(GaussianMixture, n_components, n_jobs=1, **options)
            theirs = sklearn.mixture.GaussianMixture(n_components, **options)
            single, plain, default = in_turns(
                *(partial(each.fit, rows) for each in (theirs, ours(init_params="kmeans"), ours()))
            )
            asked = f"×{ASKED[n_rows, structure]}" if (n_rows, structure) in ASKED else ""
            lines.append(
                f"| {n_rows} × {n_features} | {n_components} | {structure} | {single:.0f} | {plain:.0f} | "
                f"×{single / plain:.1f} | {asked} | {default:.0f} | ×{single / default:.1f} |"
            )
            print(lines[-1], flush=True)
    return lines


def predictions() -> list[str]:
    """A table of answers for one row."""
    lines = ["", "| of one row, 4 features, K = 4 | gaussmix | scikit-learn | ratio |", "|---|" + "---:|" * 3]
    rows = np.random.default_rng(0).normal(size=(5000, 4))
    fitted: list[Any] = [each(4).fit(rows) for each in (GaussianMixture, sklearn.mixture.GaussianMixture)]
    for method in "predict", "predict_proba", "score_samples":
        ours, theirs = in_turns(*(partial(getattr(each, method), rows[:1]) for each in fitted))
        lines.append(f"| {method} | {ours:.0f} | {theirs:.0f} | ×{theirs / ours:.1f} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser_of(__doc__).parse_args()
    steps = f"steps: of iris, 150 × 4, from runs of {FEW} and of {MANY} steps"
    lines = head("Small tables", f"`python -m bench.pages.small`; microseconds; {steps}", facts())
    with threadpool_limits(1):  # threads of BLAS get in the way here
        lines += [*whole_fits(), *predictions(), *REASON.split("\n")]
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
