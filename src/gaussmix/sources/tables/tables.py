"""Tables of any format as numbers: what holds them, what does not, and where a value is missing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gaussmix.errors import listed

_ADVICE = "; write them as numbers first, such as days since the first"


class BadTable(ValueError):
    """A table that can't be read, or can't be used; the message names the file and the place."""


@dataclass(frozen=True)
class Numbers:
    """Some columns of a table as numbers.

    Parameters
    ----------
    names : of the columns.
    rows : (n_rows, n_columns), finite.
    notices : what the user should know of the columns left out, sentences.
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
    names : of its columns; x1, x2 … where it has none.
    has_names : its columns have names of their own.
    notices : what was guessed, sentences.
    delimiter : between the fields of what is written as CSV.
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
    def passed_on(self) -> pa.Table:
        """Every column as it is in the file."""

    @abstractmethod
    def place(self, row: int) -> str:
        """Say where a row is: its line, or its number."""

    @abstractmethod
    def why_not_numeric(self, name: str, kind: pa.DataType) -> str:
        """Say what a column holds that is not numbers, as the end of a sentence."""

    def numeric(self, wanted: Sequence[str] | None = None, without: Collection[str] = ()) -> Numbers:
        """The columns `wanted`, in that order, or else all that hold numbers, but for those in `without`.

        Raises
        ------
        BadTable : a wanted column is absent or not numeric, no column is; a missing or infinite value; no rows.
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
            raise BadTable(f"{self.name}, {whys[0]}{_ADVICE if is_time else ''}.")
        if not kept:
            raise BadTable(f"{self.name} has no column to read beside {listed(list(without))}.")
        rows = np.empty((arrow.num_rows, len(kept)))
        for column, name in enumerate(kept):
            rows[:, column] = pc.cast(arrow[name], pa.float64(), safe=False).to_numpy()  # null becomes NaN
        self._check_finite(kept, rows)
        return Numbers(tuple(kept), rows, tuple(f"left out {why}." for why in whys))

    def row_weight(self, column: str) -> NDArray[np.float64]:
        """Weights of the rows, (n_rows,); raises BadTable where they are no weights."""
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
    """Whether a column's type is one of numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def kind_of(kind: Any) -> str:
    """What values of a type are, as the end of a sentence."""
    if pa.types.is_null(kind):
        return "it is empty"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "it holds text, not numbers"
    return f"it holds {'dates, times or durations' if pa.types.is_temporal(kind) else kind}, not numbers"


def invented_names(n_columns: int) -> tuple[str, ...]:
    """Names for columns that have none: x1, x2 …"""
    return tuple(f"x{1 + column}" for column in range(n_columns))


def check_names(name: str, names: Sequence[str]) -> None:
    """Raise BadTable where two columns have one name."""
    seen: set[str] = set()
    for column in names:
        if column in seen:
            raise BadTable(f"{name} has two columns called {column!r}: rename one.")
        seen.add(column)
