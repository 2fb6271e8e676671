"""Define the class of the options that `gaussmix.open` passes to the function that opens a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaussmix._src.sources.base import Source


@dataclass(frozen=True)
class OpenOptions:
    """The options of `gaussmix.open`, which are explained in the docstring of `gaussmix.open`.

    Parameters
    ----------
    columns, weights : names of the columns of features and weights; None for the defaults of `gaussmix.open`.
    memory : memory limit in bytes.
    missing : whether feature values may be missing.
    cache : folder for .npy copies of the values in files; None if no copies are wanted.
    """

    columns: Sequence[str] | None
    weights: str | None
    memory: int
    missing: bool
    cache: Path | None = None


Opener = Callable[[Any, OpenOptions], Source]
