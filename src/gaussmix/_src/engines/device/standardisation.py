"""Coordinates in which rows have a spread of about 1, and the products of coordinates that a pass multiplies."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.device_array import to_host

MIN_CONDITIONAL_VARIANCE = (
    1e-6  # variance that each feature has at least, given the others, in units of its own variance
)


class Standardisation(NamedTuple):
    """The map from rows x to coordinates y = S⁻¹ (x − c), in which rows have a spread of about 1.

    The arrays are NumPy's, or copies of them on a device.

    Parameters
    ----------
    centre : c, the mean of the rows, (n_features,), data units.
    deviations : standard deviations (n_features,), data units. S is the diagonal matrix of these for products of single
        features.
    scale : S for products of pairs of features, (n_features, n_features), the Cholesky factor of the covariance.
    inverse : S⁻ᵀ for these, by which offsets x − c are multiplied from the right.
    """

    centre: Any
    deviations: Any
    scale: Any
    inverse: Any

    @classmethod
    def from_block(cls, block: Block) -> Standardisation:
        """Compute the mean and the covariance of the rows of a block on a device; weights do not matter."""
        rows: Any = block.rows
        xp, d = rows.namespace, rows.shape[1]
        first_row = rows.send(rows[np.zeros(1, np.int64)][0])

        def sum_leaf(leaf: Any) -> Sums:
            offsets = leaf.rows.as_doubles() - first_row
            return Sums((xp.sum(offsets, axis=0), offsets.T @ offsets))

        with np.errstate(all="ignore"):  # Covariances that overflow are not used.
            mean, second = (to_host(each).astype(np.float64) / len(rows) for each in block.sum_of(sum_leaf))
            covariance = second - np.outer(mean, mean)
            variances = np.diagonal(covariance)
            deviations = np.sqrt(np.where((variances > 0) & np.isfinite(variances), variances, 1.0))
            correlations = covariance / deviations / deviations[:, None]
        if not np.isfinite(correlations).all():
            correlations = np.zeros((d, d))
        scale = deviations[:, None] * np.linalg.cholesky(correlations + MIN_CONDITIONAL_VARIANCE * np.eye(d))
        return cls(to_host(first_row).astype(np.float64) + mean, deviations, scale, np.linalg.inv(scale).T)

    def longest(self, block: Block) -> float:
        """Return the largest |y| of the rows of a block; this is a copy on their device."""
        rows: Any = block.rows
        xp, longest = rows.namespace, 0.0
        for leaf in block.split():
            coordinates = StandardisedRows(leaf, self).features(Second.FULL, with_products=False)
            longest = max(longest, float(xp.max(xp.sum(coordinates * coordinates, axis=1))) ** 0.5)
        return longest

    def moments(self, sums: Array, second: Second) -> tuple[Array, Array | None]:
        """Turn sums of features (n, n_values) into first and second moments about the centre, data units."""
        d = len(self.centre)
        products, first = sums[:, : -1 - d], sums[:, -1 - d : -1]
        if second is not Second.FULL:
            return first * self.deviations, products * self.deviations**2 if second is Second.DIAGONAL else None
        i, j = np.triu_indices(d)
        matrices = np.empty((len(sums), d, d))
        matrices[:, i, j] = matrices[:, j, i] = products
        return first @ self.scale.T, self.scale @ matrices @ self.scale.T


class StandardisedRows:
    """Some rows, their offsets from the centre, and products of their coordinates, which are computed when needed.

    Parameters
    ----------
    block : the rows, on a device.
    standardisation : a copy on this device.
    """

    def __init__(self, block: Block, standardisation: Standardisation) -> None:
        rows: Any = block.rows
        self.rows = rows.as_doubles()
        self.offsets = self.rows - standardisation.centre
        self._xp, self._standardisation, self._features = rows.namespace, standardisation, dict[Second, Any]()

    def features(self, second: Second, *, with_products: bool = True) -> Any:
        """Return φ = (products, y, 1) of each row: all y_i y_j with i ≤ j (`FULL`), squares (`DIAGONAL`), or none."""
        is_full = second is Second.FULL
        if second in self._features:
            return self._features[second]
        y = self.offsets @ self._standardisation.inverse if is_full else self.offsets / self._standardisation.deviations
        columns = [y, self._xp.ones_like(y[:, :1])]
        if is_full and with_products:
            columns = [y[:, i, None] * y[:, i:] for i in range(y.shape[1])] + columns
        elif second is Second.DIAGONAL:
            columns = [y * y, *columns]
        features = self._xp.concat(columns, axis=1)
        if with_products:
            self._features[second] = features
        return features
