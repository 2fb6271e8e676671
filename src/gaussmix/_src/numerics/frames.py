"""Conversion of data frames in memory, from any library that narwhals supports, to arrays of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.errors import ParameterTypeError, listed, quoted
from gaussmix._src.numerics.arrays import Rows
from gaussmix._src.numerics.rows import BadCell
from gaussmix._src.numerics.threads import cached_property

COMPLEX = "Complex data not supported: X must contain real numbers. Pass real and imaginary parts as two columns."
_TIMES = (
    "dates, times or durations",
    "Give numbers: divide durations by a unit, such as np.timedelta64(1, 's'), and dates after subtracting an origin.",
)
_CATEGORIES = (
    "categories",
    "Give numbers: leave such columns out, or encode them first, for example by a column of 0 and 1 for each category.",
)
_TEXT = "text", "Give numbers: leave such columns out, or encode them first."
_DIGITS = "text", "Give numbers: convert such columns first, for example by .astype(float)."
_OTHER = "Give numbers: leave such columns out."
_INFINITE = "infinity", "Replace such cells by NaN if missing values are allowed, or leave such columns out."
_FLOATS = {np.dtype(np.float64)}, {np.dtype(np.float32)}
_MERGING = ("Int64", "UInt64", "Int128", "UInt128")  # integer types whose values may become equal as float64


@dataclass(frozen=True, eq=False)
class Frame:
    """A data frame in memory, made by pandas, polars, Arrow or another library."""

    native: Any  # the data frame as the user passed it
    data: Any  # the same data frame, wrapped by narwhals

    @classmethod
    def from_table(cls, table: Any) -> Frame | None:
        """Wrap a data frame; return None for other objects, and raise ValueError if two columns have the same name.

        Arrow record batches become Arrow tables without copying. If an object has no columns, narwhals is not imported.
        """
        # The class is checked first, because reading `columns` of a lazy polars frame is slow and gives a warning.
        if isinstance(table, np.ndarray) or not (hasattr(type(table), "columns") or hasattr(table, "columns")):
            return None
        import narwhals.stable.v2 as nw
        from narwhals.exceptions import DuplicateError

        if type(table).__name__ == "RecordBatch" and type(table).__module__.startswith("pyarrow"):
            import pyarrow as pa

            table = pa.Table.from_batches([table])
        if not nw.dependencies.is_into_dataframe(table):
            return None
        if nw.dependencies.is_pyarrow_table(table):
            table = _without_dictionaries(table)
        try:
            return cls(table, nw.from_native(table, eager_only=True))
        except DuplicateError:
            names = listed_columns(table)
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"A table has two columns called {twice!r}: rename one of them.") from None

    @cached_property
    def names(self) -> tuple[Any, ...]:
        """Return the names of the columns, which are always strings except in pandas."""
        return tuple(self.data.columns)

    @property
    def library(self) -> str:
        """Return the name of the library that made the data frame, such as "pandas", "polars" or "pyarrow"."""
        return str(self.data.implementation.value)

    def only(self, names: Iterable[str]) -> Any:
        """Return a native frame with only these columns, in this order, or the whole frame if a column is missing."""
        import narwhals.stable.v2 as nw

        wanted = list(names)
        return self.data.select(map(nw.col, wanted)).to_native() if set(wanted) <= set(self.names) else self.native

    def with_columns(self, columns: Mapping[str, Any]) -> Any:
        """Return a native frame with additional columns, (n_rows,) each; raises ValueError if a name already exists."""
        import narwhals.stable.v2 as nw

        taken = [name for name in columns if name in self.names]
        if taken:
            raise ValueError(f"X already has a column called {taken[0]!r}: rename it.")
        backend = self.data.implementation
        series = [nw.new_series(name, values, backend=backend) for name, values in columns.items()]
        if hasattr(self.native, "iloc"):  # pandas would align Series by row labels, so arrays are assigned
            native = self.native.copy()
            for each in series:
                native[each.name] = each.to_numpy()
            return native
        return self.data.with_columns(*series).to_native()

    def rows(self, called: str) -> Rows:
        """Return an array (n_rows, n_columns) with nulls as NaN; float32 if all columns are float32, otherwise float64.

        A pandas frame that stores its numbers in one block is not copied. Other frames are converted column by column.

        Raises ValueError if a column contains text or complex numbers, and TypeError if a column contains categories,
        times or other objects that are not numbers. The message refers to the frame as `called`, and names all such
        columns.
        """
        plain = self._one_block()
        if plain is not None:
            return plain
        kinds = dict(zip(self.names, self.data.schema.values(), strict=True))
        refused = dict[Any, _Refused]()
        is_single = bool(kinds) and all(str(kind) == "Float32" for kind in kinds.values())
        rows: Rows = np.empty(self.data.shape, np.float32 if is_single else np.float64, order="F")
        with np.errstate(over="ignore"):  # floats longer than 64 bits may overflow to infinity, which is rejected later
            for index, (name, kind) in enumerate(kinds.items()):
                try:
                    _check_kind(kind)
                    rows[:, index] = _as_floats(self._values(name))
                except _Refused as error:
                    rows[:, index], refused[name] = 0.0, error
        if refused:
            infinite = np.flatnonzero(np.isinf(rows).any(axis=0)).tolist()
            refused |= {self.names[column]: _Refused(*_INFINITE) for column in infinite}
            raise _refused_error(called, refused)
        return rows

    def integer_columns(self) -> list[int]:
        """Return the indices of columns whose integers may be so large that different integers are equal as float64."""
        return [
            index
            for index, (name, kind) in enumerate(self.data.schema.items())
            if str(kind) in _MERGING or (str(kind) == "Object" and are_integers(self.data.get_column(name).to_list()))
        ]

    def _one_block(self) -> Rows | None:
        """Return the values of a pandas frame without a copy if all are NumPy floats; None for other frames."""
        if not hasattr(self.native, "iloc") or set(self.native.dtypes) not in _FLOATS:
            return None
        rows: Rows = self.native.to_numpy()
        return rows

    def _values(self, name: Any) -> NDArray[Any]:
        """Return the values of a column with nulls as NaN; decimals and 128-bit integers become floats."""
        import narwhals.stable.v2 as nw

        column = self.data.get_column(name)
        is_wide = column.dtype.is_decimal() or column.dtype in (nw.Int128, nw.UInt128)  # NumPy has no such types
        if column.dtype.is_decimal():  # PyArrow's cast of a decimal does not always return the nearest float
            column = column.cast(nw.String)
        kind: Any = nw.Int8 if column.dtype == nw.Boolean else nw.Float64 if is_wide else None
        return np.asarray((column if kind is None else column.cast(kind)).to_numpy())


def column_names(table: Any) -> tuple[Any, ...] | None:
    """Return the column names of a data frame, or the labels of a pandas Series; None for other objects."""
    frame = Frame.from_table(table)
    if frame is not None:
        return frame.names
    return tuple(table.index) if hasattr(table, "iloc") else None


def listed_columns(table: Any) -> list[Any]:
    """Return a list of the column names of a pandas, polars or Arrow data frame, in which names may occur twice."""
    return list(table.column_names if hasattr(table, "column_names") else table.columns)


def _without_dictionaries(table: Any) -> Any:
    """Decode the dictionary-encoded columns of numbers in an Arrow table; encoded text remains encoded.

    Raises ValueError if values of the table lie outside its buffers, because the table was read from a damaged file.
    """
    import pyarrow as pa

    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        raise ValueError(
            f"The PyArrow table is damaged: {str(error).partition(chr(10))[0]}. Create it again."
        ) from None
    for index, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else None
        if kind is not None and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            table = table.set_column(index, field.with_type(kind), table.column(index).cast(kind))
    return table


def are_integers(cells: Iterable[Any]) -> bool:
    """Return whether all numbers in cells of any type are integers; cells that do not contain a number are ignored."""
    return all(isinstance(cell, Integral) for cell in cells if isinstance(cell, Real | Decimal) and cell == cell)


_LIBRARIES = "pandas", "polars", "pyarrow"


def made_frame(columns: Mapping[str, Any], library: str | None = None) -> Any:
    """Make a data frame from a dictionary of names and columns; a column is a list or an array (n_rows,).

    If `library` is None or not installed, the data frame is made by the first of pandas, polars and pyarrow that is
    installed.

    Raises ImportError if no library for data frames is installed.
    """
    import narwhals.stable.v2 as nw

    wanted: Any = next((name for name in (library, *_LIBRARIES) if name in _LIBRARIES and find_spec(name)), None)
    if wanted is None:
        raise ImportError("A table of results needs pandas, polars or pyarrow. Install one of them.")
    return nw.from_dict(dict(columns), backend=wanted).to_native()


def times_sentence(called: str) -> str:
    """Return the sentences of an error about times in a table: what is wrong, and what the user can do."""
    return f"{called} contains {'. '.join(_TIMES)}"


def also_in(rows: Rows, cell: BadCell, largest: float, names: Any, may_miss: bool) -> str:
    """Return the end of a sentence that lists the other columns with invalid values; "" if no other column has any."""
    columns = np.flatnonzero((~(np.abs(rows) <= largest) & ~(np.isnan(rows) & may_miss)).any(axis=0)).tolist()
    others = [column if names is None else str(names[column]) for column in columns if column != cell.column]
    return f", and in column{'s' * (len(others) > 1)} {listed(others)} too" if others else ""


class _Refused(Exception):
    """Error about a column that is not numeric. Arguments: what the column holds, the advice and, if known, the row."""


def _refused_error(called: str, refused: Mapping[Any, _Refused]) -> ValueError:
    """Return one error that names all columns that are not numeric."""
    groups = dict[tuple[str, str], dict[Any, str]]()
    for name, error in refused.items():
        what, advice, *where = error.args
        groups.setdefault((what, advice), {})[name] = where[0] if where else " in"
    sentences = list[str]()
    for (what, advice), named in groups.items():
        which = "".join(f"{where} column {name!r}" for name, where in named.items())
        which = which if len(named) == 1 else f" in columns {listed([*named])}"
        sentences.append(f"{'It' if sentences else called} contains {what}{which}. {advice}")
    is_value = {what for what, _ in groups} <= {_TEXT[0], _INFINITE[0]}
    return (ValueError if is_value else ParameterTypeError)(" ".join(sentences))


def _check_kind(kind: Any) -> None:
    """Raise `_Refused` if the type of a column is not numeric."""
    what = str(kind).partition("(")[0]
    if kind.is_temporal() or what in ("Categorical", "Enum"):
        raise _Refused(*(_TIMES if kind.is_temporal() else _CATEGORIES))
    if what in ("List", "Struct", "Array", "Binary"):
        raise _Refused(str(kind), _OTHER)


def _as_floats(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values of a column as numbers; raises `_Refused`, or ValueError if the numbers are complex."""
    if values.dtype.kind in "fiub":
        return values
    if values.dtype.kind == "c":
        raise ValueError(COMPLEX)
    return np.array([_as_float(row, cell) for row, cell in enumerate(values.tolist())], dtype=np.float64)


def _as_float(row: int, cell: Any) -> float:
    """Return the number in a cell of any type; NaN if the value is missing."""
    if isinstance(cell, str):
        sentences = _DIGITS if cell.strip().lstrip("+-").replace(".", "", 1).isdecimal() else _TEXT
        raise _Refused(*sentences, f", {quoted(cell)}, in row {row},")
    if isinstance(cell, Real | Decimal):
        try:
            return float(cell)
        except OverflowError:
            return np.inf  # later checks reject infinite values
    if cell is None or type(cell).__name__ == "NAType":
        return np.nan
    name = type(cell).__name__
    holds = _TIMES if hasattr(cell, "isoformat") else (name if name == "bytes" else f"{name}s", _OTHER)
    raise _Refused(*holds, f" in row {row},")
