"""Time steps of EM on a small table: by the core alone, and one by one from Python.

    python -m bench.pages.small    # a minute; writes bench/results/small.md

Both make the same steps of the same fit of iris, from the same partition. The least time of many repeats counts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import fcluster, ward
from sklearn.datasets import load_iris

from bench.pages.base import RESULTS, facts, head, parser_of
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
SECONDS = 0.5  # of the repeats of each figure
COMPONENTS = 3, 6


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


def main() -> None:
    parser_of(__doc__).parse_args()
    made_by = f"`python -m bench.pages.small`; microseconds of a step, from runs of {FEW} and of {MANY} steps"
    lines = head("Steps of EM on iris, 150 × 4", made_by, facts())
    lines += ["", "| structure | K | by the core | from Python | ratio |", "|---|" + "---:|" * 4]
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
