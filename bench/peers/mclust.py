"""Peer mclust for R: `em`, which makes an E-step from given parameters and then calls `me`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np

from bench.peers.base import Fit, Peer, Problem
from bench.peers.process import SCRATCH


class Mclust(Peer):
    """The peer mclust: mclust.R is called with n, d, K, structure, iterations, and files of problem and result.

    Both files contain doubles. The problem is rows (n, d), weights, means and covariances. The result is seconds,
    megabytes, log-likelihood, weights, means and covariances.
    """

    name = "R mclust"
    threads = (1,)  # its Fortran loops use one thread

    def missing(self) -> str | None:
        if shutil.which("Rscript") is None:
            return "no Rscript"
        return None if self._ask('invisible(packageVersion("mclust"))').returncode == 0 else "no R package mclust"

    def version(self) -> str:
        return self._ask('cat(format(packageVersion("mclust")))').stdout

    def prepare(self, problem: Problem) -> None:
        with self._file("problem").open("wb") as file:
            for array in (problem.rows, problem.weights, problem.means, problem.covariances):
                array.tofile(file)

    def fit(self, problem: Problem, iterations: int, threads: int) -> Fit:
        n, d = problem.rows.shape
        k = problem.n_components
        words = n, d, k, problem.structure, iterations, self._file("problem"), self._file("result")
        command = ["Rscript", "--vanilla", str(Path(__file__).with_name("mclust.R")), *map(str, words)]
        subprocess.run(command, check=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
        head, weights, means, covariances = np.split(np.fromfile(self._file("result")), np.cumsum([3, k, k * d]))
        seconds, megabytes, log_likelihood = map(float, head)
        shape = problem.covariances.shape
        return Fit(weights, means.reshape(k, d), covariances.reshape(shape), log_likelihood, seconds, megabytes)

    @staticmethod
    def _file(name: str) -> Path:
        return Path(os.environ[SCRATCH]) / name

    @staticmethod
    def _ask(expression: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["Rscript", "--vanilla", "-e", expression], capture_output=True, text=True)
