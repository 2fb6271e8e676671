"""What goes to standard error: notices of one line each."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click
from sklearn.exceptions import ConvergenceWarning

from gaussmix.engines import choose


def print_notices(sentences: Iterable[str | Warning], *, quiet: bool) -> None:
    """Print sentences on standard error, one line each, unless the user wants quiet."""
    for sentence in () if quiet else sentences:
        click.echo(f"gaussmix: {' '.join(str(sentence).split())}", err=True)


@contextmanager
def collected_warnings() -> Iterator[list[Warning]]:
    """Collect the warnings of the block, each once. Those of convergence are left to the caller."""
    collected: list[Warning] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield collected
    others = [caution.message for caution in caught if not issubclass(caution.category, ConvergenceWarning)]
    collected.extend({str(warning): warning for warning in others if isinstance(warning, Warning)}.values())


def check_engine(jobs: int | None, *, quiet: bool) -> None:
    """Choose the engine before any fit, so that its warnings are printed once and not as those of a fit."""
    with collected_warnings() as collected:
        choose(jobs)
    print_notices(collected, quiet=quiet)
