"""Interface of peers, which make a given number of EM iterations. Only a peer's own file imports its package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import ClassVar

import joblib
import numpy as np
from numpy.typing import NDArray

from bench.cases import Case

Array = NDArray[np.float64]
ALL = joblib.cpu_count()


@dataclass(frozen=True)
class Problem:
    """Rows (n, d) and a start: weights (K,), means (K, d), covariances (K, d, d) for full and (K, d) for diag."""

    structure: str
    rows: Array
    weights: Array
    means: Array
    covariances: Array

    @classmethod
    def of(cls, case: Case) -> Problem:
        """Return the problem of a case; its unit covariances equal their precisions, so that all peers start alike."""
        start = case.start()
        return cls(case.structure, case.rows(), start["weights_init"], start["means_init"], start["precisions_init"])

    def head(self, n_rows: int) -> Problem:
        """Return the same problem on its first rows."""
        return Problem(self.structure, self.rows[:n_rows], self.weights, self.means, self.covariances)

    @property
    def n_components(self) -> int:
        return len(self.weights)


@dataclass(frozen=True)
class Fit:
    """Parameters in the shapes of a Problem, and the peer's total log-likelihood, of the start or of the result.

    R measures seconds and megabytes itself.
    """

    weights: Array
    means: Array
    covariances: Array
    log_likelihood: float | None = None
    seconds: float | None = None
    megabytes: float | None = None


class Peer(ABC):
    """A package that fits mixtures by EM."""

    name: ClassVar[str]
    package: ClassVar[str]  # name of the package in import statements
    distribution: ClassVar[str]  # name of the package for pip
    structures: ClassVar[tuple[str, ...]] = ("full", "diag")
    threads: ClassVar[tuple[int, ...]] = tuple(sorted({1, ALL}))  # numbers of threads to try; the fastest counts
    whole: ClassVar[bool] = False  # whether all rows are used even beyond the budget, because a target requires it
    settles: ClassVar[int] = 1  # number of iterations on separated clusters before the time per iteration is stable

    def missing(self) -> str | None:
        """Return why the peer cannot run here, or None if it can."""
        return None if find_spec(self.package) else f"no package {self.distribution}"

    def version(self) -> str:
        return version(self.distribution)

    def prepare(self, problem: Problem) -> None:  # noqa: B027, most have nothing to prepare
        """Prepare data that fits need but do not include, such as a start in another form or a file."""

    @abstractmethod
    def fit(self, problem: Problem, iterations: int, threads: int) -> Fit:
        """Make exactly this number of EM iterations from the start."""
