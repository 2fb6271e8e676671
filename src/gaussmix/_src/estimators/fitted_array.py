"""Fitted arrays that the user may change; this module detects changes and builds a mixture from changed arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from gaussmix._src import mixture
from gaussmix._src.covariances import Covariances, LowRank
from gaussmix._src.errors import listed, name_components
from gaussmix._src.estimators.base import FittedAttribute
from gaussmix._src.families.base import Family
from gaussmix._src.fit.fitted import FitResult
from gaussmix._src.model import SUM_TOLERANCE, Model
from gaussmix._src.numerics.arrays import Array, copied
from gaussmix._src.validation.parameters import check_floats

Floats = NDArray[np.floating[Any]]

MATRICES = "covariances_", "precisions_cholesky_", "precisions_"  # in order of priority, if several of them are changed
MAX_DISAGREEMENT = 0.01  # largest relative difference of matrices that agree, such as matrices typed with 3 digits


def missing_arrays(changed: Mapping[str, Floats]) -> list[str]:
    """Return the names of the arrays that must also be set before a mixture can be built."""
    matrices = [] if changed.keys() & set(MATRICES) else [MATRICES[0]]
    return [name for name in ("weights_", "means_", *matrices) if name not in changed]


def build_model(changed: Mapping[str, Floats], base: Model | None, family: Family) -> Model:
    """Build a model from `changed`, a mapping from attribute names to new arrays; other arrays are taken from `base`.

    `base` is None if `changed` contains all arrays. Raises ValueError, which names the array, if its values are wrong.
    """
    matrices_set = [name for name in MATRICES if name in changed]
    if matrices_set and family.kind is LowRank:
        raise ValueError(not_settable_message(matrices_set[0], family))
    arrays = {} if base is None else {"weights_": base.weights, "means_": base.means}
    if base is not None and not matrices_set:
        arrays["covariances_"] = base.covariances.array
    arrays |= {name: values.astype(np.float64) for name, values in changed.items()}
    weights, means = arrays["weights_"], arrays["means_"]
    _check_shapes(arrays, family)
    noise = None if base is None else base.noise
    rest = 1.0 if noise is None else 1.0 - noise.weight
    if noise is not None and abs(weights.sum() - rest) > SUM_TOLERANCE:
        raise ValueError(f"weights_ must sum to 1 − noise_weight_ = {rest:.7g}, not to {weights.sum():.7g}.")
    digits = {name: float(np.finfo(changed[name].dtype).eps) for name in matrices_set}
    each = [_covariances_from(name, arrays[name], digits[name], family, means) for name in matrices_set]
    covariances = each[0].array if each else arrays["covariances_"]
    try:
        model = mixture.conversion.from_parameters(weights / rest, means, covariances, None, family)
    except ValueError as error:
        raise ValueError(f"{listed(list(changed))} set by hand: {error}") from None
    for name, other in zip(matrices_set[1:], each[1:], strict=True):
        _check_agreement(matrices_set[0], name, model.covariances, other, max(digits.values()))
    return model.with_noise(noise)


def not_settable_message(name: str, family: Family) -> str:
    """Return the error message for an array that can't be set if the mixture has this covariance structure."""
    why = f" of {family.name!r} follows from loadings and noise variances, so it" if name in MATRICES else ""
    return f"{name}{why} can't be set. Set mixture_ instead."


def _check_shapes(arrays: Mapping[str, Array], family: Family) -> None:
    """Raise ValueError for an array whose shape does not fit `means_`."""
    means = arrays["means_"]
    if means.ndim != 2 or not means.size:
        raise ValueError(f"means_ has shape {means.shape}, but must have shape (n_components, n_features).")
    wanted = {"weights_": means.shape[:1], "means_": means.shape} | dict.fromkeys(MATRICES, family.shape(*means.shape))
    for name, values in arrays.items():
        if values.shape != wanted[name]:
            raise ValueError(
                f"{name} has shape {values.shape}, but must have shape {wanted[name]}, because means_ has shape "
                f"{means.shape} and covariance_type is {family.name!r}. Correct {name} or means_."
            )


def _covariances_from(name: str, matrices: Array, digits: float, family: Family, means: Array) -> Covariances:
    """Convert covariances, precisions or factors to covariances; `digits` is the dtype's rounding error."""
    is_matrix = family.kind.is_matrix
    if digits > np.finfo(np.float64).eps and is_matrix and name != "precisions_cholesky_":
        matrices = 0.5 * (matrices + matrices.swapaxes(-1, -2))  # float32 values are symmetric only to seven digits.
    try:
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            if name == "precisions_":
                ones = np.full(len(means), 1 / len(means))
                return mixture.conversion.from_parameters(ones, means, None, matrices, family).covariances
            if name == "precisions_cholesky_":
                if is_matrix and np.tril(matrices, -1).any():
                    raise ValueError("matrices C must be upper triangular, with C Cᵀ = Σ⁻¹.")
                matrices = mixture.conversion.of_factors(matrices, family)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise ValueError(f"{name} set by hand: {error}") from None
    return family.covariances(matrices, *means.shape)


