"""Computes log p(x, k) of rows on a device by matrix products, or by differences x − μ_k if products are inaccurate."""

from __future__ import annotations

from typing import Any

import numpy as np

from gaussmix._src.engines.device.standardisation import MeasuredRows, Standardisation, StandardisedRows, pairs
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.base import FactorShape
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.device_array import DeviceArray

MAX_DENSITY_ERROR = 1e-9  # in nats; if the error of products may be larger, differences are used
MAX_DENSITY_ERROR_PER_PRECISION = 1e4  # maximum error of float32 products, as a multiple of epsilon


class JointDensity:
    """Function that computes log p(x, k), in nats, of rows on a device.

    With features φ of standardised rows, log p(x, k) = φ · θ_k. The product φ · θ_k loses digits for components that
    are narrow compared with the distances of the rows, because large terms cancel.

    Parameters
    ----------
    rows : any of the rows, which determine the array library, the device and the data type.
    parameters : parameters of the mixture.
    measured : statistics of the whole array of the rows.
    may_use_products : whether densities may be computed by matrix products.

    Attributes
    ----------
    second : products in the features φ: of all pairs (`Second.FULL`), or squares (`Second.DIAGONAL`).
    is_by_products : whether the density of each component is computed by matrix products, (n_components,).
    theta : natural parameters θ of the components, (n_components, n_values), if `is_by_products` is True for each of
        them; otherwise None.
    """

    def __init__(
        self, rows: DeviceArray, parameters: Parameters, measured: MeasuredRows, may_use_products: bool
    ) -> None:
        self._rows, self._parameters = rows, parameters
        whitening, K, standardisation = parameters.whitening, len(parameters.means), measured.standardisation
        self._shape = whitening.factor_shape
        self.second = Second.FULL if self._shape is FactorShape.TRIANGULAR else Second.DIAGONAL
        self.is_by_products, self.theta = np.zeros(K, np.bool_), None
        if may_use_products and self._shape is not FactorShape.LOW_RANK:
            theta, errors = _natural_parameters(parameters, standardisation, measured.longest(rows, self.second))
            self.is_by_products = errors <= max(MAX_DENSITY_ERROR / rows.precision, MAX_DENSITY_ERROR_PER_PRECISION)
            self.theta = theta if self.is_by_products.all() else None
        self._max_square = float(rows.namespace.finfo(rows.computing_type).max)  # replaces squares that overflow
        by_products, others = np.flatnonzero(self.is_by_products), np.flatnonzero(~self.is_by_products)
        self._whitens_once = self._shape is FactorShape.TRIANGULAR and whitening.is_shared and len(by_products) > 0
        self._on_device = [(k, rows.send(parameters.means[k]), *self._factors(k)) for k in others.tolist()]
        is_mixed = 0 < len(others) < K
        self._order = rows.send(np.argsort(np.concatenate((by_products, others)))) if is_mixed else None
        self._theta_on_device = None
        if self._whitens_once:
            whitened = whitening.whiten_each(parameters.means - standardisation.centre)[by_products]
            constants = parameters.log_scale[by_products] - 0.5 * (whitened**2).sum(axis=1)
            self._shared_theta = rows.send(np.column_stack((whitened, np.full_like(constants, -0.5), constants)))
            self._common = rows.send(whitening.factor(0))
        elif len(by_products):
            self._theta_on_device = rows.send(theta[by_products])

    def __call__(self, rows: StandardisedRows) -> Any:
        """Compute log p(x, k), (n_rows, n_components)."""
        xp, columns = self._rows.namespace, list[Any]()
        if self._whitens_once:
            whitened = self._common @ xp.matrix_transpose(rows.offsets)
            squares = xp.sum(whitened * whitened, axis=0, keepdims=True)
            table = xp.concat((whitened, squares, xp.ones_like(squares)), axis=0)
            columns.append(xp.matrix_transpose(self._shared_theta @ table))
        elif self._theta_on_device is not None:
            columns.append(xp.matrix_transpose(self._theta_on_device @ rows.features(self.second)))
        for k, *on_device in self._on_device:
            whitened = self._whiten(rows.rows - on_device[0], *on_device[1:])
            squares = xp.sum(whitened * whitened, axis=1, keepdims=True)
            squares = xp.where(squares <= self._max_square, squares, xp.full_like(squares, self._max_square))
            columns.append(float(self._parameters.log_scale[k]) - 0.5 * squares)
        joint = columns[0] if len(columns) == 1 else xp.concat(columns, axis=1)
        return joint if self._order is None else xp.take(joint, self._order, axis=1)

    def _factors(self, k: int) -> list[Any]:
        """Copy the factors of W_k to the device, in the form that `_whiten` multiplies."""
        factor, send = self._parameters.whitening.factor(k), self._rows.send
        if self._shape is FactorShape.LOW_RANK:
            return [send(factor[:, -1]), send(factor[:, :-1]), send(factor[:, :-1].T)]
        is_matrix = self._shape is FactorShape.TRIANGULAR
        return [send(factor.T if is_matrix else np.broadcast_to(factor, self._parameters.means.shape[1:]))]

    def _whiten(self, offsets: Any, factor: Any, *directions: Any) -> Any:
        """Return W_k u for each row u of `offsets`."""
        if self._shape is FactorShape.TRIANGULAR:
            return offsets @ factor
        scaled = offsets * factor
        return scaled - (scaled @ directions[0]) @ directions[1] if directions else scaled


def _natural_parameters(
    parameters: Parameters, standardisation: Standardisation, longest: float
) -> tuple[Array, Array]:
    """Return θ of each component, (n_components, n_values), and bounds on rounding errors of φ · θ, in multiples of ε.

    With W' = W S and P = W'ᵀ W', log p(y, k) = −½ yᵀ P y + yᵀ P μ + constant. No term exceeds |P| (|y| + |μ|)².
    """
    whitening, offsets = parameters.whitening, parameters.means - standardisation.centre
    factors = np.repeat(whitening.factors, len(offsets), axis=0) if whitening.is_shared else whitening.factors
    K, d = offsets.shape
    with np.errstate(all="ignore"):  # products are not used if a bound is infinite or NaN
        if is_matrix := whitening.factor_shape is FactorShape.TRIANGULAR:
            scaled, means = factors @ standardisation.scale, offsets @ standardisation.inverse
            precisions = np.swapaxes(scaled, 1, 2) @ scaled
            linear, sizes = np.einsum("kij,kj->ki", precisions, means), np.linalg.norm(precisions, axis=(1, 2))
        else:
            precisions = (factors.reshape(K, -1) * standardisation.deviations) ** 2
            means = offsets / standardisation.deviations
            linear, sizes = precisions * means, np.linalg.norm(precisions, axis=1)
        constants = parameters.log_scale - 0.5 * (linear * means).sum(axis=1)
        errors = sizes * (longest + np.linalg.norm(means, axis=1)) ** 2
    if is_matrix:
        forms = np.empty((K, d + 1, d + 1))  # log p(y, k) = ½ zᵀ F z for z = (y, 1), with one matrix F per component
        forms[:, :d, :d], forms[:, d, d] = -precisions, 2 * constants
        forms[:, :d, d] = forms[:, d, :d] = linear
        i, j = pairs(d)
        theta = forms[:, i, j] * np.where(i == j, 0.5, 1.0)
    else:
        theta = np.column_stack((-0.5 * precisions, linear, constants))
    return theta, np.where(np.isnan(errors), np.inf, errors)
