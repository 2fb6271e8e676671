"""Functions that read a column of labels from a table."""

from __future__ import annotations

from typing import Any

from gaussmix._src.cli.parsing import parse_number
from gaussmix._src.sources.tables.base import BadTable, Table

_NO_LABEL = ("", "na", "n/a", "nan", "null", "none")


def label_cells(table: Table, column: str) -> list[Any]:
    """Return the text of each cell in a column of labels; None for empty cells and for words such as "NA".

    Raises BadTable or OSError if the table has no such column, or if the column can't be read.
    """
    table.check_has(column)
    cells = (str(cell).strip() for batch in table.batches([column]) for cell in batch[0].to_pylist())
    return [None if text.lower() in _NO_LABEL or text in table.missing else text for text in cells]


def read_labels(table: Table, column: str, limit: int) -> tuple[list[Any], dict[str, list[int]] | None]:
    """Return the label of each row (None if missing or −1), and a dictionary from text labels to component indices.

    At most `limit` different text labels are allowed; text labels are assigned to components in alphabetical order. If
    the labels are numbers, the result contains None instead of the dictionary. Raises the errors of `label_cells`, and
    BadTable if there are more than `limit` different labels or a label is a decimal number.
    """
    texts = [None if text == "-1" else text for text in label_cells(table, column)]
    distinct = {text: parse_number(text) for text in sorted({text for text in texts if text is not None})}
    where = f"{table.name}, column {column!r}"
    if any(isinstance(value, str) for value in distinct.values()):
        if len(distinct) > limit:
            raise BadTable(
                f"{where} has {len(distinct)} different labels, and each needs a component: set -k {len(distinct)} or "
                "more."
            )
        return texts, {text: [index] for index, text in enumerate(distinct)}
    if not all(float(value).is_integer() for value in distinct.values()):
        raise BadTable(f"{where} contains decimal numbers, but labels must be component names or indices.")
    return [None if text is None else int(distinct[text]) for text in texts], None