def _check_agreement(first: str, name: str, covariances: Covariances, other: Covariances, digits: float) -> None:
    """Raise ValueError if the two attributes `first` and `name` imply different covariances."""
    rounding = 10 * covariances.rounding_error * (digits / np.finfo(np.float64).eps)  # largest difference from rounding
    allowed = MAX_DISAGREEMENT + (rounding.max(keepdims=True) if covariances.is_shared else rounding)
    with np.errstate(all="ignore"):
        if covariances.is_matrix:
            factors = covariances.whitening.factors
            difference = factors @ other.array @ factors.swapaxes(-1, -2) - np.eye(covariances.n_features)
        else:
            difference = other.array / covariances.array - 1
    wrong = ~(np.abs(difference).reshape(len(allowed), -1).max(axis=1) <= allowed)
    if wrong.any():
        where = "" if len(wrong) == 1 else f" of {name_components(np.flatnonzero(wrong).tolist())}"
        raise ValueError(
            f"{first} and {name} were both changed, but imply different covariances{where}. Change only one of them."
        )


class ArraySnapshot:
    """An array that the user may change, together with a copy of its original bytes (None if there was no mixture).

    `is_changed` compares the bytes only if a caller may have had a reference to the array since the last comparison.
    """

    before: bytearray | None

    def __init__(self, values: Floats, before: bytearray | None) -> None:
        self._memory, self.before = values, before
        self._shown: ref[Floats] | None = None  # weak reference to the array that a caller may hold
        self._may_differ = True
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return ArraySnapshot, (self._memory, self.before)

    @property
    def values(self) -> Floats:
        """The array, which stays the same object as long as a reference to it or to a view of it exists."""
        with self._lock:
            shown = None if self._shown is None else self._shown()
            if shown is None:
                # A new array over the same memory, which exists only as long as a caller refers to it.
                shown = np.asarray(self._memory.data)
                self._shown = ref(shown)
            self._may_differ = True
            return shown

    @property
    def is_changed(self) -> bool:
        """Whether the array differs from its original bytes."""
        if not self._may_differ:  # No reference to the array has existed since the last comparison.
            return False
        with self._lock:
            is_alive = self._shown is not None and self._shown() is not None
            now: Any = self._memory.data
            is_changed = bool(self.before != now)  # compares bytes, so that NaN equals NaN
            self._may_differ = is_alive or is_changed
            return is_changed


class FittedArray(FittedAttribute[Floats]):
    """A fitted array in the dtype of the training data; it is computed from the mixture on first access, then stored.

    The user may write into the array or replace it; the estimator uses the new values in the next call. `read`
    computes the values from a model, in a given dtype if that dtype can represent the values. Arrays that are computed
    from loadings are read-only, cannot be set, and are computed again on each access.
    """

    def __init__(self, read: Callable[[Model, np.dtype[Any]], Floats], *, is_settable: bool = True) -> None:
        self._of_model, self._is_settable = read, is_settable

    def _read(self, estimator: Any) -> Floats:
        fitted = vars(estimator).get("_fitted")
        values = self._read_on_host(estimator)
        return values if fitted is None else fitted.in_library_of_rows(values)

    def _read_on_host(self, estimator: Any) -> Floats:
        array: ArraySnapshot | None = vars(estimator).get("_arrays", {}).get(self._name)
        if array is not None:
            return array.values
        fitted: FitResult = estimator._stored() or estimator._fitted
        if not self._is_fixed(fitted):
            return self._snapshot(estimator, fitted).values
        values = self.snapshot_of(fitted).values
        values.flags.writeable = False
        return values

    def __set__(self, estimator: Any, value: Any) -> None:
        fitted: FitResult | None = estimator._stored()
        if self._is_fixed(fitted):
            raise AttributeError(not_settable_message(self._name, (fitted or estimator._fitted).model.family))
        arrays = vars(estimator).setdefault("_arrays", {})
        if self._name not in arrays and fitted is not None:
            self._snapshot(estimator, fitted)
        array = arrays.get(self._name)
        if array is not None and value is array.values:
            return  # `estimator.means_ += 1` changes the array in place, then sets the same array.
        array_set: Floats = copied(check_floats(self._name, value))
        if str(getattr(value, "dtype", "")).endswith("float32"):
            array_set = array_set.astype(np.float32)
        is_alike = array is not None and array.values.shape == array_set.shape  # whether the bytes can be compared
        arrays[self._name] = ArraySnapshot(array_set, array.before if is_alike else None)

    def snapshot_of(self, fitted: FitResult) -> ArraySnapshot:
        """Compute the array from the result of a fit; return a snapshot with the array and a copy of its bytes."""
        values = np.array(self._of_model(fitted.model, fitted.dtype), order="C")
        return ArraySnapshot(values, bytearray(values.data))

    def _is_fixed(self, fitted: FitResult | None) -> bool:
        is_of_factors = fitted is not None and fitted.model.family.kind is LowRank and self._name in MATRICES
        return is_of_factors or not self._is_settable

    def _snapshot(self, estimator: Any, fitted: FitResult) -> ArraySnapshot:
        return vars(estimator).setdefault("_arrays", {}).setdefault(self._name, self.snapshot_of(fitted))
