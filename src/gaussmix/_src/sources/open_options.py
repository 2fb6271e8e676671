"""Define the options of `gaussmix.open`, as they are passed to the function that opens a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaussmix._src.sources.base import Source


@dataclass(frozen=True)
class OpenOptions:
    """The options of `gaussmix.open`; see its docstring.

    Parameters
    ----------
    columns, weights : names of columns; None for the default.
    memory : memory limit in bytes.
    missing : whether values may be missing.
    cache : folder for copies of the values in files; None for no cache.
    """

    columns: Sequence[str] | None
    weights: str | None
    memory: int
    missing: bool
    cache: Path | None = None


Opener = Callable[[Any, OpenOptions], Source]


OpenOptions.__module__ = "gaussmix.extend"  # public module of the class
