"""Describe a Spark data frame before it is computed, and compute the column of results for its rows."""

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
from pyspark.sql.types import ArrayType, BooleanType, NullType, NumericType, StringType, StructField, UserDefinedType

from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.interfaces.block import Block
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.files.arrow import Columns, column_of_results
from gaussmix._src.sources.files.base import TableInfo
from gaussmix._src.sources.open_options import OpenOptions

# Names of two additional columns for rows from Parquet files: the file's path, and the row's index in the file.
FILE, ROW = "gaussmix file", "gaussmix row"
_CONVERTED_TYPES = BooleanType, NullType, NumericType, StringType, UserDefinedType
_TEMPORAL = re.compile("date|time|interval")  # how names of types of dates and times begin
_STEP = re.compile(r"[\s:+-]*(Project|Filter) ")
_FILES = re.compile(r"[\s:+-]*Relation .*\] parquet")


class _Columns(Columns):
    """The selected columns of a Spark data frame, which may also have columns of Spark vectors."""

    def why_not_numeric(self, field: pa.Field) -> str:
        names = [each.name for each in field.type] if pa.types.is_struct(field.type) else []
        if names == ["type", "size", "indices", "values"]:
            return "it contains vectors; use gaussmix.spark.GaussianMixture for vectors, or pass the original columns"
        if field.metadata is not None:
            return f"it contains {field.metadata[b'type'].decode()}, not numbers"
        return super().why_not_numeric(field)


@dataclass(frozen=True)
class SparkTable:
    """A Spark data frame and its selected columns."""

    frame: Any  # `pyspark.sql.DataFrame`, or a data frame of Spark Connect
    columns: Columns  # features and weights
    info: TableInfo  # description of the selected columns; its number of rows is ignored

    @classmethod
    def from_data(cls, frame: Any, request: OpenOptions) -> SparkTable:
        """Build the description of a Spark data frame.

        Raises ValueError if a column does not exist or is not numeric, and TypeError if `frame` is a pandas-on-Spark
        data frame.
        """
        if not isinstance(frame, DataFrame):
            raise ParameterTypeError(
                "X is a pandas-on-Spark data frame, to which results can't be added: pass X.to_spark()."
            )
        schema = pa.schema(map(_arrow_field, frame.schema.fields))
        columns = _Columns("the Spark frame", schema, request.columns, request.weights)
        return cls(frame, columns, columns.table_info(may_miss=request.missing))

    @cached_property
    def is_of_files(self) -> bool:
        """Return whether all rows come directly from Parquet files, so that each row has a position in a file."""
        plan = _query_plans(self.frame).partition("== Optimized Logical Plan ==\n")[2].partition("\n\n")[0].rstrip()
        *steps, last = plan.splitlines() or [""]
        return bool(_FILES.match(last)) and all(map(_STEP.match, steps))

    @property
    def values(self) -> Any:
        """Return a data frame of the features, the weights and, if rows come from files, their positions in files.

        The columns are named by their indices, because `mapInArrow` does not accept names with dots.
        """
        chosen = [column_of(name).alias(str(index)) for index, name in enumerate(self.columns.read_columns)]
        if self.is_of_files:
            metadata = self.frame.metadataColumn("_metadata")
            chosen += [metadata.getField("file_path").alias(FILE), metadata.getField("row_index").alias(ROW)]
        return self.frame.select(chosen)

    def per_row(self, task: Callable[[Block], NDArray[Any]], dtype: Any, shape: tuple[int, ...]) -> Any:
        """Return the results of a task for all rows as a Spark column, which reads the features by name."""
        kind = from_arrow_type(pa.array(np.empty(0, dtype)).type)
        for _ in shape:
            kind = ArrayType(kind)
        answer = partial(_answers, task=task, columns=self.columns, info=self.info)

        def answers(structures: Iterator[pa.Array]) -> Iterator[pa.Array]:
            return answer(structures)

        udf = functions.arrow_udf(answers, kind)
        return udf(functions.struct(*map(column_of, self.info.names)))


def _arrow_field(field: StructField) -> pa.Field:
    """Return an Arrow field that describes a column.

    Spark can't convert types such as calendar intervals, and needs a time zone for timestamps. Types that are neither
    numbers nor text therefore become one Arrow type for dates and times, or binary data with the name of the type.
    """
    if isinstance(field.dataType, _CONVERTED_TYPES):
        return pa.field(field.name, to_arrow_type(field.dataType))
    name = field.dataType.simpleString()
    if _TEMPORAL.match(name):
        return pa.field(field.name, pa.date32())
    return pa.field(field.name, pa.binary(), metadata={"type": name})


def _query_plans(frame: Any) -> str:
    """Return the query plans of a data frame, as `explain` prints them."""
    explain = getattr(frame, "_explain_string", None)  # exists only in Spark Connect
    return str(frame._jdf.queryExecution().toString() if explain is None else explain(extended=True))


def column_of(name: str) -> Any:
    """Return the Spark column with a name that may contain dots."""
    return functions.col("`" + name.replace("`", "``") + "`")


def _answers(
    structures: Iterable[pa.Array], task: Callable[[Block], NDArray[Any]], columns: Columns, info: TableInfo
) -> Iterator[pa.Array]:
    """Check the values of rows, run a task on the rows, and yield the results as Arrow columns."""
    for structure in structures:
        rows = columns.block(pa.RecordBatch.from_struct_array(structure)).rows
        yield column_of_results(info.answer(task, rows, lambda _: f"{info.name}, one of its rows"))
