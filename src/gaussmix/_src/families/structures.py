"""mclust's fourteen covariance structures, which differ in what components share: volume, shape, orientation.

The structures are defined in Celeux & Govaert (1995), section 3, and their M-steps are in cpp/families/update.cpp.
"""

from __future__ import annotations

from typing import ClassVar

from gaussmix._src.covariances import Covariances, Dense, Diagonal, Isotropic
from gaussmix._src.families.base import Equivariance, Family, register
from gaussmix._src.families.bounded import Boundable
from gaussmix._src.interfaces.algebra import Across, Algebra
from gaussmix._src.interfaces.moments import Scatter
from gaussmix._src.numerics.core import native_target

EQUAL, OWN = Across.EQUAL, Across.OWN


@register("full", "VVV", in_all=True)
class Full(Boundable):
    """Unrestricted covariances (mclust's VVV), Σ_k = S_k / N_k with the scatter S_k; Bishop (2006), eq. 9.19.

    Parameters
    ----------
    max_condition : float, default None
        Bound c ≥ 1 on the ratio of the largest to the smallest eigenvalue of all covariances together; None for no
        bound. Like `reg_covar`, a bound keeps components from collapsing. With a bound of 1, all covariances are the
        same multiple of the identity matrix. Unlike `reg_covar`, a bound depends on the units of the features, so scale
        the features first. Each M-step is exact (Fritz, García-Escudero & Mayo-Iscar 2013).

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
    """One covariance for all components (mclust's EEE), Σ_k S_k / Σ_k N_k; Celeux & Govaert (1995), section 3.1.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, same as in `Full`.
    """

    kind: ClassVar[type[Covariances]] = Dense
    is_shared = True


@register("diag", "VVI", in_all=True)
class Diag(Boundable):
    """Diagonal covariances (mclust's VVI), diag(v_k) with v_k = diag(S_k) / N_k; Celeux & Govaert (1995), section 3.2.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, same as in `Full`.
    """

    kind: ClassVar[type[Covariances]] = Diagonal


@register("spherical", "VII", "V", in_all=True)
class Spherical(Boundable):
    """Spherical covariances (mclust's VII), Σ_k = tr(S_k) / (d N_k) I; Celeux & Govaert (1995), section 3.3.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, same as in `Full`.
    """

    kind: ClassVar[type[Covariances]] = Isotropic


@register("EEI", in_all=True)
class EEI(Boundable):
    """One diagonal covariance for all components, Σ_k diag(S_k) / Σ_k N_k; Celeux & Govaert (1995), section 3.2.

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, same as in `Full`.
    """

    kind: ClassVar[type[Covariances]] = Diagonal
    is_shared = True


@register("EII", "E", in_all=True)
class EII(Boundable):
    """One spherical covariance v I for all components, v = Σ_k tr(S_k) / (d Σ_k N_k); Celeux & Govaert (1995).

    Parameters
    ----------
    max_condition : float, default None
        Bound on the ratio of eigenvalues, same as in `Full`.
    """

    kind: ClassVar[type[Covariances]] = Isotropic
    is_shared = True


class CommonAxes(Family):
    """Covariances with the same axes; Browne & McNicholas (2014), Advances in Data Analysis and Classification 8.

    The first M-step rotates the axes until no rotation raises the expected log-likelihood, in at most 1,000 sweeps over
    all pairs of axes. With more than 6 features, later M-steps end earlier, because the next M-step continues the
    rotations. This generalised EM algorithm (Dempster, Laird & Rubin 1977) never lowers the likelihood, but it may
    reach a different maximum.
    """

    kind = Dense
    equivariance = Equivariance.SIMILARITY
    accuracy = 1e-6  # near the maximum, an error e of the axes lowers the likelihood only by about e²

    def other_initial_covariances(self, scatter: Scatter) -> list[Covariances]:
        """Return covariances with the axes of the pooled scatter, and with the axes of each of the largest components.

        If EM begins with the axes that fit the initial partition best, EM may never find better axes for the rows.
        Other variances weaken the fit to the partition: variances along pooled axes are halved, and variances along a
        component's axes are quadrupled.
        """
        assert self.algebra is not None, "the structures in this file have an algebra"
        scatter_arguments = scatter.degrees, scatter.second.reshape(-1), scatter.n_features
        result = native_target().other_covariances(self.algebra, *scatter_arguments)
        return [self.covariances(each.reshape(scatter.second.shape), *scatter.shape) for each in result]


@register("EEV", in_all=True)
class EEV(Family):
    """Covariances of equal volume and shape, Σ_k = D_k diag(a) D_kᵀ with S_k = D_k diag(ω_k) D_kᵀ, a ∝ Σ_k ω_k."""

    kind, equivariance, algebra = Dense, Equivariance.SIMILARITY, Algebra(EQUAL, EQUAL, OWN)

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """Return the increase that mclust uses, for the shared shape only; Fraley & Raftery (2007) do not treat EEV."""
        return 0.0, dof + n_features + 1.0 + of_mean


@register("EVE", in_all=True)
class EVE(CommonAxes):
    """Covariances λ D diag(a_k) Dᵀ with Π_j a_kj = 1, a_k ∝ diag(DᵀS_kD); D minimises Σ_k (det diag(DᵀS_kD))^(1/d)."""

    algebra = Algebra(EQUAL, OWN, EQUAL)


@register("EVI", in_all=True)
class EVI(Family):
    """Diagonal covariances of equal volume, Σ_k = λ diag(a_k) with Π_j a_kj = 1 and a_k ∝ diag(S_k)."""

    kind, equivariance, algebra = Diagonal, Equivariance.SCALING, Algebra(EQUAL, OWN)

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """Return the increase that mclust uses, for the volume only; Fraley & Raftery (2007) do not treat EVI."""
        return 0.0, dof + 2.0


@register("EVV", in_all=True)
class EVV(Family):
    """Covariances of equal volume, Σ_k = λ C_k with det C_k = 1 and C_k ∝ S_k."""

    kind, equivariance, algebra = Dense, Equivariance.AFFINE, Algebra(EQUAL, OWN, OWN)


@register("VEE", in_all=True)
class VEE(Family):
    """Covariances of equal shape and axes, Σ_k = λ_k C. The M-step updates C and λ_k in turn."""

    kind, equivariance, algebra = Dense, Equivariance.AFFINE, Algebra(OWN, EQUAL, EQUAL)


@register("VEI", in_all=True)
class VEI(Family):
    """Diagonal covariances of equal shape, Σ_k = λ_k diag(b). The M-step updates b and λ_k in turn."""

    kind, equivariance, algebra = Diagonal, Equivariance.SCALING, Algebra(OWN, EQUAL)

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """Return the increase that mclust uses, divided by n_features; Fraley & Raftery (2007) do not treat VEI."""
        return (dof + 2.0 + of_mean) / n_features, 0.0


@register("VEV", in_all=True)
class VEV(Family):
    """Covariances λ_k D_k diag(b) D_kᵀ with S_k = D_k diag(ω_k) D_kᵀ, ω_k sorted; b and λ_k are updated in turn."""

    kind, equivariance, algebra = Dense, Equivariance.SIMILARITY, Algebra(OWN, EQUAL, OWN)

    def prior_degrees(self, dof: float, n_features: int, of_mean: float) -> tuple[float, float]:
        """Return 0 as in mclust, so that only the prior's scale matters; Fraley & Raftery (2007) do not treat VEV."""
        return 0.0, 0.0


@register("VVE", in_all=True)
class VVE(CommonAxes):
    """Covariances D diag(v_k) Dᵀ with v_k = diag(DᵀS_kD) / N_k; D are Flury's (1984) common principal components."""

    algebra = Algebra(OWN, OWN, EQUAL)


Full.__module__ = Tied.__module__ = Diag.__module__ = Spherical.__module__ = EEI.__module__ = EII.__module__ = (
    "gaussmix"  # the public module that exports these classes
)
