"""Opens the table of a subcommand, and selects its columns."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import click
import pyarrow as pa

from gaussmix._src.cli.model_file import ModelFile
from gaussmix._src.cli.show.notices import print_notices
from gaussmix._src.sources.base import Source
from gaussmix._src.sources.opening import open
from gaussmix._src.sources.tables import Files, open_table
from gaussmix._src.sources.tables.base import INDEX_OF_FRAME, BadTable, Dialect, is_numeric


@dataclass(frozen=True)
class Reading:
    """Values of the options that determine how a subcommand reads its table.

    Parameters
    ----------
    columns : names of the features; empty for all numeric columns.
    exclude : names of columns that are not features.
    drop_missing : whether rows with a missing value in a feature are left out.
    missing : whether rows with missing values are used; if False, a missing value is an error.
    format, dialect : format of the table and its CSV dialect, as passed to `open_table`.
    memory : maximum number of bytes of rows in memory at the same time.
    cache : folder in which values that were read from files are cached; None to cache nothing.
    jobs : number of threads; None for all processors.
    """

    columns: tuple[str, ...]
    exclude: tuple[str, ...]
    drop_missing: bool
    format: str | None
    dialect: Dialect
    missing: bool = True
    memory: int = sys.maxsize
    cache: str | None = None
    jobs: int | None = None

    @property
    def is_plain(self) -> bool:
        """Return whether rows can be read directly from the path, because no option needs an open table."""
        return not (self.exclude or self.drop_missing or self.format) and self.dialect == Dialect()

    def open(self, data: str) -> Files:
        """Open the table `data` with all columns and rows; raise BadTable or OSError."""
        return open_table(data, self.format, self.dialect)

    def row_number_columns(self, table: Files, without: Collection[str]) -> list[str]:
        """Return the columns that contain only row numbers, and print a notice about each of these columns.

        A column of row numbers is used as a feature only if the user names the column.
        """
        if self.columns:
            return []
        names = table.counting_names([name for name in table.names if name not in (*self.exclude, *without)])
        print_notices(
            f"left out column {name!r}: it numbers the rows. If it is a feature, name all features with --columns."
            for name in names
        )
        return names

    def features(self, table: Files, without: Collection[str] = ()) -> tuple[str, ...]:
        """Return the columns named by the user, or all numeric columns; print notices about omitted columns."""
        if self.columns:
            return self.columns
        rest = table.without([*self.exclude, *self.row_number_columns(table, without)])
        names = rest.numeric_names(without)
        taken = {*names, *without}
        others = {name: rest.schema.field(name).type for name in rest.names if name not in taken}
        print_notices(
            f"left out column {name!r}: {INDEX_OF_FRAME if is_numeric(kind) else rest.why_not_numeric(name, kind)}."
            for name, kind in others.items()
        )
        return names

    def of_features(self, table: Files, features: tuple[str, ...], weights: str | None = None) -> Files:
        """Return the table; with --drop-missing, rows that have missing values in the given columns are left out.

        Raises UsageError if the column `weights` is also a feature.
        """
        if weights in features:
            raise click.UsageError(f"{weights!r} can't be both a feature and the column of weights.")
        columns = [*features] if weights is None else [*features, weights]
        return table.complete_in(columns) if self.drop_missing else table

    def matched(
        self,
        model: ModelFile,
        data: str,
        weights: str | None = None,
        targets: tuple[str, ...] = (),
        by: str | None = None,
    ) -> tuple[Files, tuple[str, ...]]:
        """Open a table, print the table's notices, and return the table with the columns that a model needs."""
        table = self.open(data)
        rest = table.without(self.exclude)
        others = [name for name in (weights, by) if name is not None]
        for name in others:
            rest.check_has(name)
        features = model.match_columns(rest, self.columns, others, targets)
        if by in features:
            raise click.UsageError(f"{by!r} can't be both a feature and the column of groups.")
        table = self.of_features(table, features, weights)
        print_notices(table.notices)
        return table, features

    def group_keys(self, table: Files, by: str, part: pa.Table, first: int = 0) -> list[Any]:
        """Return the keys of the groups of rows, which are the cells of the column `by` in a part of a table.

        `first` is the index of the part's first row. Raises BadTable if a cell is empty or contains a text that means a
        missing value.
        """
        keys: list[Any] = part[by].to_pylist()
        for row, key in enumerate(keys, first):
            if key is None or key != key or str(key).strip() in ("", *self.dialect.missing):
                where = f"{table.describe_location(row)}, column {by!r}"
                raise BadTable(f"{where}: the name of the group is missing. Fill the cell, or remove the row.")
        return keys

    def rows(self, table: str | Files, columns: tuple[str, ...], weights: str | None) -> Source:
        """Return a source of rows, with the given columns as features and the column `weights` as row weights."""
        return open(
            table,
            columns=columns or None,
            weights=weights,
            memory=self.memory,
            missing=self.missing,
            cache=self.cache,
        )
