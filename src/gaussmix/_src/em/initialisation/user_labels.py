"""Labels with which a user restricts the possible components of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.elementary import log

UNKNOWN_LABEL = -1  # label of a row whose component is unknown


@dataclass(frozen=True, eq=False)
class UserLabels:
    """Labels of rows, for a mixture with any number of components.

    Parameters
    ----------
    allowed_components : for each label, the components to which rows with this label may belong; None if
        `plausibilities` is given.
    label_indices : index of each row's label in `allowed_components`, or −1 if the label is unknown, (n_rows,) int32.
        None if `plausibilities` is given, or if the labels are in `Block.assignment`.
    plausibilities : plausibility (at least 0) of each component for each row, (n_rows, n_columns); None if labels are
        given.
    """

    allowed_components: Sequence[Sequence[int]] | None = None
    label_indices: NDArray[np.int32] | None = None
    plausibilities: NDArray[Any] | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether the label of every row is unknown."""
        if self.label_indices is None:
            return self.allowed_components is not None and not self.allowed_components
        return not (self.label_indices != UNKNOWN_LABEL).any()

    @property
    def is_complete(self) -> bool:
        """Return whether the component of every row is known."""
        has_one = self.allowed_components is not None and all(len(group) == 1 for group in self.allowed_components)
        return has_one and self.label_indices is not None and not (self.label_indices == UNKNOWN_LABEL).any()

    def min_components(self) -> int:
        """Return the minimum number of components that the labels require."""
        return 1 + max((max(group) for group in self.allowed_components or ()), default=0)

    def check_n_components(self, n_components: int, has_noise: bool) -> None:
        """Raise ValueError if labels need more than `n_components`, or plausibilities have an invalid column count."""
        if self.allowed_components is not None and self.min_components() > n_components:
            raise ValueError(
                f"labels use component {self.min_components() - 1}; with n_components={n_components} they must lie in "
                f"0 … {n_components - 1}, or be {UNKNOWN_LABEL} for rows of unknown component."
            )
        widths = [n_components, n_components + 1] if has_noise else [n_components]
        if self.plausibilities is not None and self.plausibilities.shape[1] not in widths:
            raise ValueError(
                f"labels has {self.plausibilities.shape[1]} columns; with n_components={n_components} a table of "
                f"labels must have {' or '.join(map(str, widths))}{', the last one for noise' if has_noise else ''}."
            )

    def log_prior(self, n_components: int, has_noise: bool) -> tuple[Array, NDArray[np.int32] | None]:
        """Return the table `Block.log_prior`, and the index in this table for each row (`Block.prior_indices`).

        A row with a known label cannot belong to the noise component. If a table of plausibilities has no column for
        the noise component, the noise component is as plausible as the least plausible component.
        """
        if self.allowed_components is not None:
            is_allowed = np.zeros((len(self.allowed_components), n_components + has_noise))
            for row, group in zip(is_allowed, self.allowed_components, strict=True):
                row[list(group)] = 1.0
            return log(is_allowed), self.label_indices
        assert self.plausibilities is not None, "either labels or a table is given"
        prior = np.empty((len(self.plausibilities), n_components + has_noise))
        table = self.plausibilities.astype(np.float64)
        prior[:, : table.shape[1]] = table / table.max(axis=1, keepdims=True)
        if prior.shape[1] > self.plausibilities.shape[1]:
            prior[:, -1] = prior[:, :-1].min(axis=1)
        return log(prior), None

    def as_arrays(self) -> list[Any]:
        """Return all labels and plausibilities as a list of arrays."""
        groups = [np.array(group, np.int64) for group in self.allowed_components or ()]
        return [*groups, *(array for array in (self.label_indices, self.plausibilities) if array is not None)]

    def take(self, is_chosen: NDArray[np.bool_]) -> UserLabels:
        """Return the labels of the chosen rows."""
        arrays = self.label_indices, self.plausibilities
        indices, table = (None if each is None else each[is_chosen] for each in arrays)
        return UserLabels(self.allowed_components, indices, table)
