"""The base class of covariances: one Σ_k per component, or one Σ for all. New forms implement the abstract methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.numerics.arrays import Array, Indices, frozen
from gaussmix._src.numerics.threads import cached_property


@dataclass(frozen=True, eq=False)
class Covariances(ABC):
    """Covariances of the components of a mixture.

    Parameters
    ----------
    each : covariances, data units². The first axis has length 1 if all components share one, otherwise n_components;
        the class defines the other axes. The array becomes read-only.
    n_components, n_features : K and d.
    is_shared : whether all components share one covariance.
    """

    each: Array
    n_components: int
    n_features: int
    is_shared: bool = False

    second: ClassVar[Second]  # second moments from which a structure computes this form
    is_matrix: ClassVar[bool] = False  # whether a covariance is a symmetric matrix instead of positive numbers

    def __post_init__(self) -> None:
        frozen(self.each)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (np.array(self.each), self.n_components, self.n_features, self.is_shared)

    @classmethod
    def shape(cls, n_components: int, n_features: int, is_shared: bool) -> tuple[int, ...]:
        """Return the shape of `array` if a covariance has the same form as its second moments."""
        one = (n_features,) * cls.second.n_axes
        return one if is_shared else (n_components, *one)

    @classmethod
    def from_array(cls, array: Array, n_components: int, n_features: int, is_shared: bool) -> Self:
        """Make covariances from an array that has the form of `array`."""
        return cls(array[None] if is_shared else array, n_components, n_features, is_shared)

    @cached_property
    def array(self) -> Array:
        """Return the form used by `covariances_` and model files: `each`, without its first axis if it is shared."""
        return self.each[0, ...] if self.is_shared else self.each

    @abstractmethod
    def coordinates(self) -> Array:
        """Return unconstrained coordinates (n, n_coordinates): logs of variances, and factors of their square roots."""

    @abstractmethod
    def from_coordinates(self, coordinates: Array) -> Self:
        """Return other covariances of this form, given their coordinates."""

    @abstractmethod
    def lengths(self, changes: Array) -> Array:
        """Return small changes of the coordinates, (m, n, n_coordinates), scaled by the information in one row.

        The squared length of the result is twice the Kullback–Leibler divergence that a change causes.
        """

    def ridge_precisions(self) -> Array:
        """Return 1 / the variance to which a step adds a ridge: diagonals of Σ_k⁻¹, (n_components, n_features)."""
        return np.broadcast_to(self.whitening.precision_diagonals(), (self.n_components, self.n_features))

    @abstractmethod
    def variances(self) -> Array:
        """Return the diagonals of the covariances, (n_components, n_features), data units²."""

    @abstractmethod
    def dense(self) -> Array:
        """Return the covariance matrices, (n_components, n_features, n_features), data units²."""

    def _for_all(self, each: Array) -> Array:
        """Repeat values (n, …) of shared covariances for every component."""
        if not self.is_shared:
            return each
        return np.broadcast_to(each, (self.n_components, *each.shape[1:]))

    @cached_property
    def whitening(self) -> Whitening:
        """Return factors W_k, Σ_k⁻¹ = W_kᵀ W_k; raises `SingularCovarianceError` that names components without one."""
        return self._whitening()

    @abstractmethod
    def _whitening(self) -> Whitening: ...

    @cached_property
    def rounding_error(self) -> Array:
        """Return roughly how much rounding changes log densities of each component, (n_components,), nats.

        The rounding of Σ is multiplied by Σ_jj (Σ⁻¹)_jj, the ratio of the variance of feature j to the variance that
        remains if the other features are known.
        """
        inflation = (self.variances() * self.whitening.precision_diagonals()).max(axis=1)
        return self.n_features * float(np.finfo(np.float64).eps) * inflation

    def to_simple_form(self) -> Covariances:
        """Return the same covariances as `Isotropic`, `Diagonal` or `Dense`, the form that estimators show."""
        return self

    def to_form(self, kind: type[Covariances]) -> Covariances:
        """Return the same covariances in the form `kind`, or unchanged if `kind` is less general.

        The order of generality is `Isotropic`, `Diagonal`, `Dense`; the covariances must have one of these forms.
        """
        return self

    def inverse(self) -> Covariances:
        """Return the precisions Σ_k⁻¹ in the form of `to_simple_form`; raises `SingularCovarianceError`."""
        return replace(self.to_simple_form(), each=self.whitening.precisions())

    def take(self, components: Sequence[int] | Indices) -> Self:
        """Return the covariances of some components, in this order."""
        indices = np.asarray(components, dtype=np.intp)
        return replace(self, each=self.each if self.is_shared else self.each[indices], n_components=len(indices))

    def replace_components(self, components: Sequence[int] | Indices, others: Covariances) -> Self:
        """Replace covariances of some components by `others` of this form; a shared covariance is replaced whole."""
        each = others.each
        if not self.is_shared:
            each = np.array(self.each)
            each[np.asarray(components, dtype=np.intp)] = others.each
        return replace(self, each=each)

    @abstractmethod
    def marginal(self, indices: Indices) -> Covariances:
        """Return the covariances of the features at `indices`, in this order."""

    @abstractmethod
    def conditional(self, known: Indices, unknown: Indices) -> tuple[Covariances, Array]:
        """Return the covariances of unknown features given known ones, and regressions; Bishop (2006) eq. 2.81–2.82.

        Returns
        -------
        covariances : Σ_uu − Σ_uk Σ_kk⁻¹ Σ_ku of the unknown features in their order, exactly symmetric.
        regression : B_k of the means μ_u + B_k (x_k − μ_k), (n, n_unknown, n_known); n = 1 if all are the same.

        Raises
        ------
        SingularCovarianceError : a covariance has no Cholesky factor to working precision.
        """

    @abstractmethod
    def transform(self, A: Array) -> Covariances:
        """Return A Σ Aᵀ for a linear map A (m, n_features), exactly symmetric; Σ must have Cholesky factors."""


Covariances.__module__ = "gaussmix.extend"  # where users import it from
