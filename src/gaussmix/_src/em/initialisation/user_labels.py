"""What a user knows about the components of rows: labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import log

UNKNOWN = -1  # the label of a row whose component is not known


@dataclass(frozen=True, eq=False)
class UserLabels:
    """Known labels of rows, for a mixture with any number of components.

    Parameters
    ----------
    groups : for each label, the components that its rows may have; None with a table.
    indices : (n_rows,) int32, the index of each row's label in `groups`, −1 for an unknown label; None with a table,
        and where `Block.assignment` says it.
    table : (n_rows, n_columns), how possible each component is for a row, ≥ 0; None with labels.
    """

    groups: Sequence[Sequence[int]] | None = None
    indices: NDArray[np.int32] | None = None
    table: NDArray[Any] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the label of every row is unknown."""
        if self.indices is None:
            return self.groups is not None and not self.groups
        return not (self.indices != UNKNOWN).any()

    @property
    def is_complete(self) -> bool:
        """Whether the component of every row is known."""
        has_one = self.groups is not None and all(len(group) == 1 for group in self.groups)
        return has_one and self.indices is not None and not (self.indices == UNKNOWN).any()

    def least(self) -> int:
        """Least number of components that the labels need."""
        return 1 if self.groups is None else 1 + max((max(group) for group in self.groups), default=0)

    def check_size(self, n_components: int, has_noise: bool) -> None:
        """Raise ValueError if the labels do not suit this number of components."""
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
        """Make `Block.log_prior` of all rows, and the rows' indices in it.

        A row with a known label cannot be noise. In a table without a column for noise, noise is as possible as the
        least possible component.
        """
        if self.groups is not None:
            is_allowed = np.zeros((len(self.groups), n_components + has_noise))
            for row, group in zip(is_allowed, self.groups, strict=True):
                row[list(group)] = 1.0
            return log(is_allowed), self.indices
        assert self.table is not None, "labels or a table"
        prior = np.empty((len(self.table), n_components + has_noise))
        table = self.table.astype(np.float64)
        prior[:, : table.shape[1]] = table / table.max(axis=1, keepdims=True)
        if prior.shape[1] > self.table.shape[1]:
            prior[:, -1] = prior[:, :-1].min(axis=1)
        return log(prior), None

    def arrays(self) -> list[Any]:
        """All values, as arrays."""
        groups = [] if self.groups is None else [np.array(group, np.int64) for group in self.groups]
        return [*groups, *(array for array in (self.indices, self.table) if array is not None)]

    def part(self, chosen: NDArray[np.bool_]) -> UserLabels:
        """What is known about the chosen rows."""
        indices, table = (None if each is None else each[chosen] for each in (self.indices, self.table))
        return UserLabels(self.groups, indices, table)
