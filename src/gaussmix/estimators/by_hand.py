"""The parts of a mixture that a user sets one after the other: kept until they make a mixture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.covariances import Covariances, LowRank
from gaussmix.door.parameters import check_numbers
from gaussmix.errors import listed, name_components
from gaussmix.families.base import Family
from gaussmix.mixture.conversion import from_parameters
from gaussmix.mixture.mixture import Mixture
from gaussmix.model import SUM_TOLERANCE, Model
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.pieces import copied

Floats = NDArray[np.floating[Any]]

MATRICES = "covariances_", "precisions_cholesky_", "precisions_"  # of several that agree, the first is taken
APART = 0.01  # relative: covariances and precisions typed with three digits agree


@dataclass(frozen=True, eq=False)
class Parts:
    """What a user has set of a mixture.

    Parameters
    ----------
    base : the mixture whose other parts stay; None for an estimator without one.
    values : what was set, by the name of the attribute, in the type that it had.
    """

    base: Mixture | None
    values: Mapping[str, Floats] = field(default_factory=dict)

    def having(self, name: str, value: ArrayLike) -> Parts:
        """The same with one more part, or with another value for it; raises ValueError for what are no numbers."""
        if self.base is not None and self.base.family.kind is LowRank and name in MATRICES:
            raise AttributeError(_of_factors(name, self.base.family))
        numbers: Floats = copied(check_numbers(name, value))
        if getattr(value, "dtype", None) == np.float32:
            numbers = numbers.astype(np.float32)
        return replace(self, values={**self.values, name: numbers})

    @property
    def lacking(self) -> list[str]:
        """Names of the parts without which there is no mixture."""
        if self.base is not None:
            return []
        has_matrices = any(name in self.values for name in MATRICES)
        wanted = ["weights_", "means_", *([] if has_matrices else MATRICES[:1])]
        return [name for name in wanted if name not in self.values]

    @property
    def said(self) -> str:
        """Say what was set and what is lacking: a sentence."""
        return f"{listed(list(self.values))} set by hand; set {listed(self.lacking)} as well."

    def mixture(self, family: Family) -> Mixture:
        """The mixture that the parts make.

        Parameters
        ----------
        family : the structure of covariances that were set.

        Raises
        ------
        ValueError : a part does not fit the others, or the numbers make no mixture; the message says which.
        """
        base = self.base
        means = self._part("means_", None if base is None else base.means)
        if means.ndim != 2 or not means.size:
            raise ValueError(f"means_ was set to an array of shape {means.shape}: give (n_components, n_features).")
        weights = self._part("weights_", None if base is None else base.weights)
        noise = None if base is None else base.noise
        rest = 1.0 if noise is None else 1.0 - noise.weight
        given = [name for name in MATRICES if name in self.values]
        if base is not None and not given:
            family = base.family
        if given and family.kind is LowRank:
            raise ValueError(_of_factors(given[0], family))
        if noise is not None and abs(weights.sum() - rest) > SUM_TOLERANCE:
            raise ValueError(f"weights_ must sum to {rest:.7g}, 1 less noise_weight_, and not to {weights.sum():.7g}.")
        self._check_shapes(family, weights, means)
        covariances = base.covariances if base is not None and not given else self._covariances(given, family, means)
        try:
            model = from_parameters(weights / rest, means, covariances, None, family)
        except ValueError as error:
            raise ValueError(f"{listed(list(self.values))} set by hand: {error}") from None
        self._check_agreement(given, model)
        names = None if base is None or base.n_features != model.n_features else base.feature_names
        return Mixture.of(model.beside(noise), names)

    def _part(self, name: str, before: Array | None) -> Array:
        """A part as it was set, or as it was before."""
        if name in self.values:
            return self.values[name].astype(np.float64)
        assert before is not None, "the parts were asked what they lack"
        return before

    def _check_shapes(self, family: Family, weights: Array, means: Array) -> None:
        """Raise ValueError for a part whose shape is not the one that goes with `means_`."""
        n_components, n_features = means.shape
        wanted = {"weights_": (n_components,)} | dict.fromkeys(MATRICES, family.shape(n_components, n_features))
        shapes = {name: value.shape for name, value in self.values.items() if name in wanted}
        if self.base is not None:
            shapes = {"weights_": weights.shape, **shapes}
            if not any(name in shapes for name in MATRICES):
                shapes["covariances_"] = self.base.covariances.shape
        for name, shape in shapes.items():
            if shape != wanted[name]:
                raise ValueError(
                    f"{name} has shape {shape}, and means_ of shape {means.shape} with covariance_type={family.name!r} "
                    f"needs {wanted[name]}: set the one that is wrong."
                )

    def _covariances(self, given: list[str], family: Family, means: Array) -> Array:
        """The covariances that the first of the given matrices means."""
        name = given[0]
        is_matrix = family.kind.is_matrix
        matrices = self.values[name].astype(np.float64)
        if self.values[name].dtype == np.float32 and is_matrix and name != "precisions_cholesky_":
            matrices = 0.5 * (matrices + matrices.swapaxes(-1, -2))  # symmetric to seven digits only
        if name == "covariances_":
            return matrices
        try:
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                if name == "precisions_":
                    ones = np.full(len(means), 1 / len(means))
                    return from_parameters(ones, means, None, matrices, family).covariances.array
                if not is_matrix:
                    return matrices**-2.0
                inverse = np.linalg.inv(_upper(matrices))
                return np.asarray(inverse.swapaxes(-1, -2) @ inverse)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise ValueError(f"{name} set by hand: {error}") from None

    def _check_agreement(self, given: list[str], model: Model) -> None:
        """Raise ValueError where two of the given matrices are of different covariances."""
        if len(given) < 2:
            return
        allowed = APART + self._rounding(given, model.covariances)
        for name in given[1:]:
            roots = self._roots(name, model.family)
            if model.family.kind.is_matrix:
                apart = roots.swapaxes(-1, -2) @ model.covariances.array @ roots - np.eye(model.n_features)
            else:
                apart = model.covariances.array * roots**2 - 1
            wrong = ~(np.abs(apart).reshape(len(allowed), -1).max(axis=1) <= allowed)
            if wrong.any():
                where = "" if len(wrong) == 1 else f" of {name_components(np.flatnonzero(wrong).tolist())}"
                raise ValueError(
                    f"{given[0]} and {name} were both set, and they are not of the same covariance{where}: set the one "
                    "that is wrong, or only one of them."
                )

    def _rounding(self, given: list[str], covariances: Covariances) -> Array:
        """About how far rounding takes matrices apart, relative, (1,) or (n_components,)."""
        digits = max(float(np.finfo(self.values[name].dtype).eps) for name in given)
        found: Array = 10 * covariances.rounding * (digits / np.finfo(np.float64).eps)
        return found.max(keepdims=True) if covariances.is_shared else found

    def _roots(self, name: str, family: Family) -> Array:
        """Matrices C with C Cᵀ = Σ⁻¹, or numbers; raises ValueError where there are none."""
        values = self.values[name].astype(np.float64)
        try:
            if name == "precisions_":
                return np.asarray(np.linalg.cholesky(values) if family.kind.is_matrix else np.sqrt(values))
            return _upper(values) if family.kind.is_matrix else values
        except (ValueError, np.linalg.LinAlgError) as error:
            raise ValueError(f"{name} set by hand: {error}") from None


def _of_factors(name: str, family: Family) -> str:
    """Say that matrices of a structure with factors can't be set."""
    return (
        f"{name} of {family.name!r} follows from loadings and noise variances, and can't be set: set mixture_, the "
        "whole distribution."
    )


def _upper(factors: Array) -> Array:
    """Factors C with C Cᵀ = Σ⁻¹, which must be upper triangular."""
    if np.tril(factors, -1).any():
        raise ValueError("give upper triangular matrices C with C Cᵀ = Σ⁻¹.")
    return factors
