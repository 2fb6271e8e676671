"""What a reader of tables takes and makes: bytes from a file or a pipe, and a table whose columns become numbers."""

from __future__ import annotations

import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tokenize import TokenError
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gaussmix.errors import listed

STANDARD = "-"  # standard input or output
# How compressed bytes begin.
_CODECS = {
    rb"\x1f\x8b": "gzip",
    rb"BZh[1-9](1AY|\x17rE)": "bz2",
    rb"\x28\xb5\x2f\xfd": "zstd",
    rb"\x04\x22\x4d\x18": "lz4",
}
_ADVICE_ON_TIMES = "; write them as numbers first, such as days since the first"


class BadTable(ValueError):
    """A table that can't be read or used. The message names the file and the place."""


@dataclass(frozen=True)
class Input:
    """The bytes of a table, which can be read several times, and what the user says of them.

    Parameters
    ----------
    name : of the file, for messages.
    contents : of a pipe, which can be read only once; None for a file.
    has_header : whether the first line of text holds names; None if the user does not say.
    """

    name: str
    contents: bytes | None = None
    has_header: bool | None = None

    @classmethod
    def of(cls, path: str, has_header: bool | None = None) -> Input:
        """Open a file or a pipe; "-" is standard input. Raises OSError."""
        if path == STANDARD:
            return cls("standard input", sys.stdin.buffer.read(), has_header)
        with open(path, "rb") as file:
            return cls(path, None if os.path.isfile(path) else file.read(), has_header)

    def first_bytes(self, number: int) -> bytes:
        """As many of the first bytes as there are."""
        if self.contents is not None:
            return self.contents[:number]
        with open(self.name, "rb") as file:
            return file.read(number)

    @property
    def for_arrow(self) -> str | pa.BufferReader:
        """What Arrow's readers take: a path or a buffer."""
        return self.name if self.contents is None else pa.BufferReader(self.contents)

    def stream(self, *, decompress: bool = False) -> pa.NativeFile:
        """The bytes as a binary stream; with `decompress`, what is in compressed bytes."""
        start = self.first_bytes(8) if decompress else b""
        codec = next((codec for beginning, codec in _CODECS.items() if re.match(beginning, start)), None)
        return pa.input_stream(self.for_arrow, compression=codec)


