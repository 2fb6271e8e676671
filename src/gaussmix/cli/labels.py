"""A column of labels, read beside the features."""

from __future__ import annotations

from typing import Any

from gaussmix.errors import listed
from gaussmix.sources.tables.base import BadTable, Table

UNKNOWN = ("", "-1", "na", "n/a", "nan", "null", "none")


def read_labels(table: Table, column: str) -> tuple[list[Any], dict[str, list[int]] | None]:
    """The labels of a column, and the components that they have.

    Returns
    -------
    labels : one for each row; None in a cell that is empty, −1 or a word for nothing.
    label_components : where labels are text, one component for each, in the order of the alphabet; None for numbers.

    Raises
    ------
    BadTable, OSError : there is no such column, or it can't be read.
    """
    if column not in table.names:
        raise BadTable(f"{table.name} has no column {column!r}; it has {listed(table.names)}.")
    cells = [cell for batch in table.batches([column]) for cell in batch[0].to_pylist()]
    labels = [None if cell is None or str(cell).strip().lower() in UNKNOWN else cell for cell in cells]
    try:
        return [None if label is None else _whole(label) for label in labels], None
    except ValueError:
        texts = [None if label is None else str(label) for label in labels]
        distinct = sorted({text for text in texts if text is not None})
        return texts, {text: [number] for number, text in enumerate(distinct)}


def _whole(label: Any) -> int:
    """A label as a whole number; raises ValueError."""
    number = float(label)
    if not number.is_integer():
        raise ValueError
    return int(number)
