"""CSV files as numbers and as text: the only file that imports pyarrow."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

_DELIMITERS = ",;\t|"


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


@dataclass(frozen=True)
class Table:
    """A CSV file, also compressed, of which only the first line has been read.

    Parameters
    ----------
    path : the file.
    names : of its columns; x1, x2 … where it has no header.
    delimiter : comma, or where the first line has none, semicolon, tab or bar.
    has_header : the first line holds names.
    n_blank : blank lines before it.
    notices : what was guessed, sentences.
    """

    path: str
    names: tuple[str, ...]
    delimiter: str
    has_header: bool
    n_blank: int
    notices: tuple[str, ...] = ()

    @classmethod
    def open(cls, path: str, has_header: bool | None = None) -> Table:
        """Look at the first line; without word from the user, it is a header unless it holds numbers only.

        Raises
        ------
        BadTable : the file is empty, not text, or two columns have one name.
        OSError : it can't be opened.
        """
        with _text(path) as text:
            lines = _decoded(text, path)
            n_blank, first = next(((at, line) for at, line in enumerate(lines) if line.strip()), (0, ""))
            if not first:
                raise BadTable(f"{path} is empty.")
            if "\0" in first:
                raise BadTable(f"{path} holds binary data, not CSV.")
            delimiter = next((mark for mark in _DELIMITERS if mark in first), ",")
            fields = _first_fields(chain([first], lines), delimiter, path)
        notices = []
        if has_header is None:
            has_header = not all(_is_number(field) for field in fields)
            if not has_header:
                notices = [f"{path} begins with numbers, so it is read as having no header; --header if it has."]
        names = tuple(fields) if has_header else tuple(f"x{1 + column}" for column in range(len(fields)))
        for column, name in enumerate(names):
            if name in names[:column]:
                raise BadTable(f"{path} has two columns called {name!r}: rename one.")
        return cls(path, names, delimiter, has_header, n_blank, tuple(notices))

    def numeric(self, wanted: Sequence[str] | None = None) -> Numbers:
        """The columns `wanted`, in that order, or else all that hold numbers.

        Raises
        ------
        BadTable : a wanted column is absent or not numeric, no column is; a missing or infinite value; no rows.
        """
        columns = self.names if wanted is None else self._check_present(wanted)
        arrow = self._read(columns)
        kept = [name for name in columns if _is_numeric(arrow[name].type)]
        left_out = [name for name in columns if name not in kept]
        if arrow.num_rows == 0:
            raise BadTable(f"{self.path} has a header but no rows.")
        whys = [f"column {name!r}: {self._why_not_numeric(name, arrow)}" for name in left_out]
        if whys and (wanted is not None or not kept):
            raise BadTable(f"{self.path}, {whys[0]}.")
        rows = np.empty((arrow.num_rows, len(kept)))
        for column, name in enumerate(kept):
            rows[:, column] = pc.cast(arrow[name], pa.float64(), safe=False).to_numpy()  # null becomes NaN
        self._check_finite(kept, rows)
        return Numbers(tuple(kept), rows, tuple(f"left out {why}." for why in whys))

    def text(self) -> list[list[str]]:
        """Every column as it is written in the file."""
        arrow = self._read(self.names, as_text=True)
        return [arrow[name].to_pylist() for name in self.names]

    def _check_present(self, wanted: Sequence[str]) -> Sequence[str]:
        for name in wanted:
            if name not in self.names:
                raise BadTable(f"{self.path} has no column {name!r}; it has {listed(self.names)}.")
        return wanted

    def _read(self, columns: Sequence[str], *, as_text: bool = False) -> pa.Table:
        types = dict.fromkeys(columns, pa.string()) if as_text else None
        try:
            return arrow_csv.read_csv(
                self.path,
                read_options=arrow_csv.ReadOptions(
                    skip_rows=self.n_blank, column_names=self.names, skip_rows_after_names=int(self.has_header)
                ),
                parse_options=arrow_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(
                    include_columns=list(columns), column_types=types, strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid as error:
            raise BadTable(self._why_unreadable(error)) from None

    def _why_unreadable(self, error: Exception) -> str:
        has_rows = False
        for line, fields in self._data():
            has_rows = True
            if len(fields) != len(self.names):
                values, columns = counted(len(fields), "value"), counted(len(self.names), "column")
                return f"{self.path}, line {line}: {values} for {columns}."
        return f"{self.path} can't be read as CSV: {error}." if has_rows else f"{self.path} has a header but no rows."

    def _why_not_numeric(self, name: str, arrow: pa.Table) -> str:
        """The end of a sentence; a text column that begins with numbers is perhaps a typing error, so it shows."""
        kind = arrow[name].type
        if pa.types.is_null(kind):
            return "it is empty"
        if not pa.types.is_string(kind):
            return f"it holds {'dates or times' if pa.types.is_temporal(kind) else kind}, not numbers"
        column = self.names.index(name)
        for line, fields in self._data():
            if not _is_number(fields[column]):
                return f"line {line} holds {_short(fields[column])}, not a number"
        return "it does not hold numbers"

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
            f"{self.path}, line {self._line_of(row)}: the value of column {names[column]!r} is {what}{others}; "
            "remove or fill such rows first, or leave the column out with --columns."
        )

    def _line_of(self, row: int) -> int:
        """The line that a row ends on, counted from 1: not the row's number where lines are empty or fields go on."""
        return next(line for at, (line, _) in enumerate(self._data()) if at == row)

    def _data(self) -> Iterator[tuple[int, list[str]]]:
        """Line numbers and fields by Python's slow reader, for messages."""
        with _text(self.path) as lines:
            reader = csv.reader(_decoded(lines, self.path), delimiter=self.delimiter)
            rows = ((reader.line_num, fields) for fields in reader if fields)
            if self.has_header:
                next(rows, None)
            try:
                yield from rows
            except csv.Error as error:
                raise BadTable(f"{self.path}, line {reader.line_num}: {error}.") from None


def counted(number: int, noun: str) -> str:
    """ "1 value", "2 values"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names in quotes with commas; a long list is cut."""
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _text(path: str) -> TextIOWrapper:
    open(path, "rb").close()
    return TextIOWrapper(pa.input_stream(path, compression="detect"), encoding="utf-8-sig", newline="")


def _decoded(lines: TextIOWrapper, path: str) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError:
        raise BadTable(f"{path} is not UTF-8 text: save it as CSV in UTF-8.") from None


def _first_fields(lines: Iterable[str], delimiter: str, path: str) -> list[str]:
    try:
        return [field.strip() for field in next(csv.reader(lines, delimiter=delimiter))]
    except csv.Error as error:
        raise BadTable(f"{path} can't be read as CSV: {error}.") from None


def _is_numeric(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _short(text: str) -> str:
    return repr(text if len(text) <= 20 else f"{text[:19]}…")
