"""Base class of covariances: one Σ_k per component, or one Σ for all. Subclasses implement the abstract methods."""

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
    each : covariances, in data units². The first axis has length 1 if all components share one covariance, otherwise
        n_components; the subclass defines the other axes. The array `each` is made read-only.
    n_components, n_features : number K of components, and number d of features.
    is_shared : whether all components share one covariance.
    """

    each: Array
    n_components: int
    n_features: int
    is_shared: bool = False

    second: ClassVar[Second]  # second moments from which covariances of this class are computed
    is_matrix: ClassVar[bool] = False  # whether `each` stores symmetric matrices instead of variances

    def __post_init__(self) -> None:
        frozen(self.each)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (np.array(self.each), self.n_components, self.n_features, self.is_shared)

    @classmethod
    def shape(cls, n_components: int, n_features: int, is_shared: bool) -> tuple[int, ...]:
        """Return the shape of `array`; a component's covariance and its second moments have the same number of axes."""
        one = (n_features,) * cls.second.n_axes
        return one if is_shared else (n_components, *one)

    @classmethod
    def from_array(
        cls, array: Array, n_components: int, n_features: int, is_shared: bool, whitening: Whitening | None = None
    ) -> Self:
        """Make covariances from values with the shape of the attribute `array`, and from their factors, if known."""
        result = cls(array[None] if is_shared else array, n_components, n_features, is_shared)
        if whitening is not None:
            vars(result)["whitening"] = whitening  # fills the cached property, so that nothing is factorised
        return result

    @cached_property
    def array(self) -> Array:
        """Return `each` in the form of `covariances_` and model files, where a shared covariance has no first axis."""
        return self.each[0, ...] if self.is_shared else self.each

    @abstractmethod
    def coordinates(self) -> Array:
        """Return unconstrained coordinates (n, n_coordinates): log variances, and entries of matrix factors."""

    @abstractmethod
    def from_coordinates(self, coordinates: Array) -> Self:
        """Return covariances of the same class that have the given coordinates."""

    @abstractmethod
    def scale_by_information(self, changes: Array) -> Array:
        """Scale small changes of coordinates, (m, n, n_coordinates), by the root of the Fisher information of one row.

        After scaling, the squared length of a change is twice the Kullback–Leibler divergence that the change causes.
        """

    def ridge_precisions(self) -> Array:
        """Return the diagonals of Σ_k⁻¹, (n_components, n_features), which measure the effect of adding `reg_covar`."""
        return np.broadcast_to(self.whitening.precision_diagonals(), (self.n_components, self.n_features))

    def ridge_fractions(self, ridge: Array) -> Array:
        """Return the ridge's fraction of each feature's conditional variance, (n_components, n_features)."""
        if not ridge.any():  # precisions of singular covariances would raise an error
            return np.zeros((self.n_components, self.n_features))
        return self.ridge_precisions() * ridge

    @abstractmethod
    def variances(self) -> Array:
        """Return the diagonals of the covariances, (n_components, n_features), in data units²."""

    @abstractmethod
    def dense(self) -> Array:
        """Return the covariance matrices, (n_components, n_features, n_features), in data units²."""

    def for_all(self, each: Array) -> Array:
        """Repeat values (n, …) for every component if all components share one covariance."""
        if not self.is_shared:
            return each
        return np.broadcast_to(each, (self.n_components, *each.shape[1:]))

    @cached_property
    def whitening(self) -> Whitening:
        """Return W_k with Σ_k⁻¹ = W_kᵀ W_k; raises `SingularCovarianceError` with the indices of singular Σ_k."""
        return self._whitening()

    @abstractmethod
    def _whitening(self) -> Whitening: ...

    @cached_property
    def rounding_error(self) -> Array:
        """Estimate the rounding errors of the log densities of each component, (n_components,), in nats.

        The rounding error of Σ is multiplied by Σ_jj (Σ⁻¹)_jj, which is the ratio of the variance of feature j to the
        conditional variance of feature j given all other features.
        """
        inflation = (self.variances() * self.whitening.precision_diagonals()).max(axis=1)
        return self.n_features * float(np.finfo(np.float64).eps) * inflation

    def to_simple_form(self) -> Covariances:
        """Convert to `Isotropic`, `Diagonal` or `Dense`, the classes that have the shapes of `covariances_`."""
        return self

    def to_form(self, kind: type[Covariances]) -> Covariances:
        """Convert the covariances to the class `kind`, or return `self` if its class is more general than `kind`.

        From the least to the most general, the only allowed classes are `Isotropic`, `Diagonal` and `Dense`.
        """
        return self

    def inverse(self) -> Covariances:
        """Return the precisions Σ_k⁻¹ in the class of `to_simple_form()`; raises `SingularCovarianceError`."""
        return replace(self.to_simple_form(), each=self.whitening.precisions())

    def take(self, components: Sequence[int] | Indices) -> Self:
        """Return the covariances of the components with the indices `components`, in the order of these indices."""
        indices = np.asarray(components, dtype=np.intp)
        return replace(self, each=self.each if self.is_shared else self.each[indices], n_components=len(indices))

    def replace_components(self, components: Sequence[int] | Indices, others: Covariances) -> Self:
        """Replace the covariances of some components, or the shared covariance, by `others` of the same class."""
        each = others.each
        if not self.is_shared:
            each = np.array(self.each)
            each[np.asarray(components, dtype=np.intp)] = others.each
        return replace(self, each=each)

    @abstractmethod
    def marginal(self, indices: Indices) -> Covariances:
        """Return the covariances of the features at `indices`, in the order of `indices`."""

    @abstractmethod
    def conditional(self, known: Indices, unknown: Indices) -> tuple[Covariances, Array]:
        """Return covariances and regressions of unknown features given known features (Bishop 2006, eq. 2.81–2.82).

        Returns
        -------
        covariances : conditional covariances Σ_uu − Σ_uk Σ_kk⁻¹ Σ_ku in the order of `unknown`, exactly symmetric.
        regression : matrices B_k of the conditional means μ_u + B_k (x_k − μ_k), (n, n_unknown, n_known), with n = 1 if
            the covariance is shared.

        Raises
        ------
        SingularCovarianceError : a covariance has no Cholesky factor to working precision.
        """

    @abstractmethod
    def transform(self, A: Array) -> Covariances:
        """Return A Σ Aᵀ, exactly symmetric, for a linear map A (m, n_features); Σ must be positive definite."""
