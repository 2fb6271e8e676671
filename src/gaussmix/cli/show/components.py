"""The console, and structures in words."""

from __future__ import annotations

from rich.console import Console

from gaussmix.families.base import Family

_NARROWEST = 72  # a narrower terminal wraps lines; numbers must not be cut


def console(*, stderr: bool = False) -> Console:
    """A console that prints names as they are, never narrower than tables need."""
    made = Console(highlight=False, markup=False, emoji=False, stderr=stderr)
    made.width = max(made.width, _NARROWEST)
    return made


def covariances_of(family: Family) -> str:
    """ "tied covariances", with the options of the structure if it has some."""
    options = ", ".join(f"{name}={value}" for name, value in family.options.items())
    return f"{family.name} covariances ({options})" if options else f"{family.name} covariances"
