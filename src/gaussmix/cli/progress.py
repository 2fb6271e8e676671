"""How far a fit has come, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def progress(total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while the block runs, if that is a terminal."""
    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal  # else rich leaves an empty line in a log
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=total)
        tried = 0

        def announce(n_components: int) -> None:
            nonlocal tried
            bar.update(task, description=f"fitting K = {n_components}", completed=tried)
            tried += 1

        yield announce
