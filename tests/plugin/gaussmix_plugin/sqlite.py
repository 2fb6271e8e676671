"""A source of rows in SQLite databases."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaussmix.extend import Block, OpenOptions, Source, check_columns


@dataclass(frozen=True)
class Rows:
    """A table of a database, all of whose columns are numbers."""

    path: str
    table: str


class SqliteSource(Source):
    """A source of some columns of a table, which every pass reads again."""

    dtype = np.dtype(np.float64)

    def __init__(self, rows: Rows, asked: OpenOptions) -> None:
        self._rows, self._weights = rows, asked.weights
        with closing(sqlite3.connect(rows.path)) as database:
            every = [name for name, *_ in database.execute(f'SELECT * FROM "{rows.table}" LIMIT 0').description]
            ((self.n_rows,),) = database.execute(f'SELECT count(*) FROM "{rows.table}"')
        check_columns(rows.path, every, asked.columns, asked.weights)
        self.feature_names = tuple(asked.columns or (name for name in every if name != asked.weights))
        self.n_features = len(self.feature_names)

    def blocks(self) -> Iterator[Block]:
        columns = [*self.feature_names, *([self._weights] if self._weights else [])]
        names, first = ", ".join(f'"{name}"' for name in columns), 0
        with closing(sqlite3.connect(self._rows.path)) as database:
            cursor = database.execute(f'SELECT {names} FROM "{self._rows.table}" ORDER BY rowid')
            while found := cursor.fetchmany(10_000):
                numbers = np.array(found, dtype=np.float64)
                weight = numbers[:, -1].copy() if self._weights else None
                yield Block(first, numbers[:, : self.n_features], weight)
                first += len(found)


def open_rows(data: Rows, asked: OpenOptions) -> Source:
    """Open a table of a database."""
    return SqliteSource(data, asked)


def open_sqlite(data: Any, asked: OpenOptions) -> Source:
    """Open the table `rows` of a file."""
    return SqliteSource(Rows(os.fspath(data), "rows"), asked)
