"""Peers that are programs instead of Python packages: they read rows and start from a file, and write their fit."""

from __future__ import annotations

import os
import subprocess
import tempfile
from abc import abstractmethod
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.peers.base import Fit, Peer, Problem

SCRATCH = "GAUSSMIX_BENCH_SCRATCH"  # the variable that names a folder for what is built once in a run


class Program(Peer):
    """The program is called with n, d, K, structure, iterations, the file of the problem and that of the result.

    Both files hold doubles. The problem is rows (n, d), weights, means and covariances. The result is seconds,
    megabytes, log-likelihood, weights, means and covariances.
    """

    @cached_property
    def folder(self) -> Path:
        return Path(os.environ.get(SCRATCH) or tempfile.mkdtemp())

    @abstractmethod
    def command(self) -> list[str]:
        """What to run."""

    def prepare(self, problem: Problem) -> None:
        with (self.folder / "problem").open("wb") as file:
            for array in (problem.rows, problem.weights, problem.means, problem.covariances):
                array.tofile(file)

    def fit(self, problem: Problem, iterations: int, threads: int) -> Fit:
        n, d = problem.rows.shape
        words = [n, d, problem.n_components, problem.structure, iterations]
        files = [str(self.folder / name) for name in ("problem", "result")]
        one_thread_each = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": str(threads)}
        subprocess.run([*self.command(), *map(str, words), *files], check=True, env=os.environ | one_thread_each)
        return self._read(problem)

    def _read(self, problem: Problem) -> Fit:
        values = np.fromfile(self.folder / "result")
        k, d = problem.means.shape
        head, weights, means, covariances = np.split(values, np.cumsum([3, k, k * d]))
        seconds, megabytes, log_likelihood = (float(value) for value in head)
        shape = problem.covariances.shape
        return Fit(weights, means.reshape(k, d), covariances.reshape(shape), log_likelihood, seconds, megabytes)
