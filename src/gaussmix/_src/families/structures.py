"""mclust's fourteen structures, by what components share of volume, shape and orientation.

Celeux & Govaert (1995) section 3; the core makes their covariances (cpp/families/update.cpp).
"""

from __future__ import annotations

from typing import ClassVar

from gaussmix._src.covariances import Covariances, Dense, Diagonal, Isotropic
from gaussmix._src.families.base import Equivariance, Family, register
from gaussmix._src.families.bounded import Boundable
from gaussmix._src.interfaces.algebra import Across, Algebra, OtherAxes
from gaussmix._src.interfaces.moments import Scatter
from gaussmix._src.numerics.core import native_target

EQUAL, OWN = Across.EQUAL, Across.OWN


@register("full", "VVV", in_all=True)
class Full(Boundable):
    """Σ_k unrestricted (mclust's VVV): Σ_k = S_k / N_k, Bishop (2006) eq. 9.19.

    Parameters
    ----------
    max_condition : float, default None
        Bound c ≥ 1 on the ratio of the largest to the smallest eigenvalue of all covariances together, an alternative
        to `reg_covar` that keeps components from collapsing; 1 makes all of them one sphere. Unlike a ridge it depends
        on the units of the features: scale them first. Each step is exact (Fritz, García-Escudero & Mayo-Iscar 2013).
        None for no bound.

    Raises
    ------
    ValueError : the bound is below 1 or not finite.
    TypeError : the bound is not a number.

    Examples
    --------
    >>> from gaussmix import Full, GaussianMixture
    >>> GaussianMixture(2, covariance_type=Full(max_condition=100)).covariance_type
    Full(max_condition=100)
    """

    kind: ClassVar[type[Covariances]] = Dense


@register("tied", "EEE", in_all=True)
class Tied(Boundable):
    """Σ_k = Σ (mclust's EEE): Σ = Σ_k S_k / Σ_k N_k, Celeux & Govaert (1995) section 3.1.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, as for `Full`.
    """

    kind: ClassVar[type[Covariances]] = Dense
    is_shared = True


@register("diag", "VVI", in_all=True)
class Diag(Boundable):
    """Σ_k = diag(v_k) (mclust's VVI): v_k = diag(S_k) / N_k, Celeux & Govaert (1995) section 3.2.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, as for `Full`.
    """

    kind: ClassVar[type[Covariances]] = Diagonal


@register("spherical", "VII", "V", in_all=True)
class Spherical(Boundable):
    """Σ_k = v_k I (mclust's VII): v_k = tr(S_k) / (d N_k), Celeux & Govaert (1995) section 3.3.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, as for `Full`.
    """

    kind: ClassVar[type[Covariances]] = Isotropic


@register("EEI", in_all=True)
class EEI(Boundable):
    """Σ_k = diag(v): v = Σ_k diag(S_k) / Σ_k N_k, Celeux & Govaert (1995) section 3.2.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, as for `Full`.
    """

    kind: ClassVar[type[Covariances]] = Diagonal
    is_shared = True


@register("EII", "E", in_all=True)
class EII(Boundable):
    """Σ_k = v I: v = Σ_k tr(S_k) / (d Σ_k N_k), Celeux & Govaert (1995) section 3.3.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, as for `Full`.
    """

    kind: ClassVar[type[Covariances]] = Isotropic
    is_shared = True


class CommonAxes(Family):
    """Σ_k = D diag(v_k) Dᵀ; Browne & McNicholas (2014), Advances in Data Analysis and Classification 8."""

    kind = Dense
    equivariance = Equivariance.SIMILARITY
    accuracy = 1e-6  # the likelihood is flat there and loses at most 1e-12 of itself
    other_axes = OtherAxes(max_components=8, sharp=0.5, soft=4.0)

    def other_initial_covariances(self, scatter: Scatter) -> list[Covariances]:
        """Covariances with the axes of the pooled scatter, and with those of each of the largest components.

        From the axes that suit a partition best, or from responsibilities near it, EM may never reach those that suit
        the rows best. So the first covariances are smaller than the scatter asks for, and the others larger.
        """
        assert self.algebra is not None, "each structure below has one"
        of_scatter = scatter.degrees, scatter.second.reshape(-1), scatter.n_features
        result = native_target().other_covariances(self.algebra, *of_scatter, self.other_axes)
        return [self.covariances(each.reshape(scatter.second.shape), *scatter.shape) for each in result]


@register("EEV", in_all=True)
class EEV(Family):
    """Σ_k = D_k diag(a) D_kᵀ: S_k = D_k diag(ω_k) D_kᵀ in order, a = Σ_k ω_k / Σ_k N_k."""

    kind, equivariance, algebra = Dense, Equivariance.SIMILARITY, Algebra(EQUAL, EQUAL, OWN)

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """As in mclust, for the shared proportions alone; Fraley & Raftery (2007) give none for this structure."""
        return 0.0, dof + n_features + 1.0 + of_mean


@register("EVE", in_all=True)
class EVE(CommonAxes):
    """Σ_k = λ D diag(a_k) Dᵀ, Π_j a_kj = 1: a_k ∝ diag(DᵀS_kD), and D makes Σ_k (det diag(DᵀS_kD))^(1/d) smallest."""

    algebra = Algebra(EQUAL, OWN, EQUAL)


@register("EVI", in_all=True)
class EVI(Family):
    """Σ_k = λ diag(a_k), Π_j a_kj = 1: a_k ∝ diag(S_k)."""

    kind, equivariance, algebra = Diagonal, Equivariance.SCALING, Algebra(EQUAL, OWN)

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """As in mclust, for the volume, without those of the means; Fraley & Raftery (2007) have no prior for EVI."""
        return 0.0, dof + 2.0


@register("EVV", in_all=True)
class EVV(Family):
    """Σ_k = λ C_k, det C_k = 1: C_k ∝ S_k."""

    kind, equivariance, algebra = Dense, Equivariance.AFFINE, Algebra(EQUAL, OWN, OWN)


@register("VEE", in_all=True)
class VEE(Family):
    """Σ_k = λ_k C: C and λ_k in turn."""

    kind, equivariance, algebra = Dense, Equivariance.AFFINE, Algebra(OWN, EQUAL, EQUAL)


@register("VEI", in_all=True)
class VEI(Family):
    """Σ_k = λ_k diag(b): b and λ_k in turn."""

    kind, equivariance, algebra = Diagonal, Equivariance.SCALING, Algebra(OWN, EQUAL)

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """As in mclust, for the volume, as one variance of d; Fraley & Raftery (2007) have no prior for VEI."""
        return (dof + 2.0 + of_mean) / n_features, 0.0


@register("VEV", in_all=True)
class VEV(Family):
    """Σ_k = λ_k D_k diag(b) D_kᵀ: S_k = D_k diag(ω_k) D_kᵀ in order, b and λ_k in turn."""

    kind, equivariance, algebra = Dense, Equivariance.SIMILARITY, Algebra(OWN, EQUAL, OWN)

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """None, as in mclust: the scale alone keeps covariances regular; Fraley & Raftery (2007) do not treat VEV."""
        return 0.0, 0.0


@register("VVE", in_all=True)
class VVE(CommonAxes):
    """Σ_k = D diag(v_k) Dᵀ: v_k = diag(DᵀS_kD) / N_k, which makes D Flury's (1984) common principal components."""

    algebra = Algebra(OWN, OWN, EQUAL)


Full.__module__ = Tied.__module__ = Diag.__module__ = Spherical.__module__ = EEI.__module__ = EII.__module__ = (
    "gaussmix"  # where users import them from
)
