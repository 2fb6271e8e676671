"""Steps of EM on Spark, beside one process with two threads, and beside Spark's own GaussianMixture.

    python -m bench.pages.spark    # minutes; needs Java; writes bench/results/spark.md

gaussmix makes the same steps from the same start on Spark and in memory, in turn, and must end at the same bits. The
least of the repeats counts. MLlib fits the same rows in the same session, cached as vectors.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.cases import Case
from bench.pages.base import Page, facts, parser_of
from bench.pages.cluster import FEW, MANY, start, step
from gaussmix.sources.array import ArraySource
from gaussmix.sources.opening import open

N_CORES, N_ROWS, N_FEATURES, N_COMPONENTS = 2, (1_000_000, 4_000_000), 8, 16
OF_MLLIB = 1, 1, 4  # iterations; the first fit is for Java to compile
ADDED, TIMES = 500, (12, 30)  # bars: milliseconds that a step may take more, and times as fast as MLlib


def session() -> Any:
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"], os.environ["SPARK_LOCAL_IP"] = sys.executable, "127.0.0.1"
    builder = SparkSession.builder.master(f"local[{N_CORES},4]")
    for name, value in {
        "ui.enabled": "false",
        "driver.memory": "2g",
        "ui.showConsoleProgress": "false",
        "log.level": "ERROR",
    }.items():
        builder = builder.config(f"spark.{name}", value)
    return builder.getOrCreate()


def seconds_of_mllib(frame: Any) -> float:
    """Of one iteration of MLlib."""
    from pyspark.ml.clustering import GaussianMixture
    from pyspark.ml.feature import VectorAssembler

    vectors = VectorAssembler(inputCols=frame.columns, outputCol="features").transform(frame).select("features")
    vectors = vectors.cache()
    vectors.count()
    seconds = []
    for n_steps in OF_MLLIB:
        began = perf_counter()
        GaussianMixture(k=N_COMPONENTS, maxIter=n_steps, tol=0.0, seed=0).fit(vectors)
        seconds.append(perf_counter() - began)
    vectors.unpersist()
    return (seconds[2] - seconds[1]) / (OF_MLLIB[2] - OF_MLLIB[1])


def cells(spark: Any, n_rows: int) -> tuple[str, ...]:
    """A row of the table."""
    case = Case("full", n_rows, N_FEATURES, N_COMPONENTS)
    rows = case.rows()
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "rows.parquet")
        pq.write_table(pa.table({f"x{place}": column for place, column in enumerate(rows.T)}), path)
        frame = spark.read.parquet(path)
        there, began = open(frame), perf_counter()
        assert there.n_rows == n_rows
        loading = perf_counter() - began
        on_spark, in_memory = step(there, ArraySource(rows), start(case))
        mllib = 1e3 * seconds_of_mllib(frame)
    numbers = n_rows, on_spark, in_memory, on_spark - in_memory, mllib
    return *(f"{number:,.0f}" for number in numbers), f"{mllib / on_spark:.1f}", f"{loading:.0f}"


def main() -> None:
    parser_of(__doc__).parse_args()
    how = f"full, d = {N_FEATURES}, K = {N_COMPONENTS}, local[{N_CORES}], milliseconds of a step"
    page = Page(__file__, "Steps of EM on Spark", how, facts() | {"Spark": metadata.version("pyspark")})
    names = "rows | on Spark | one process | added | MLlib | MLlib / on Spark | loading, s"
    spark = session()
    page.table(names, (cells(spark, n_rows) for n_rows in N_ROWS), n_words=0)
    spark.stop()
    page.say(
        f"Steps are the difference of {MANY} and {FEW}, those of MLlib of {OF_MLLIB[2]} and {OF_MLLIB[1]}. Loading is "
        f"done once; with the first rows it starts Python workers too. The bars are {ADDED} ms added, and {TIMES[0]} "
        f"and {TIMES[1]} times as fast as MLlib."
    )
    page.write()


if __name__ == "__main__":
    main()
