"""What the user of `open` asks for, as a function that opens a source gets it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaussmix._src.sources.base import Source


@dataclass(frozen=True)
class OpenOptions:
    """What the user of `open` asks for; see there.

    Parameters
    ----------
    columns, weights : names of columns; None for the default.
    memory : bytes.
    missing : whether cells may be missing.
    cache : a folder that keeps the numbers of files; None for no cache.
    """

    columns: Sequence[str] | None
    weights: str | None
    memory: int
    missing: bool
    cache: Path | None = None


Opener = Callable[[Any, OpenOptions], Source]


OpenOptions.__module__ = "gaussmix.extend"  # where users import it from
