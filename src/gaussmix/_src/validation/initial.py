"""Check the user's initial values for EM: weights, means, covariances, labels and responsibilities."""

from __future__ import annotations

from dataclasses import dataclass
from reprlib import repr as shorten
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix._src.covariances import Covariances, LowRank
from gaussmix._src.em.initialisation.base import AUTO, STARTS
from gaussmix._src.errors import SingularCovarianceError, name_components, warn
from gaussmix._src.families.base import Family, describe_deviation
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.numerics.arrays import Array, copied, plain_array
from gaussmix._src.numerics.rows import largest_of
from gaussmix._src.sources.base import Source
from gaussmix._src.validation.parameters import check_column_names, check_floats, check_label_order


@dataclass(frozen=True)
class InitialParameters:
    """Initial parameters that the user passed; the method of initialisation computes the parameters that are None."""

    weights: Array | None = None
    means: Array | None = None
    covariances: Covariances | None = None


def check_init_parameters(estimator: Any, family: Family, n_components: int, source: Source) -> InitialParameters:
    """Check and return an estimator's initial parameters, such as `means_init`; may raise ValueError or TypeError."""
    shape, covariances = (n_components, source.n_features), None
    arrays = {what: getattr(estimator, f"{what}s_init") for what in ("covariance", "precision")}
    for what, values in arrays.items():
        if values is None:
            continue
        if family.kind is LowRank:
            raise ValueError(
                f"covariance_type={family.name!r} does not support {what}s_init. Pass means_init, or pass labels "
                "or responsibilities as init_params."
            )
        if family.kind.second is not Second.TRACE:  # otherwise, each value belongs to a component
            check_column_names(f"{what}s_init", values, estimator._names)
        covariances = check_covariances(values, family, *shape, what)
        if what == "precision":
            covariances = covariances.inverse()
    check_column_names("means_init", estimator.means_init, estimator._names)
    return InitialParameters(
        None if estimator.weights_init is None else check_weights(estimator.weights_init, n_components),
        None if estimator.means_init is None else check_means(estimator.means_init, *shape, largest_of(source.n_rows)),
        covariances,
    )


def check_weights(weights_init: ArrayLike, n_components: int) -> Array:
    """Check and return weights (n_components,), with error messages that begin as in scikit-learn."""
    check_label_order("weights_init", weights_init, [*range(n_components)], "components are in the order")
    weights = _finite_array("weights", "weights_init", weights_init, (n_components,))
    outside = (weights < 0) | (weights > 1)
    if outside.any():
        # The minimum and maximum are swapped as in scikit-learn, because its tests compare the text before the colon.
        k = int(outside.argmax())
        raise ValueError(
            f"The parameter 'weights' should be in the range [0, 1], but got max value {weights.min():.5f}, "
            f"min value {weights.max():.5f}: weights_init[{k}] is {weights[k]:.5g}."
        )
    if abs(1.0 - weights.sum()) > 1e-6:
        raise ValueError(
            f"The parameter 'weights' should be normalized, but got sum(weights) = {weights.sum():.5f}: "
            "divide weights_init by its sum."
        )
    return weights / weights.sum()


def check_means(means_init: ArrayLike, n_components: int, n_features: int, largest: float) -> Array:
    """Check and return means (n_components, n_features); raise ValueError if an absolute value exceeds `largest`."""
    means = _finite_array("means", "means_init", means_init, (n_components, n_features))
    distant = np.argwhere(np.abs(means) > largest)
    if len(distant):
        k, column = distant[0].tolist()
        raise ValueError(
            f"means_init[{k}, {column}] is {means[k, column]:.3g}, so squared distances of rows from this mean "
            "overflow. Pass a mean near the rows."
        )
    return means


def check_covariances(values: ArrayLike, family: Family, n_components: int, n_features: int, what: str) -> Covariances:
    """Return checked, exactly symmetric initial covariances or precisions (`what` is "covariance" or "precision")."""
    name, parameter = f"{family.name} {what}", f"{what}s_init"
    matrices = _finite_array(name, parameter, values, family.shape(n_components, n_features))
    required = "symmetric, positive-definite" if family.kind.is_matrix else "positive"
    message = f"'{name}' should be {required}"
    if family.kind.is_matrix:
        roots = np.sqrt(np.abs(np.diagonal(matrices, axis1=-2, axis2=-1)))
        scale = roots[..., :, None] * roots[..., None, :]  # makes the tolerance independent of the data's units
        asymmetric = np.abs(matrices - matrices.swapaxes(-1, -2)) > 1e-5 * np.abs(matrices) + 1e-8 * scale
        if asymmetric.any():
            index = [int(i) for i in np.argwhere(asymmetric)[0]]
            raise ValueError(f"{message}, but {parameter} is not symmetric at {index}.")
        matrices = 0.5 * matrices + 0.5 * matrices.swapaxes(-1, -2)
    result = family.covariances(matrices, n_components, n_features)
    try:
        _ = result.whitening
    except SingularCovarianceError as error:
        which = "" if family.is_shared else f" of {name_components(error.components)}"
        raise ValueError(f"{message}, but {parameter}{which} is not.") from None
    warn(_structure_sentence(result, family, parameter))
    return result


