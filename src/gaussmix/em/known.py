"""What a user knows of the components of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array
from gaussmix.numerics.elementary import log
from gaussmix.numerics.pieces import pieces

UNKNOWN = -1  # the label of a row whose component is not known


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of rows, for mixtures of any number of components that it fits.

    Parameters
    ----------
    groups : for each label the components that its rows may have; None where `table` says it.
    places : (n_rows,) int32, the number of each row's label, −1 where nothing is known; None with a table.
    table : (n_rows, n_columns), how possible each component is for a row, ≥ 0; None with labels.
    """

    groups: Sequence[Sequence[int]] | None = None
    places: NDArray[np.int32] | None = None
    table: NDArray[Any] | None = None

    def least(self) -> int:
        """The least number of components that a mixture must have."""
        return 1 if self.groups is None else 1 + max((max(group) for group in self.groups), default=0)

    def check_size(self, n_components: int, has_noise: bool) -> None:
        """Raise ValueError where it does not go with so many components."""
        if self.groups is not None and self.least() > n_components:
            raise ValueError(
                f"labels name component {self.least() - 1}; with n_components={n_components} they must lie in 0 … "
                f"{n_components - 1}, or be {UNKNOWN} where they are unknown."
            )
        widths = [n_components, n_components + 1] if has_noise else [n_components]
        if self.table is not None and self.table.shape[1] not in widths:
            raise ValueError(
                f"labels has {self.table.shape[1]} columns; with n_components={n_components} a table of labels has "
                f"{' or '.join(map(str, widths))}{', the last one for noise' if has_noise else ''}."
            )

    def log_prior(self, n_components: int, has_noise: bool) -> tuple[Array, NDArray[np.int32] | None]:
        """`Block.log_prior` of all rows, and their places in it.

        Of a row whose label is known, or that is not allowed some component, noise is not possible either. Where a
        table has no column for it, noise is as possible as the least possible component.
        """
        if self.groups is not None:
            is_allowed = np.zeros((len(self.groups), n_components + has_noise))
            for row, group in zip(is_allowed, self.groups, strict=True):
                row[list(group)] = 1.0
            return log(is_allowed), self.places
        assert self.table is not None, "labels or a table"
        prior = np.empty((len(self.table), n_components + has_noise))
        for part in pieces(prior.shape):
            some = self.table[part].astype(np.float64)
            prior[part, : some.shape[1]] = some / some.max(axis=1, keepdims=True)
        if prior.shape[1] > self.table.shape[1]:
            prior[:, -1] = prior[:, :-1].min(axis=1)
        return log(prior), None

    def arrays(self) -> list[Any]:
        """All that it says, as arrays."""
        groups = [] if self.groups is None else [np.array(group, np.int64) for group in self.groups]
        return [*groups, *(array for array in (self.places, self.table) if array is not None)]

    def part(self, chosen: NDArray[np.bool_]) -> Known:
        """Of some rows."""
        if self.places is not None:
            return Known(self.groups, self.places[chosen])
        assert self.table is not None, "labels or a table"
        return Known(table=self.table[chosen])