@contextmanager
def reading(source: Input, format: str) -> Iterator[None]:
    """Raise BadTable, in one sentence, for what a reader raises. Errors of the system pass: they say enough."""
    try:
        yield
    except BadTable:
        raise
    except (pa.ArrowException, ValueError, EOFError, TypeError, OSError, TokenError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = "a bracket or quote is not closed" if isinstance(error, TokenError) else first_line(error)
        raise BadTable(f"{source.name} can't be read as {format}: {reason}.") from None


def first_line(error: Exception) -> str:
    """What an error of a library says, without its advice and its full stop."""
    return str(error).partition("\n")[0].rstrip(".")


@dataclass(frozen=True)
class NumericColumns:
    """Columns of a table as numbers.

    Parameters
    ----------
    names : of the columns.
    rows : (n_rows, n_columns), finite.
    notices : sentences on the columns left out.
    """

    names: tuple[str, ...]
    rows: NDArray[np.float64]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Table(ABC):
    """A table whose columns are known and can be read.

    Parameters
    ----------
    name : of the file, for messages.
    names : of its columns; x1, x2 … if it has no names.
    has_names : whether the names are its own.
    notices : sentences on what was guessed.
    delimiter : between the fields where the table is written as CSV.
    """

    name: str
    names: tuple[str, ...]
    has_names: bool = True
    notices: tuple[str, ...] = ()
    delimiter: str = ","

    @abstractmethod
    def read(self, columns: Sequence[str]) -> pa.Table:
        """Columns with the types of their values."""

    @abstractmethod
    def unchanged(self) -> pa.Table:
        """Every column as it is in the file: of text formats, text."""

    @abstractmethod
    def place(self, row: int) -> str:
        """Where a row is, for messages: its line or its number, counted from 1."""

    @abstractmethod
    def why_not_numeric(self, name: str, kind: pa.DataType) -> str:
        """What a column holds that is not numbers, as the end of a sentence."""

    def numeric(self, wanted: Sequence[str] | None = None, without: Collection[str] = ()) -> NumericColumns:
        """The columns `wanted`, in that order; by default all that hold numbers, except those in `without`.

        Raises
        ------
        BadTable : a wanted column is absent or not numeric, or no column is numeric; a value is missing or infinite;
            there are no rows.
        """
        every = [name for name in self.names if name not in without]
        columns = every if wanted is None else self._check_present(wanted)
        arrow = self.read(columns)
        kept = [name for name in columns if is_numeric(arrow[name].type)]
        left_out = [name for name in columns if name not in kept]
        if arrow.num_rows == 0:
            raise BadTable(f"{self.name} has a header but no rows.")
        whys = [f"column {name!r}: {self.why_not_numeric(name, arrow[name].type)}" for name in left_out]
        if whys and (wanted is not None or not kept):
            is_time = pa.types.is_temporal(arrow[left_out[0]].type)
            raise BadTable(f"{self.name}, {whys[0]}{_ADVICE_ON_TIMES if is_time else ''}.")
        if not kept:
            raise BadTable(f"{self.name} has no column to read beside {listed(list(without))}.")
        rows = np.empty((arrow.num_rows, len(kept)))
        for column, name in enumerate(kept):
            rows[:, column] = pc.cast(arrow[name], pa.float64(), safe=False).to_numpy()  # null becomes NaN
        self._check_finite(kept, rows)
        return NumericColumns(tuple(kept), rows, tuple(f"left out {why}." for why in whys))

    def row_weight(self, column: str) -> NDArray[np.float64]:
        """Weights of the rows, (n_rows,). Raises BadTable if one is negative or missing, or all are 0."""
        weight = self.numeric([column]).rows[:, 0]
        if (weight < 0).any():
            row = int((weight < 0).argmax())
            raise BadTable(f"{self.name}, {self.place(row)}: the weight {weight[row]:g} of column {column!r} is < 0.")
        if not weight.any():
            raise BadTable(f"{self.name}: every weight of column {column!r} is 0.")
        return weight

    def _check_present(self, wanted: Sequence[str]) -> Sequence[str]:
        for name in wanted:
            if name not in self.names:
                raise BadTable(f"{self.name} has no column {name!r}; it has {listed(self.names)}.")
        return wanted

    def _check_finite(self, names: Sequence[str], rows: NDArray[np.float64]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(rows.sum()):
                return
        wrong = ~np.isfinite(rows).all(axis=1)
        if not wrong.any():
            return
        row = int(wrong.argmax())
        column = int((~np.isfinite(rows[row])).argmax())
        what = "missing" if np.isnan(rows[row, column]) else "infinite"
        count = int(np.count_nonzero(wrong))
        others = f" ({count} such rows in all)" if count > 1 else ""
        raise BadTable(
            f"{self.name}, {self.place(row)}: the value of column {names[column]!r} is {what}{others}; "
            "remove or fill such rows first, or leave the column out with --columns."
        )


def is_numeric(kind: Any) -> bool:
    """Whether columns of a type hold numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def kind_of(kind: Any) -> str:
    """What the values of a type that is not numeric are, as the end of a sentence."""
    if pa.types.is_null(kind):
        return "it is empty"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "it holds text, not numbers"
    return f"it holds {'dates, times or durations' if pa.types.is_temporal(kind) else kind}, not numbers"


def invented_names(n_columns: int) -> tuple[str, ...]:
    """Names for columns without names: x1, x2 …"""
    return tuple(f"x{1 + column}" for column in range(n_columns))


def check_names(name: str, names: Sequence[str]) -> None:
    """Raise BadTable if two columns have the same name."""
    seen: set[str] = set()
    for column in names:
        if column in seen:
            raise BadTable(f"{name} has two columns called {column!r}: rename one.")
        seen.add(column)
