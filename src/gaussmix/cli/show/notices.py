"""What the user should know beside the result: one line each, on standard error."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sklearn.exceptions import ConvergenceWarning

from gaussmix.engines import choose


def notice(sentence: str, *, quiet: bool) -> None:
    """Say something on standard error, unless the user wants quiet."""
    if not quiet:
        click.echo(f"gaussmix: {' '.join(sentence.split())}", err=True)


@contextmanager
def heard() -> Iterator[list[str]]:
    """Collect the library's warnings as sentences, each once; that of convergence is the caller's to put."""
    sentences: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield sentences
    for warning in caught:
        if not issubclass(warning.category, ConvergenceWarning):
            sentences.append(str(warning.message))
    sentences[:] = dict.fromkeys(sentences)


def check_engine(jobs: int | None, *, quiet: bool) -> None:
    """Choose the engine once, so that what there is to say about it is said once and not of some fit."""
    with heard() as sentences:
        choose(jobs)
    for sentence in sentences:
        notice(sentence, quiet=quiet)
