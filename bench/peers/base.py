"""What a peer is: something that takes given EM iterations on given rows. One file each, which alone imports it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
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
    """Rows (n, d) and a start: weights (K,), means (K, d), covariances (K, d, d) of full and (K, d) of diag."""

    structure: str
    rows: Array
    weights: Array
    means: Array
    covariances: Array

    @classmethod
    def of(cls, case: Case) -> Problem:
        """Unit covariances are their own precisions, so every peer takes the very same start."""
        start = case.start()
        return cls(case.structure, case.rows(), start["weights_init"], start["means_init"], start["precisions_init"])

    def head(self, n_rows: int) -> Problem:
        """The first rows of it."""
        return Problem(self.structure, self.rows[:n_rows], self.weights, self.means, self.covariances)

    @property
    def n_components(self) -> int:
        return len(self.weights)

    @property
    def dense_covariances(self) -> Array:
        """(K, d, d) also of diag."""
        if self.structure == "full":
            return self.covariances
        return np.stack([np.diag(variances) for variances in self.covariances])

    @cached_property
    def responsibilities(self) -> Array:
        """(n, K) of the start, for peers that take their start in this form. It must have unit covariances."""
        squares = [((self.rows - mean) ** 2).sum(axis=1) for mean in self.means]
        log_joint = np.log(self.weights) - 0.5 * np.stack(squares, axis=1)
        log_joint -= log_joint.max(axis=1, keepdims=True)
        np.exp(log_joint, out=log_joint)
        log_joint /= log_joint.sum(axis=1, keepdims=True)
        return log_joint


@dataclass(frozen=True)
class Fit:
    """Parameters in the shapes of a Problem, and what the peer says of the log-likelihood: of start or result, a total.

    Peers in a process of their own measure seconds and megabytes themselves.
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
    package: ClassVar[str]  # that Python imports
    distribution: ClassVar[str]  # that pip installs
    structures: ClassVar[tuple[str, ...]] = ("full", "diag")
    threads: ClassVar[tuple[int, ...]] = tuple(sorted({1, ALL}))  # to try; the best counts
    whole: ClassVar[bool] = False  # never on fewer rows: a bar is set against it
    fewest: ClassVar[int] = 5_000  # rows, where it cannot do all
    patience: ClassVar[float] = 1  # by which its budget is multiplied
    settles: ClassVar[int] = 1  # iterations after which one takes its usual time, on separated clusters
    takes_start: ClassVar[bool] = True
    measures_memory: ClassVar[bool] = True
    note: ClassVar[str] = ""

    def missing(self) -> str | None:
        """Why it cannot run here, if so."""
        return None if find_spec(self.package) else f"no package {self.distribution}"

    def version(self) -> str:
        return version(self.distribution)

    def prepare(self, problem: Problem) -> None:  # noqa: B027, most have nothing to prepare
        """What is no part of a fit: a start in another form, a file for another process."""

    @abstractmethod
    def fit(self, problem: Problem, iterations: int, threads: int) -> Fit:
        """Take exactly so many EM iterations from the start. A peer without a start does 0 too, to show its own."""
