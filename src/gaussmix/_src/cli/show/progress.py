"""Progress bars on standard error, which are shown only if standard error is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock
from time import monotonic

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from gaussmix._src.cli.show.notices import is_quiet
from gaussmix._src.fit.monitor import Step
from gaussmix._src.sources.tables.base import STANDARD


class Bars(Progress):
    """Progress bars, with a line of text below them."""

    below = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        if self.below:
            yield Text(self.below, no_wrap=True, overflow="ellipsis")

    def steps(self, tol: object) -> Callable[[Step], None]:
        """Return a callback for a fit; it shows the log-likelihood, the last step's gain and `tol` below the bars.

        If EM does not use the log-likelihood to stop, for example with a prior, `tol` must be None, and the gain is not
        shown.
        """
        before: dict[tuple[int | None, ...], float] = {}  # for each fit, log-likelihood after the previous step

        def report(step: Step) -> None:
            nonlocal before
            now, *where = step.log_likelihood, step.candidate, step.start
            last = before.get((*where, step.iteration - 1))  # None at the first step of a new run or of a resumed run
            gain = "" if last is None or tol is None else f", gained {now - last:.1e} (--tol {tol})"
            self.below = f"step {step.iteration}: {now:.6g} nats per row{gain}"
            before = {(*where, step.iteration): now}

        return report

    def fits(self, total: int) -> Callable[[], None]:
        """Add a bar that counts fits, and return a function to call after each fit."""
        task = self.add_task("fitting", total=total, row_bytes=0, speed=0)
        return lambda: self.advance(task)

    def rows(self, n_rows: int | None, row_bytes: int) -> Callable[[int], None]:
        """Add a bar for the rows of a pass; return a function to call with the number of rows read since its last call.

        `n_rows` is the number of rows in a pass (None if unknown), and `row_bytes` is the size of a row in bytes. The
        returned function may be called from any thread. Simultaneous passes are shown as if they ran one after another.
        """
        task = self.add_task("rows", total=n_rows, row_bytes=row_bytes, speed=0)
        lock, start, n_read, n_passes = Lock(), monotonic(), 0, 0

        def advance(more: int) -> None:
            nonlocal n_read, n_passes
            with lock:
                n_read += more
                now = 1 + ((n_read - 1) // n_rows if n_rows else 0)
                if now > n_passes:
                    n_passes = now
                    self.reset(task, description=f"pass {n_passes}")
                speed = n_read / max(monotonic() - start, 1e-3)
                self.update(task, completed=n_read - (n_passes - 1) * (n_rows or 0), speed=speed)

        return advance


class _Done(ProgressColumn):
    """Column that shows the number of finished fits or, for a pass, the rows and bytes read per second."""

    def render(self, task: Task) -> Text:
        row_bytes, speed = task.fields["row_bytes"], task.fields["speed"]
        if not row_bytes:
            return Text(f"{task.completed:.0f}/{task.total:.0f}")
        return Text(f"{speed / 1e6:.2f}M rows/s, {speed * row_bytes / 1e6:.0f} MB/s")


@contextmanager
def progress(output: str = "") -> Iterator[Bars]:
    """Show bars during a `with` block if standard error is a terminal, unless `output` also goes to a terminal."""
    console = Console(stderr=True)
    shows_rows = output == STANDARD and sys.stdout.isatty()
    hidden = is_quiet() or shows_rows or not console.is_terminal
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(16), _Done(), TimeElapsedColumn()
    left = TextColumn("about"), TimeRemainingColumn(), TextColumn("left")
    bars = Bars(*columns, *left, console=console, transient=True)
    with nullcontext() if hidden else bars:  # Before version 14.3, rich ends disabled bars with an empty line.
        yield bars
