"""Mixtures of factor analysers for many features: each covariance is ΛΛᵀ (a few factors) plus noise variances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from gaussmix._src.checks import check_count
from gaussmix._src.covariances import Covariances, LowRank
from gaussmix._src.errors import Failure, FailureKind, ParameterTypeError, unknown_name
from gaussmix._src.families.base import Equivariance, Family, register
from gaussmix._src.interfaces.algebra import Across, FactorAlgebra
from gaussmix._src.interfaces.moment_spec import MomentSpec, Second
from gaussmix._src.interfaces.moments import Scatter
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.hashing import mix, uniform

NOISES = ("diagonal", "isotropic")


@register("factor_analyzer")
@dataclass(frozen=True, eq=False, repr=False)
class FactorAnalyzer(Family):
    """Covariances Σ_k = Λ_k Λ_kᵀ + Ψ_k of factor analysers; Λ_k is (n_features, n_factors), and Ψ_k is diagonal.

    Computations never form an n_features × n_features matrix. Mixtures of factor analysers are due to Ghahramani &
    Hinton (1996); see McLachlan & Peel (2000), chapter 8. With isotropic noise, the components are probabilistic
    principal component analysers (Tipping & Bishop 1999). With shared loadings or noise, the mixtures are the
    parsimonious mixtures of McNicholas & Murphy (2008).

    Parameters
    ----------
    n_factors : int, default 1
        Number q of factors of each component; q must be smaller than the number of features.
    noise : {"diagonal", "isotropic"}, default "diagonal"
        Form of Ψ_k: "diagonal" has one noise variance per feature, "isotropic" has one noise variance for all features.
    shared_loadings, shared_noise : bool, default False
        Whether all components have the same loadings Λ_k; whether all components have the same noise variances Ψ_k.

    Raises
    ------
    ValueError : `n_factors` is below 1, or `noise` is neither "diagonal" nor "isotropic".
    TypeError : the value of a parameter has the wrong type.

    Notes
    -----
    An M-step runs one EM step for loadings and noise, in which the factors are the missing data. The EM step is a
    cycle of the AECM algorithm (Meng & van Dyk 1997) with fixed responsibilities, so it never lowers the likelihood.
    Parameter expansion (Liu, Rubin & Wu 1998) accelerates the EM step: it lets the factors have any covariance R = L Lᵀ
    and then multiplies the loadings by L. If the noise is diagonal and nothing is shared, the diagonal of Σ_k equals
    the variances of component k's rows exactly.

    Examples
    --------
    >>> from gaussmix import FactorAnalyzer, GaussianMixture
    >>> GaussianMixture(2, covariance_type=FactorAnalyzer(3, noise="isotropic")).covariance_type
    FactorAnalyzer(n_factors=3, noise='isotropic')
    """

    n_factors: int = 1
    noise: str = "diagonal"
    shared_loadings: bool = False
    shared_noise: bool = False

    kind: ClassVar[type[Covariances]] = LowRank
    n_first_updates = 5
    is_step = True

    def __post_init__(self) -> None:
        check_count("n_factors", self.n_factors, 1)
        if self.noise not in NOISES:
            raise unknown_name("noise", self.noise, NOISES)
        for name in ("shared_loadings", "shared_noise"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise ParameterTypeError(f"{name} must be True or False, not {getattr(self, name)!r}.")

    @property
    def non_default_params(self) -> dict[str, Any]:
        """Return `n_factors`, and each other parameter whose value differs from its default."""
        return {"n_factors": int(self.n_factors), **super().non_default_params}

    def unsupported_reason(self, n_features: int) -> Failure | None:
        if self.n_factors < n_features:
            return None
        details = f"n_factors={self.n_factors} is not below n_features={n_features}"
        return Failure(FailureKind.EXCESS_FACTORS, details=details)

    @property
    def is_shared(self) -> bool:
        return self.shared_loadings and self.shared_noise

    @property
    def equivariance(self) -> Equivariance:
        return Equivariance.SIMILARITY if self.noise == NOISES[1] else Equivariance.SCALING

    @property
    def free_algebra(self) -> FactorAlgebra:
        loadings, noise = (Across.EQUAL if each else Across.OWN for each in (self.shared_loadings, self.shared_noise))
        return FactorAlgebra(loadings, noise, self.noise == NOISES[1])

    def moment_spec(self, current: Covariances | None) -> MomentSpec:
        """Request variances at the first step, and later also moments projected by β_k, for the expected factors."""
        if current is None:
            return MomentSpec(Second.DIAGONAL, is_pooled=self.is_shared)
        assert isinstance(current, LowRank), "factor analysers have low-rank covariances"
        return MomentSpec(Second.PROJECTED, is_pooled=self.is_shared, projection=current.posterior[0])

    def update(self, scatter: Scatter, current: Covariances | None) -> Covariances:
        degrees = scatter.degrees.sum(keepdims=True) if self.is_shared else scatter.degrees
        second = scatter.second[None] if self.is_shared else scatter.second
        if current is None:
            loadings, noise = self._initial_values(degrees, second / degrees[:, None])
            return LowRank.from_loadings(loadings, noise, scatter.n_components, self.is_shared)
        assert isinstance(current, LowRank), "factor analysers have low-rank covariances"
        has_shared_loadings = bool(self.shared_loadings) and not self.is_shared
        each = native_target().update_factors(has_shared_loadings, degrees, second, current.each, *current.posterior)
        each[..., -1] = self._average_noise(degrees, each[..., -1])
        return LowRank(each, scatter.n_components, scatter.n_features, self.is_shared)

    def _initial_values(self, degrees: Array, variances: Array) -> tuple[Array, Array]:
        """Return initial loadings and noise variances: half of each variance is noise.

        The other half of each variance belongs to factors in fixed pseudorandom directions, which EM then improves.
        """
        noise = self._average_noise(degrees, 0.5 * variances)
        _, n_features = variances.shape
        values = np.arange(n_features * self.n_factors, dtype=np.uint64).reshape(n_features, self.n_factors)
        directions = 2.0 * uniform(mix(values)) - 1.0
        directions /= np.sqrt((directions**2).sum(axis=1, keepdims=True))
        size = noise.min(axis=0) if self.shared_loadings else noise
        size = size.clip(min=0.0)  # rounding may make a constant feature's variance negative; `whitening` rejects it
        return np.broadcast_to(np.sqrt(size)[..., None] * directions, (*noise.shape, self.n_factors)), noise

    def _average_noise(self, degrees: Array, noise: Array) -> Array:
        """Average noise variances (n, n_features) over the features or components that share one noise variance."""
        if self.noise == NOISES[1]:
            noise = np.broadcast_to(noise.mean(axis=1, keepdims=True), noise.shape)
        if self.shared_noise:
            noise = np.broadcast_to((degrees[:, None] * noise).sum(axis=0) / degrees.sum(), noise.shape)
        return noise

    def prior_dof(self, n_features: int) -> float:
        """Return 3: an inverse Wishart prior with n_features + 2 degrees of freedom implies 3 for each variance."""
        return 3.0

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        one = n_features, self.n_factors + 1
        return one if self.is_shared else (n_components, *one)

    def relaxed(self, covariances: Covariances, *, is_conditional: bool = False) -> Family:
        """Return this structure; conditional covariances share loadings only if all components also share the noise."""
        if not isinstance(covariances, LowRank):
            return super().relaxed(covariances)
        return replace(self, shared_loadings=self.is_shared) if is_conditional else self

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Count free parameters, at most as many as unconstrained covariances have; McLachlan & Peel (2000), 8.2.

        The count is the number of loadings, minus the number of free rotation angles, plus the number of noise
        variances. Unconstrained covariances have fewer free entries than this count if (d − q)² < d + q.
        """
        n_factors = min(self.n_factors, n_features)  # a marginal mixture may have fewer features than factors
        loadings = n_features * n_factors - n_factors * (n_factors - 1) // 2
        noise = 1 if self.noise == NOISES[1] else n_features
        matrix = n_features * (n_features + 1) // 2
        if self.shared_loadings:
            others = 0 if self.shared_noise else n_components - 1
            return min(loadings + noise, matrix) + others * noise
        if self.shared_noise:
            return min(n_components * loadings + noise, n_components * matrix)
        return n_components * min(loadings + noise, matrix)


FactorAnalyzer.__module__ = "gaussmix"  # the public module that exports FactorAnalyzer
