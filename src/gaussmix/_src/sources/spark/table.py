"""What is known of a Spark frame before it is computed, and columns of results for its rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, functions
from pyspark.sql.pandas.types import from_arrow_type, to_arrow_type
from pyspark.sql.types import ArrayType

from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.interfaces.block import Block
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.files.arrow import Columns, column_of_results
from gaussmix._src.sources.files.base import About
from gaussmix._src.sources.open_options import OpenOptions

FILE, ROW = "gaussmix file", "gaussmix row"  # where Parquet files have a row: their path, and the number in it
_STEP = re.compile(r"[\s:+-]*(Project|Filter) ")
_FILES = re.compile(r"[\s:+-]*Relation .*\] parquet")


class _Columns(Columns):
    """Columns of a frame. Some may be those of Spark's own vectors."""

    def why_not_numeric(self, field: pa.Field) -> str:
        names = [each.name for each in field.type] if pa.types.is_struct(field.type) else []
        if names == ["type", "size", "indices", "values"]:
            return "it holds vectors; fit them by gaussmix.spark.GaussianMixture, or give the columns they came from"
        return super().why_not_numeric(field)


@dataclass(frozen=True)
class SparkTable:
    """A Spark frame and its columns that are features."""

    frame: Any  # `pyspark.sql.DataFrame`, or the data frame of Spark Connect
    columns: Columns  # the features and the weights
    about: About  # the same; its number of rows is not read

    @classmethod
    def from_data(cls, frame: Any, request: OpenOptions) -> SparkTable:
        """Of a Spark frame.

        Raises ValueError: a column is absent or holds no numbers. TypeError: it is a frame of pandas on Spark.
        """
        if not isinstance(frame, DataFrame):
            raise ParameterTypeError(
                "X is a frame of pandas on Spark, which takes no columns of results: give X.to_spark()."
            )
        schema = pa.schema([(field.name, to_arrow_type(field.dataType)) for field in frame.schema.fields])
        result = _Columns("the Spark frame", schema, request.columns, request.weights)
        return cls(frame, result, result.about(may_miss=request.missing))

    @cached_property
    def is_of_files(self) -> bool:
        """Whether its rows come straight from Parquet files, so that each is at a place in one of them."""
        plan = _explained(self.frame).partition("== Optimized Logical Plan ==\n")[2].partition("\n\n")[0].rstrip()
        *steps, last = plan.splitlines() or [""]
        return bool(_FILES.match(last)) and all(map(_STEP.match, steps))

    @property
    def values(self) -> Any:
        """A frame of the features and the weights, and of the places of rows that come from files.

        Its columns are called by their numbers, because `mapInArrow` takes no names with dots.
        """
        chosen = [column_of(name).alias(str(index)) for index, name in enumerate(self.columns.read_columns)]
        if self.is_of_files:
            index = self.frame.metadataColumn("_metadata")
            chosen += [index.getField("file_path").alias(FILE), index.getField("row_index").alias(ROW)]
        return self.frame.select(chosen)

    def per_row(self, task: Callable[[Block], NDArray[Any]], dtype: Any, shape: tuple[int, ...]) -> Any:
        """What a task returns for rows, as a Spark column; it reads the columns of the features by their names."""
        kind = from_arrow_type(pa.array(np.empty(0, dtype)).type)
        for _ in shape:
            kind = ArrayType(kind)
        answer = partial(_answers, task=task, columns=self.columns, about=self.about)

        def answers(structures: Iterator[pa.Array]) -> Iterator[pa.Array]:
            return answer(structures)

        made = functions.arrow_udf(answers, kind)
        return made(functions.struct(*map(column_of, self.about.names)))


def _explained(frame: Any) -> str:
    """The plans of a frame, as `explain` prints them for the whole process."""
    explain = getattr(frame, "_explain_string", None)  # which Spark Connect has
    return str(frame._jdf.queryExecution().toString() if explain is None else explain(extended=True))


def column_of(name: str) -> Any:
    """A column by its name, in which a dot is a dot."""
    return functions.col("`" + name.replace("`", "``") + "`")


def _answers(
    structures: Iterable[pa.Array], task: Callable[[Block], NDArray[Any]], columns: Columns, about: About
) -> Iterator[pa.Array]:
    """What a task returns for rows that nobody has looked at."""
    for structure in structures:
        rows = columns.block(pa.RecordBatch.from_struct_array(structure)).rows
        yield column_of_results(about.answer(task, rows, lambda _: f"{about.name}, one of its rows"))
