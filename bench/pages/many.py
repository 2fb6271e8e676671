"""Time fits of many small groups: `fit_many`, and loops over `GaussianMixture` and over scikit-learn's.

    python -m bench.pages.many    # two minutes; writes bench/results/many.md

All make default fits of the same groups. The loops are over some of the groups, and their time is scaled to all. Calls
take turns; of each the least time counts.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import sklearn.mixture
from threadpoolctl import threadpool_limits

from bench.pages.base import Page, least_seconds, parser_of
from gaussmix import GaussianMixture, fit_many
from gaussmix.numerics.arrays import Array

N_GROUPS, LOOPED = 10_000, 500
CASES = [(200, 2, 2), (100, 4, 3), (1000, 3, 4)]  # rows, features, components
ROUNDS = 3


def groups_of(n_rows: int, n_features: int) -> list[Array]:
    """Two overlapping clouds in each group, at places of its own."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, size=(N_GROUPS, 2, n_features))
    labels = rng.integers(2, size=(N_GROUPS, n_rows))
    return [rng.normal(size=(n_rows, n_features)) + place[label] for place, label in zip(centres, labels, strict=True)]


def loop(estimator: Callable[..., Any], groups: Sequence[Array], n_components: int) -> None:
    for rows in groups:
        estimator(n_components, random_state=0).fit(rows)


def cells(n_rows: int, n_features: int, n_components: int) -> tuple[str, ...]:
    """A row of the table."""
    groups = groups_of(n_rows, n_features)
    some = groups[:LOOPED]
    calls: dict[str, Callable[[], object]] = {
        "all": partial(fit_many, groups, n_components, random_state=0),
        "one": partial(fit_many, groups, n_components, random_state=0, n_jobs=1),
        "ours": partial(loop, GaussianMixture, some, n_components),
        "theirs": partial(loop, sklearn.mixture.GaussianMixture, some, n_components),
    }
    with threadpool_limits(1):  # scikit-learn's loop is fastest without threads of its own
        least = least_seconds(calls, ROUNDS)
    ours, theirs = (least[name] * N_GROUPS / LOOPED for name in ("ours", "theirs"))
    seconds = f"{least['all']:.2f}", f"{least['one']:.2f}", f"{ours:.1f}", f"{theirs:.1f}"
    ratios = f"×{ours / least['all']:.0f}, ×{theirs / least['all']:.0f}"
    return f"{n_rows} × {n_features}, {n_components}", *seconds, ratios


def main() -> None:
    parser_of(__doc__).parse_args()
    how = f"seconds of {N_GROUPS:,} default fits, loops over {LOOPED} of them, scaled"
    page = Page(__file__, "Fits of many groups", how)
    names = (
        "rows × features, K | fit_many | on one thread | loop over GaussianMixture | loop over scikit-learn | ratios"
    )
    warnings.simplefilter("ignore")
    page.table(names, (cells(*case) for case in CASES))
    page.say(f"Load of the machine at the end, with other work: {os.getloadavg()[0]:.2f}.")
    page.write()


if __name__ == "__main__":
    main()
