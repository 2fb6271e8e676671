"""A peer makes a given number of EM iterations on given rows. Each peer has a file, and only that file imports it."""

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
    """Rows (n, d) and a start: weights (K,), means (K, d), covariances (K, d, d) for full and (K, d) for diag."""

    structure: str
    rows: Array
    weights: Array
    means: Array
    covariances: Array

    @classmethod
    def of(cls, case: Case) -> Problem:
        """The problem of a case; its unit covariances equal their precisions, so all peers start alike."""
        start = case.start()
        return cls(case.structure, case.rows(), start["weights_init"], start["means_init"], start["precisions_init"])

    def head(self, n_rows: int) -> Problem:
        """The same problem on its first rows."""
        return Problem(self.structure, self.rows[:n_rows], self.weights, self.means, self.covariances)

    @property
    def n_components(self) -> int:
        return len(self.weights)

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
    """Parameters in the shapes of a Problem, and the total log-likelihood that the peer gives for start or result.

    Peers that are programs of their own measure seconds and megabytes themselves.
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
    threads: ClassVar[tuple[int, ...]] = tuple(sorted({1, ALL}))  # to try; the fastest counts
    whole: ClassVar[bool] = False  # it always takes all rows, because there is a bar for it
    fewest: ClassVar[int] = 5_000  # rows, if it can't take all
    patience: ClassVar[float] = 1  # its budget is multiplied by this
    settles: ClassVar[int] = 1  # iterations on separated clusters before one takes its usual time
    takes_start: ClassVar[bool] = True
    measures_memory: ClassVar[bool] = True
    note: ClassVar[str] = ""

    def missing(self) -> str | None:
        """Why it can't run here; None if it can."""
        return None if find_spec(self.package) else f"no package {self.distribution}"

    def version(self) -> str:
        return version(self.distribution)

    def prepare(self, problem: Problem) -> None:  # noqa: B027, most have nothing to prepare
        """Make what is no part of a fit: a start in another form, a file for another process."""

    @abstractmethod
    def fit(self, problem: Problem, iterations: int, threads: int) -> Fit:
        """Make exactly so many EM iterations from the start. One that takes no start makes 0 too, to show its own."""