def _structure_sentence(result: Covariances, family: Family, parameter: str) -> str | None:
    """Return the text of a warning if covariances do not have the covariance structure `family`, otherwise None.

    Precision matrices are checked in the same way as covariances. Deviations are not an error, because they may come
    from a fit with frozen components: the covariances of frozen components did not change in that fit, while the
    covariances of the other components changed together.
    """
    deviation = describe_deviation(family, result, parameter)
    return deviation and (
        f"{deviation} EM starts from {parameter} anyway, and the first step may lower the likelihood. Check "
        "covariance_type, unless components of that fit were frozen."
    )


def check_assignment(
    assignment: Any, row_weight: Array | None, shape: tuple[int, int], *, returned: bool, has_noise: bool
) -> Array | NDArray[np.int32]:
    """Check and return labels (n_rows,), or responsibilities of shape `shape`, which is (n_rows, n_components).

    `returned` states whether a callable returned the labels or responsibilities; otherwise the user passed them.
    If `has_noise`, labels may be −1, and responsibilities may have an additional column, which is removed.

    Raises ValueError for wrong shapes, masked values, labels outside 0 … n_components − 1, and responsibilities that do
    not sum to 1. A component without rows is an error, because two such components would always remain equal.
    """
    origin = "the result of the callable init_params" if returned else "init_params"
    n_rows, n_components = shape
    try:
        array = np.asarray(plain_array(assignment))
    except ValueError as error:
        raise ValueError(f"{origin} is not an array: {error}") from None
    if np.ma.is_masked(assignment):
        row = np.argwhere(np.ma.getmaskarray(assignment))[0, 0]
        raise ValueError(f"{origin} is masked in row {row}. Give every row a component, or pass labels=….")
    if array.shape == (n_rows,) and array.dtype.kind in "iu":
        return _check_component_labels(origin, array, row_weight, n_components, has_noise)
    if array.shape == (n_rows,) and array.dtype.kind in "fb":
        raise ValueError(f"{origin} contains labels of type {array.dtype}. Convert them by .astype(int).")
    widths = (n_components, n_components + 1) if has_noise else (n_components,)
    if array.ndim != 2 or len(array) != n_rows or array.shape[1] not in widths or array.dtype.kind not in "fiub":
        has = f"has shape {array.shape} and type {array.dtype}" if array.ndim else f"is {shorten(assignment)}"
        names = "" if returned else f"one of {', '.join(map(repr, [AUTO, *STARTS]))}, "
        raise ValueError(
            f"{origin} {has}. Pass {names}integer labels of shape ({n_rows},) or responsibilities of shape "
            f"({n_rows}, {n_components})."
        )
    return _check_responsibilities(origin, copied(array), row_weight, n_components)


def _check_component_labels(
    origin: str, labels: NDArray[Any], row_weight: Array | None, n_components: int, has_noise: bool
) -> NDArray[np.int32]:
    """Check and return integer labels (n_rows,); `origin` names their origin in messages."""
    if labels.min() < -has_noise or labels.max() >= n_components:
        raise ValueError(
            f"{origin} contains the labels {labels.min()} … {labels.max()}; with n_components={n_components} they "
            f"must lie in 0 … {n_components - 1}. Count labels from 0."
        )
    _check_all_have_rows(origin, np.bincount(labels + 1, row_weight, n_components + 1)[1:].astype(np.float64))
    return labels.astype(np.int32)


def _check_responsibilities(origin: str, table: Array, row_weight: Array | None, n_components: int) -> Array:
    """Check responsibilities (n_rows, n_components), and return them without the column of the noise component."""
    wrong = ~(np.abs(table.sum(axis=1) - 1) <= 1e-6) | (table < 0).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{origin}: the responsibilities of row {row} must be ≥ 0 and sum to 1, not {table[row]}.")
    mass = (table if row_weight is None else row_weight[:, None] * table).sum(axis=0)
    _check_all_have_rows(origin, mass[:n_components])
    return np.ascontiguousarray(table[:, :n_components])


def _check_all_have_rows(origin: str, mass: Array) -> None:
    if not mass.all():
        missing = np.flatnonzero(mass == 0).tolist()
        raise ValueError(
            f"{origin} assigns no row of positive weight to {name_components(missing)} of 0 … {len(mass) - 1}. "
            "Number the labels without gaps, or lower n_components."
        )


def _finite_array(name: str, parameter: str, values: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return finite float64 numbers of the given shape; `name` is scikit-learn's name for `parameter`, for messages."""
    array = check_floats(parameter, values)
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape} in {parameter}."
        )
    if not np.isfinite(array).all():
        index = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
        raise ValueError(f"{parameter}{index} is {array[tuple(index)]}. All values must be finite.")
    return copied(array)  # copied, because fitted models make their arrays read-only
