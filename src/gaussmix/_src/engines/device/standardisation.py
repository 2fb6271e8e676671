"""Standardised coordinates of rows on a device, and the products of coordinates that a pass needs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.device_array import DeviceArray, to_host

# Minimum variance of a feature given all other features, as a fraction of the feature's variance.
MIN_CONDITIONAL_VARIANCE = 1e-6


class Standardisation(NamedTuple):
    """Map from rows x to coordinates y = S⁻¹ (x − c), in which rows have a standard deviation of about 1.

    All fields are NumPy arrays, or copies of NumPy arrays on a device.

    Parameters
    ----------
    centre : mean c of the rows, (n_features,), in data units.
    deviations : standard deviations of the features, (n_features,), in data units. If features φ contain only squares,
        S is the diagonal matrix of these deviations.
    scale : S if φ contains products of pairs, (n_features, n_features): the Cholesky factor of the covariance.
    inverse : S⁻ᵀ if φ contains products of pairs; offsets x − c are multiplied by S⁻ᵀ from the right.
    """

    centre: Any
    deviations: Any
    scale: Any
    inverse: Any

    @classmethod
    def from_rows(cls, rows: DeviceArray) -> Standardisation:
        """Compute the standardisation from the mean and covariance of rows, without row weights."""
        values: Any = rows
        xp, d = rows.namespace, rows.shape[1]
        first_row = rows.send(rows[np.zeros(1, np.int64)][0])

        def sum_leaf(leaf: Any) -> Sums:
            offsets = leaf.rows.as_computing_type() - first_row
            return Sums((xp.sum(offsets, axis=0), offsets.T @ offsets))

        sums = Block(0, values).sum_of(sum_leaf)
        with np.errstate(all="ignore"):  # covariances that overflow are replaced below
            mean, second = (to_host(each).astype(np.float64) / len(rows) for each in sums)
            covariance = second - np.outer(mean, mean)
            variances = np.diagonal(covariance)
            deviations = np.sqrt(np.where((variances > 0) & np.isfinite(variances), variances, 1.0))
            correlations = covariance / deviations / deviations[:, None]
        if not np.isfinite(correlations).all():
            correlations = np.zeros((d, d))
        scale = deviations[:, None] * np.linalg.cholesky(correlations + MIN_CONDITIONAL_VARIANCE * np.eye(d))
        return cls(to_host(first_row).astype(np.float64) + mean, deviations, scale, np.linalg.inv(scale).T)

    def moments(self, sums: Array, second: Second) -> tuple[Array, Array, Array | None]:
        """Turn sums of features (n, n_values) into masses, first and second moments about the centre, in data units.

        `second` specifies which features were summed, as in `StandardisedRows.features`.
        """
        d = len(self.centre)
        if second is not Second.FULL:
            products, first, mass = sums[:, : -1 - d], sums[:, -1 - d : -1] * self.deviations, sums[:, -1]
            return mass, first, products * self.deviations**2 if second is Second.DIAGONAL else None
        i, j = pairs(d)
        matrices = np.empty((len(sums), d + 1, d + 1))
        matrices[:, i, j] = matrices[:, j, i] = sums
        products, first, mass = matrices[:, :d, :d], matrices[:, :d, d], matrices[:, d, d]
        return mass, first @ self.scale.T, self.scale @ products @ self.scale.T


def pairs(n_features: int, second: Second = Second.FULL) -> tuple[Indices, Indices]:
    """Return indices (i, j) of the products z_i z_j in the features φ, for z = (y, 1).

    For `FULL`, φ contains all pairs, each once, ordered by j − i modulo the length of z, so that each difference is one
    product of two tables. For `DIAGONAL`, φ = (y_i², y, 1).
    """
    if second is Second.DIAGONAL:
        i = np.arange(n_features)
        return np.append(i, np.arange(n_features + 1)), np.append(i, np.full(n_features + 1, n_features))
    P = n_features + 1
    n_products = P * (P + 1) // 2
    i = np.arange(n_products)
    return i % P, (i + i // P) % P


class StandardisedRows:
    """Rows, offsets of the rows from the centre, and products of coordinates, which are computed only when needed.

    Parameters
    ----------
    block : the rows, on a device.
    standardisation : standardisation whose arrays are on the device of the rows.
    """

    def __init__(self, block: Block, standardisation: Standardisation) -> None:
        rows: Any = block.rows
        self.rows = rows.as_computing_type()
        self.offsets = self.rows - standardisation.centre
        self._xp, self._standardisation, self._features = rows.namespace, standardisation, dict[Second, Any]()

    def coordinates(self, second: Second) -> Any:
        """Return y of each row as a column of a table, (n_features, n_rows).

        The matrix S is `scale` if `second` is `FULL`, and otherwise diagonal.
        """
        standardisation, xp = self._standardisation, self._xp
        if second is Second.FULL:
            return xp.matrix_transpose(standardisation.inverse) @ xp.matrix_transpose(self.offsets)
        return xp.matrix_transpose(self.offsets / standardisation.deviations)

    def features(self, second: Second) -> Any:
        """Return φ of each row as a column of a table, (n_values, n_rows), because libraries join its rows faster.

        φ contains all products z_i z_j of z = (y, 1) (`FULL`, see `pairs`), (y_i², y, 1) (`DIAGONAL`), or (y, 1).
        """
        if second not in self._features:
            y, xp = self.coordinates(second), self._xp
            blocks = [y, xp.ones_like(y[:1, :])]
            if second is Second.FULL:
                twice, P = xp.concat(2 * blocks, axis=0), y.shape[0] + 1
                z = twice[:P, :]
                blocks = [z * twice[start : start + P, :] for start in range((P + 1) // 2)]
                if P % 2 == 0:  # the difference P / 2 occurs twice
                    blocks.append(z[: P // 2, :] * z[P // 2 :, :])
            elif second is Second.DIAGONAL:
                blocks = [y * y, *blocks]
            self._features[second] = xp.concat(blocks, axis=0)
        return self._features[second]


class MeasuredRows:
    """Statistics of the rows of an array on a device, which are computed once.

    Parameters
    ----------
    rows : the whole array, (n_rows, n_features).

    Attributes
    ----------
    standardisation, on_device : standardisation of the rows in NumPy arrays, and its copy on the device.
    kernels : `TritonKernels` for these rows, by the features and components for which they were created, or None if
        Triton could not compile them.
    """

    def __init__(self, rows: DeviceArray) -> None:
        self._longest, self.kernels = dict[Second, float](), dict[Any, Any]()
        self.standardisation = Standardisation.from_rows(rows)
        self.on_device = Standardisation(*map(rows.send, self.standardisation))

    def longest(self, rows: DeviceArray, second: Second) -> float:
        """Return the largest |y| of all rows of the array, for the coordinates y that `second` requires.

        `rows` is the whole array or a slice of it. The array is not an attribute, because it refers to this object.
        """
        if second not in self._longest:
            whole: Any = rows.whole
            xp, leaves = whole.namespace, Block(0, whole).split()
            coordinates = (StandardisedRows(leaf, self.on_device).coordinates(second) for leaf in leaves)
            squares = xp.max(xp.stack([xp.max(xp.sum(y * y, axis=0)) for y in coordinates]))
            self._longest[second] = float(squares) ** 0.5
        return self._longest[second]

    @classmethod
    def of_array(cls, rows: DeviceArray) -> MeasuredRows:
        """Return the statistics of `rows.whole`, the whole array that contains `rows`."""
        measured: MeasuredRows = rows.whole.measured or cls(rows.whole)
        rows.whole.measured = measured
        return measured
