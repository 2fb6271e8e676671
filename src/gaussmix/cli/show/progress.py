"""How far a fit has come, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def progress(total: int, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar on standard error while the block runs, if that is a terminal; what is yielded is called after each fit."""
    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal  # else rich leaves an empty line in a log
    columns = (SpinnerColumn(), TextColumn("fitting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    left = TextColumn("about"), TimeRemainingColumn(), TextColumn("left")
    with Progress(*columns, *left, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
