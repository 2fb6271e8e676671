"""Compare fits and predictions of small tables with scikit-learn's, and steps of EM by the core with steps from Python.

    python -m bench.pages.small    # a minute; writes bench/results/small.md

All measurements use one thread; fits and predictions are measured in processor time. Calls that are compared alternate,
several in a row. Steps belong to the same fit of iris, from the same partition. The least time of many repeats counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter, process_time
from typing import Any

import numpy as np
import sklearn.mixture
from scipy.cluster.hierarchy import fcluster, ward
from sklearn.datasets import load_iris
from threadpoolctl import threadpool_limits

from bench.pages.base import Page, parser_of, seconds_of
from gaussmix import FAMILIES, GaussianMixture
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import final_state
from gaussmix._src.em.step.loop import run_em
from gaussmix._src.engines.complete.engine import CompleteEngine
from gaussmix._src.model import Model
from gaussmix._src.sources.array import ArraySource
from gaussmix.extend import Family, Partition

FEW, MANY = 5, 30  # steps of two runs, so that the fixed cost of a run cancels out in the difference
REASON = """\
Fits and predictions are in processor time. A default fit must be at least as fast as scikit-learn's (×1). The default
fits in this table all include a split-and-merge search. With tied covariances, a move changes all components, so it is
evaluated on all rows. Unless the bounds show that no move helps, a search ends after four or more consecutive failed
moves, each with at least four EM steps. If scikit-learn converges after a few steps, these moves may take as long as
its whole fit."""
SECONDS, TOGETHER = 0.5, 10  # time for the repeats of each figure; calls in a row
COMPONENTS = 3, 6
SIZES = (300, 2, 3), (1000, 2, 3), (5000, 4, 4), (5000, 4, 10)  # rows, features, components of whole fits
# required speed-ups of fits from k-means
REQUIRED = {(300, "full"): 5, (300, "diag"): 5, (5000, "full"): 8, (5000, "tied"): 6}


def initial_model(family: Family, n_components: int) -> tuple[ArraySource, Model]:
    """Return iris, and the model of a cut of Ward's tree."""
    rows = load_iris().data
    labels = fcluster(ward(rows), n_components, "maxclust") - 1
    source = ArraySource(rows, None, labels.astype(np.int32))
    first = InitialMoments(source, CompleteEngine(), n_components, Partition())
    return source, first.model(family, Objective(np.zeros(rows.shape[1])))


class ByPython(StopRule):
    """A convergence rule that the core does not support, so that Python makes the steps."""


def step(rule: type[StopRule], source: ArraySource, start: Model) -> float:
    """Return microseconds of a step."""
    objective = Objective(np.zeros(source.n_features))
    least, until = {FEW: np.inf, MANY: np.inf}, perf_counter() + SECONDS
    while perf_counter() < until:
        for n_steps in least:
            states = run_em(source, CompleteEngine(), start, objective, rule(0.0, n_steps))
            least[n_steps] = min(least[n_steps], seconds_of(partial(final_state, states)))
    return 1e6 * (least[MANY] - least[FEW]) / (MANY - FEW)


def in_turns(*calls: Callable[[], Any]) -> list[float]:
    """Return microseconds of each call, the least of many."""
    least, until = [np.inf] * len(calls), perf_counter() + SECONDS * len(calls)
    while perf_counter() < until:
        least = [
            min(before, *(seconds_of(call, process_time) for _ in range(TOGETHER)))
            for before, call in zip(least, calls, strict=True)
        ]
    return [1e6 * seconds for seconds in least]


def whole_fits() -> Iterator[tuple[object, ...]]:
    """Return the rows of a table of fits from both initialisations."""
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
            required = f"×{REQUIRED[n_rows, structure]}" if (n_rows, structure) in REQUIRED else None
            ratios = [f"×{single / each:.1f}" for each in (plain, default)]
            times = [f"{each:.0f}" for each in (single, plain, default)]
            shape = f"{n_rows} × {n_features}", n_components, structure
            yield (*shape, *times[:2], ratios[0], required, times[2], ratios[1])


def predictions() -> Iterator[tuple[str, ...]]:
    """Return the rows of a table of predictions for one row."""
    rows = np.random.default_rng(0).normal(size=(5000, 4))
    fitted: list[Any] = [each(4).fit(rows) for each in (GaussianMixture, sklearn.mixture.GaussianMixture)]
    for method in "predict", "predict_proba", "score_samples":
        ours, theirs = in_turns(*(partial(getattr(each, method), rows[:1]) for each in fitted))
        yield method, f"{ours:.0f}", f"{theirs:.0f}", f"×{theirs / ours:.1f}"


def steps() -> Iterator[tuple[object, ...]]:
    """Return the rows of a table of steps on iris."""
    for n_components in COMPONENTS:
        for name, family in FAMILIES.items():
            if family.algebra is not None:
                source, start = initial_model(family, n_components)
                alone, single = (step(rule, source, start) for rule in (StopRule, ByPython))
                yield name, n_components, f"{alone:.1f}", f"{single:.0f}", f"×{single / alone:.0f}"


def main() -> None:
    parser_of(__doc__).parse_args()
    how = f"microseconds; EM steps are timed on iris (150 × 4), from runs of {FEW} and {MANY} steps"
    page = Page(__file__, "Small tables", how)
    with threadpool_limits(1):  # BLAS threads would only slow down such small fits
        names = "rows | K | structure | scikit-learn | from k-means | ratio | required | default | ratio"
        page.table(names, whole_fits(), n_words=3)
        page.table("method, for one row, 4 features, K = 4 | gaussmix | scikit-learn | ratio", predictions())
        page.say(*REASON.splitlines())
    page.table("structure, EM steps | K | in the core | from Python | ratio", steps())
    page.write()


if __name__ == "__main__":
    main()
