"""Words for numbers and names in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from gaussmix.families.base import Family


def counted(number: int, noun: str) -> str:
    """ "1 value", "2 values"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def covariances_of(family: Family) -> str:
    """ "tied covariances", and the options of the structure where it has some."""
    options = ", ".join(f"{name}={value}" for name, value in family.options.items())
    return f"{family.name} covariances ({options})" if options else f"{family.name} covariances"


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names in quotes with commas; a long list is cut."""
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def quoted(text: str) -> str:
    """A value in quotes, cut where it is long."""
    return repr(text if len(text) <= 20 else f"{text[:19]}…")
