"""What a fit notes about the rows that it read, for those who read the result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from gaussmix.door.rows import counted_weight
from gaussmix.formats.values import count
from gaussmix.numerics.frames import Frame
from gaussmix.sources.base import Source
from gaussmix.sources.findings import Cells


@dataclass(frozen=True)
class RowFacts:
    """The rows of a fit.

    Parameters
    ----------
    n_rows : how many.
    row_weight : their total weight as criteria count it: n_rows where they have no weights, and for shares the number
        of rows of positive weight.
    log_likelihood : of the rows, nats, a total: before the last step of EM, or of the mixture where a search has found
        it. None where EM raised something else: with a prior, with labels, or of a part of the rows.
    library : of the data frame that they came in; None for an array or a file.
    has_errors : whether the rows have measurement errors.
    seconds : how long the fit took; None of one that was loaded, so that equal fits make equal files.
    """

    n_rows: int
    row_weight: float
    log_likelihood: float | None
    library: str | None
    has_errors: bool = False
    seconds: float | None = None

    @classmethod
    def of(cls, source: Source, X: object, log_likelihood: float | None, began: float) -> RowFacts:
        """The facts of a fit that ends now; its log-likelihood is a mean, and it began at this `perf_counter`."""
        weight = counted_weight(source)
        empty = source.of_all(Cells).empty_weight if source.may_miss else 0.0
        per_row = source.profile.total_weight / (source.profile.total_weight - empty)  # the mean is of all rows
        total = None if log_likelihood is None else log_likelihood * weight * per_row
        return cls(source.n_rows, weight, total, library_of(X), source.has_errors, perf_counter() - began)

    def as_table(self) -> dict[str, Any]:
        """As a model file holds them."""
        return {name: [value] for name, value in asdict(self).items() if name != "seconds"}

    @classmethod
    def of_table(cls, table: Any) -> RowFacts:
        """From a model file; raises TypeError or ValueError where the table is another."""
        if not isinstance(table, dict):
            raise TypeError
        values = {name: value for name, (value,) in table.items()}
        kinds: dict[str, Any] = {
            "n_rows": int,
            "row_weight": float,
            "log_likelihood": (float, type(None)),
            "library": (str, type(None)),
            "has_errors": bool,
        }
        if values.keys() != kinds.keys() or not all(isinstance(values[name], kind) for name, kind in kinds.items()):
            raise TypeError
        count(values["n_rows"])
        return cls(**values)


def library_of(X: object) -> str | None:
    """The library of the data frame that rows came in; None for an array or a file."""
    frame = None if isinstance(X, Source) else Frame.of(X)
    return None if frame is None else frame.library
