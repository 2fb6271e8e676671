"""Spark MLlib in local mode, by the interface of RDDs, because that of data frames takes no start."""

from __future__ import annotations

import os
import shutil
import sys
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.peers.base import ALL, Fit, Peer, Problem


class Spark(Peer):
    name, package, distribution = "Spark MLlib", "pyspark", "pyspark"
    structures = ("full",)
    threads = (ALL,)
    fewest, patience = (
        2_000,
        5,
    )  # thousands of wide rows take seconds, and of few narrow ones nearly all time is overhead
    measures_memory = False
    note = (
        "memory not measured, a Java heap; with few rows much of the time is overhead, so scaled times are upper bounds"
    )

    def missing(self) -> str | None:
        return super().missing() or (None if shutil.which("java") else "no Java")

    @cached_property
    def context(self) -> Any:
        from pyspark import SparkConf, SparkContext

        os.environ["PYSPARK_PYTHON"] = sys.executable
        options = {"spark.ui.enabled": "false", "spark.driver.memory": "4g"}
        context = SparkContext(conf=SparkConf().setMaster(f"local[{ALL}]").setAll(list(options.items())))
        context.setLogLevel("ERROR")
        return context

    def fit(self, problem: Problem, iterations: int, threads: int) -> Fit:
        from pyspark.mllib.clustering import GaussianMixture
        from pyspark.mllib.linalg import DenseMatrix, Vectors

        parts = np.array_split(problem.rows, ALL)
        rows = self.context.parallelize(parts, ALL).flatMap(lambda part: [Vectors.dense(row) for row in part])
        d = problem.rows.shape[1]
        start = SimpleNamespace(
            k=problem.n_components,
            weights=problem.weights,
            gaussians=[
                SimpleNamespace(mu=Vectors.dense(mean), sigma=DenseMatrix(d, d, covariance.ravel()))
                for mean, covariance in zip(problem.means, problem.covariances, strict=True)
            ],
        )
        model = GaussianMixture.train(
            rows, problem.n_components, convergenceTol=0.0, maxIterations=iterations, initialModel=start
        )
        gaussians = model.gaussians
        means = np.stack([gaussian.mu.toArray() for gaussian in gaussians])
        covariances = np.stack([gaussian.sigma.toArray() for gaussian in gaussians])
        return Fit(np.asarray(model.weights), means, covariances)
