"""The targets of a regressor, checked: y as an array beside X, or columns of X."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.door.parameters import check_numbers
from gaussmix.mixture.features import Features, places
from gaussmix.numerics.arrays import Array, Places
from gaussmix.numerics.frames import Frame
from gaussmix.numerics.rows import bad_cell
from gaussmix.sources.base import Source
from gaussmix.waist.block import Block


def check_target(y: ArrayLike | None, n_rows: int) -> Array:
    """y as finite numbers, (n_rows,) or (n_rows, n_targets).

    Raises
    ------
    ValueError : no target, not numbers, another shape or length, a value that is missing or infinite.
    TypeError : a column of a data frame holds neither numbers nor text.
    """
    if y is None:
        raise ValueError(
            "A regressor requires y to be passed, but the target y is None: give y, or name columns of X by targets."
        )
    values = check_numbers("y", y)
    if values.ndim not in (1, 2) or 0 in values.shape[1:]:
        raise ValueError(f"y must have shape (n_samples,) or (n_samples, n_targets), not {values.shape}.")
    if len(values) != n_rows:
        raise ValueError(f"y holds {len(values)} rows, but X has {n_rows}: inconsistent numbers of samples.")
    cell = bad_cell(values.reshape(n_rows, -1))
    if cell is not None:
        or_too_large = " or a value too large for dtype('float64')" if cell.name == "infinity" else ""
        raise ValueError(f"Input y contains {cell.name}{or_too_large}: row {cell.row}. {cell.advice}")
    return values


def target_names(y: Any, n_targets: int) -> tuple[str, ...]:
    """Names of the columns of a frame or of a series; y, or y0, y1 … if they have no names."""
    frame = Frame.of(y)
    names: list[Any] = [getattr(y, "name", None)] if frame is None else list(frame.names)
    if len(names) == n_targets and all(isinstance(name, str) and name for name in names):
        return tuple(names)
    return ("y",) if n_targets == 1 else tuple(f"y{number}" for number in range(n_targets))


def check_targets(targets: Features, n_features: int, names: tuple[str, ...] | None) -> Places:
    """Places of the targets among the columns of X, (n_targets,); raises ValueError or TypeError."""
    try:
        found = places(targets, n_features, names)
    except (TypeError, ValueError) as error:
        raise type(error)(f"targets={targets!r:.60}: {error}") from None
    if not 0 < len(found) < n_features:
        every = "every column" if len(found) else "no column"
        raise ValueError(f"targets names {every} of X: name some, and leave at least one to predict from.")
    return found


def copied_column(source: Source, targets: Places) -> tuple[int, int] | None:
    """A target and another column with the same numbers; None if there is no such pair."""
    equal = np.all([*source.map_rows(partial(_equal_columns, targets=targets))], axis=0)
    for target, columns in zip(targets.tolist(), equal, strict=True):
        others = np.flatnonzero(columns)
        others = others[others != target]
        if others.size:
            return target, int(others[0])
    return None


def _equal_columns(block: Block, targets: Places) -> NDArray[np.bool_]:
    """Whether columns have the numbers of targets, (n_targets, n_features)."""
    rows = block.rows
    return np.array([(rows == rows[:, target, None]).all(axis=0) for target in targets])
