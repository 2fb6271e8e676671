"""Coordinates in which rows have a spread of about 1, and the products of coordinates that a pass multiplies."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.device_array import DeviceArray, to_host

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
    def from_rows(cls, rows: DeviceArray) -> Standardisation:
        """Compute the mean and the covariance of rows on their device; weights do not matter."""
        values: Any = rows
        xp, d = rows.namespace, rows.shape[1]
        first_row = rows.send(rows[np.zeros(1, np.int64)][0])

        def sum_leaf(leaf: Any) -> Sums:
            offsets = leaf.rows.as_doubles() - first_row
            return Sums((xp.sum(offsets, axis=0), offsets.T @ offsets))

        sums = Block(0, values).sum_of(sum_leaf)
        with np.errstate(all="ignore"):  # Covariances that overflow are not used.
            mean, second = (to_host(each).astype(np.float64) / len(rows) for each in sums)
            covariance = second - np.outer(mean, mean)
            variances = np.diagonal(covariance)
            deviations = np.sqrt(np.where((variances > 0) & np.isfinite(variances), variances, 1.0))
            correlations = covariance / deviations / deviations[:, None]
        if not np.isfinite(correlations).all():
            correlations = np.zeros((d, d))
        scale = deviations[:, None] * np.linalg.cholesky(correlations + MIN_CONDITIONAL_VARIANCE * np.eye(d))
        return cls(to_host(first_row).astype(np.float64) + mean, deviations, scale, np.linalg.inv(scale).T)

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

    def coordinates(self, second: Second) -> Any:
        """Return y of each row, for products of pairs of features (`FULL`) or of single features."""
        standardisation = self._standardisation
        is_full = second is Second.FULL
        return self.offsets @ standardisation.inverse if is_full else self.offsets / standardisation.deviations

    def features(self, second: Second) -> Any:
        """Return φ = (products, y, 1) of each row: all y_i y_j with i ≤ j (`FULL`), squares (`DIAGONAL`), or none."""
        if second not in self._features:
            y = self.coordinates(second)
            columns = [y, self._xp.ones_like(y[:, :1])]
            if second is Second.FULL:
                columns = [y[:, i, None] * y[:, i:] for i in range(y.shape[1])] + columns
            elif second is Second.DIAGONAL:
                columns = [y * y, *columns]
            self._features[second] = self._xp.concat(columns, axis=1)
        return self._features[second]


class MeasuredRows:
    """Facts about the rows of an array on a device, which are computed once.

    Parameters
    ----------
    rows : (n_rows, n_features), the whole array.

    Attributes
    ----------
    standardisation, on_device : standardisation of the rows, in NumPy's arrays and on the device.
    """

    def __init__(self, rows: DeviceArray) -> None:
        self._longest: dict[Second, float] = {}
        self.standardisation = Standardisation.from_rows(rows)
        self.on_device = Standardisation(*map(rows.send, self.standardisation))

    def longest(self, rows: DeviceArray, second: Second) -> float:
        """Return the largest |y| of a row of the array, for products of pairs of features (`FULL`) or of single ones.

        `rows` is this array or a slice of it. It is not an attribute, because the array refers to its facts.
        """
        if second not in self._longest:
            whole: Any = rows.whole
            xp, leaves = whole.namespace, Block(0, whole).split()
            coordinates = (StandardisedRows(leaf, self.on_device).coordinates(second) for leaf in leaves)
            squares = xp.max(xp.stack([xp.max(xp.sum(y * y, axis=1)) for y in coordinates]))
            self._longest[second] = float(squares) ** 0.5
        return self._longest[second]

    @classmethod
    def of_array(cls, rows: DeviceArray) -> MeasuredRows:
        """Return the facts about the array of which `rows` are a slice."""
        rows.whole.facts = rows.whole.facts or cls(rows.whole)
        facts: MeasuredRows = rows.whole.facts
        return facts
