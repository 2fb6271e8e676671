"""Components as a table for people: aligned, with the digits that mean something."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gaussmix.families.base import Family
from gaussmix.mixture.digits import mean_and_deviation, share, shorten
from gaussmix.mixture.mixture import Mixture

_NARROWEST = 72  # a narrower terminal wraps lines; numbers must not be cut
_GAP = 3  # what the box puts between columns


def console(*, stderr: bool = False) -> Console:
    """A console that prints names as they are, never narrower than tables need."""
    made = Console(highlight=False, markup=False, emoji=False, stderr=stderr)
    made.width = max(made.width, _NARROWEST)
    return made


def show_components(console: Console, mixture: Mixture, names: Sequence[str]) -> None:
    """Print weights, means and standard deviations of as many features as fit on the console."""
    n_components, n_features = mixture.n_components, mixture.n_features
    deviations = np.sqrt(mixture.model.covariances.variances())
    columns = [["component", *map(str, range(n_components))], ["weight", *map(share, mixture.weights)]]
    for feature in range(min(n_features, console.width)):  # more can't fit
        cells = mean_and_deviation(mixture.means[:, feature], deviations[:, feature])
        columns.append([shorten(names[feature]), *cells])
    columns = _cut(columns, n_features, console.width)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column[0], justify="right", no_wrap=True)
    for row in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(*row)
    console.print(table)


def _cut(columns: list[list[str]], n_features: int, width: int) -> list[list[str]]:
    """The columns that fit in a width, at least one feature. A last column counts those that do not fit."""
    ends = list(accumulate(max(map(len, column)) + _GAP for column in columns))
    if len(columns) == n_features + 2 and ends[-1] - _GAP <= width:
        return columns
    room = width - len(f"… {n_features:,} more")
    kept = max(3, sum(end <= room for end in ends))
    if kept == n_features + 2:
        return columns
    return [*columns[:kept], [f"… {n_features + 2 - kept:,} more", *[""] * (len(columns[0]) - 1)]]


def covariances_of(family: Family) -> str:
    """ "tied covariances", with the options of the structure if it has some."""
    options = ", ".join(f"{name}={value}" for name, value in family.options.items())
    return f"{family.name} covariances ({options})" if options else f"{family.name} covariances"
