"""Named test problems with fixed seeds: rows, row weights, and labels from which a fit starts."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.initialisation.base import Partition
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.em.step.maximise import initial_models
from gaussmix._src.engines import complete_engine
from gaussmix._src.families.base import Family
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.array import ArraySource


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows of a test problem, their weights, and the labels from which a fit starts.

    Parameters
    ----------
    rows : values of the rows, (n_rows, n_features), in data units.
    row_weight : weights of the rows, (n_rows,), or None if all weights are 1.
    labels : initial component of each row, (n_rows,), from 0 to n_components − 1.
    """

    rows: Array
    row_weight: Array | None
    labels: NDArray[np.int32]

    @property
    def n_components(self) -> int:
        return int(self.labels.max()) + 1

    @property
    def source(self) -> ArraySource:
        return ArraySource(self.rows, self.row_weight, self.labels)

    @property
    def objective(self) -> Objective:
        """Return the objective of EM: the log-likelihood, without a ridge."""
        return Objective(np.zeros(self.rows.shape[1]))

    def start(self, family: Family) -> Model:
        """Return the mixture that an M-step computes from the labels."""
        engine = complete_engine(1)
        first = InitialMoments(self.source, engine, self.n_components, Partition())
        if not family.has_alternatives:
            return first.model(family, self.objective)
        moments, means = first.sum_about_means(family.moment_spec(None))
        return initial_models(moments, family, self.objective, means)[0]


def groups(
    name: str, n_rows: int, n_features: int, n_components: int, *, distance: float, mislabelled: float = 0.2
) -> Problem:
    """Draw groups of rows with different covariances; the centre of each group is at `distance` from the origin.

    A random fraction `mislabelled` of the rows get a random label. The seed is derived from `name`, so that adding a
    problem does not change other problems.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    centres = rng.normal(size=(n_components, n_features))
    centres *= distance / np.sqrt((centres**2).sum(axis=1, keepdims=True))
    factors = np.eye(n_features) + 0.4 * rng.normal(size=(n_components, n_features, n_features))
    labels = (np.arange(n_rows) % n_components).astype(np.int32)
    noise = rng.standard_normal((n_rows, n_features))
    rows = centres[labels] + np.einsum("ijk,ik->ij", factors[labels], noise)
    wrong = rng.random(n_rows) < mislabelled
    labels[wrong] = rng.integers(n_components, size=int(wrong.sum()))
    return Problem(rows, None, labels)


def transformed(problem: Problem, change: Callable[[Array], Array]) -> Problem:
    """Return the problem with the rows `change(rows)` and unchanged weights and labels."""
    return replace(problem, rows=change(problem.rows))


def weighted(problem: Problem, seed: int) -> Problem:
    """Return the problem with random row weights, including weights of zero."""
    rng = np.random.default_rng(seed)
    weight = rng.choice([0.0, 0.25, 1.0, 1.0, 3.0], size=len(problem.rows)) * rng.uniform(0.5, 1.5, len(problem.rows))
    return replace(problem, row_weight=weight)


PROBLEMS: dict[str, Problem] = {
    "one feature": groups("one feature", 211, 1, 2, distance=2.0),
    "separate": groups("separate", 300, 2, 3, distance=8.0),
    "overlapping": groups("overlapping", 400, 3, 3, distance=1.5),
    "wide": groups("wide", 500, 9, 2, distance=2.0),
    "far from 0": transformed(groups("far from 0", 300, 2, 2, distance=3.0), lambda rows: rows + 1e5),
    "unlike units": transformed(  # Covariances with a condition number of 1e12 must be fitted.
        groups("unlike units", 300, 4, 2, distance=3.0), lambda rows: rows * np.geomspace(1.0, 1e6, 4)
    ),
    "weighted": weighted(groups("weighted", 300, 2, 3, distance=3.0), 1),
    "repeated rows": transformed(groups("repeated rows", 400, 1, 3, distance=1.5), lambda rows: np.round(rows, 1)),
}
