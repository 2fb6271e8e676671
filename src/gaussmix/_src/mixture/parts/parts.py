"""The methods of `Mixture` whose answer is another mixture made of it, its moments, or the density's shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from numpy.typing import ArrayLike

from gaussmix._src import mixture
from gaussmix._src.mixture.base import MixtureBase, check_alone, common_names, of_components
from gaussmix._src.numerics.arrays import Array, frozen
from gaussmix._src.numerics.threads import cached_property

if TYPE_CHECKING:
    from gaussmix._src.mixture.parts.modality import Modes


class Parts(MixtureBase):
    """Combinations with other mixtures, moments, derivatives and modes."""

    @of_components
    def transform(self, A: ArrayLike, b: ArrayLike | None = None) -> Self:
        """Find the distribution of A x + b.

        Parameters
        ----------
        A : (n_new_features, n_features). Its rows are linearly independent, so there are at most n_features.
        b : (n_new_features,), data units; zeros by default.

        Returns
        -------
        transformed : components N(A μ_k + b, A Σ_k Aᵀ), without names. A shared covariance stays shared. A diagonal
            one stays diagonal where A only scales, drops and reorders features.

        Raises
        ------
        ValueError : A or b has another shape or is not finite, the rows of A are linearly dependent, so that A x + b
            has no density, or the result is beyond the range of float64.
        TypeError : A or b are not real numbers.
        SingularCovarianceError : a covariance is not positive definite.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"])
        >>> difference = m.transform([[-1.0, 1.0]])
        >>> difference.means, difference.covariances
        (array([[3.]]), array([[[9.]]]))
        """
        return self._from_model(mixture.combining.transform(self._model, A, b))

    @of_components
    def convolve(self, covariance: ArrayLike) -> Self:
        """Find the distribution of x + e with independent Gaussian noise e of mean 0: a blurred mixture.

        Parameters
        ----------
        covariance : the covariance of e, data units²: one variance for all features, (n_features,) variances, or a
            matrix (n_features, n_features). It is symmetric and positive semidefinite: a variance may be 0.

        Returns
        -------
        blurred : components with Σ_k + covariance, and the names of the features. Diagonal, spherical and shared
            covariances stay so where the sum is.

        Raises
        ------
        ValueError : covariance has another shape, is not finite, symmetric or positive semidefinite, or the sum is
            beyond the range of float64.
        TypeError : covariance is not real numbers.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.convolve(0.5).covariances
        array([1.5, 1.5])
        """
        return self._from_model(mixture.combining.convolve(self._model, covariance), self.feature_names)

    @of_components
    def product(self, other: Self) -> Self:
        """Multiply by another density: p(x) q(x) / ∫ p q, which combines two independent sources about x.

        Parameters
        ----------
        other : q, a mixture of the same features.

        Returns
        -------
        product : a component for each pair: the first component with each of `other`, then the second, and so on.
            Covariances stay diagonal or spherical where both are, and shared where both are.

        Raises
        ------
        ValueError : the features are not the same, or the mixtures are more than 1e4 standard deviations apart, where
            the weights of pairs would have no digits.
        TypeError : other is not a mixture.
        SingularCovarianceError : a covariance is not positive definite.

        Notes
        -----
        Bishop (2006) eq. 2.113–2.117 for each pair; the weights are π_i ρ_j N(μ_i | ν_j, Σ_i + T_j), normalised.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> sharper = m.product(Mixture([1.0], [[1.0]], [1.0], FAMILIES["spherical"]))
        >>> sharper.means.ravel(), sharper.weights.round(3)
        (array([0.5, 2.5]), array([0.881, 0.119]))
        """
        names = common_names([self, other])
        return self._from_model(mixture.combining.product(self._model, other._model), names)

    @classmethod
    def concatenate(cls, mixtures: Iterable[Self], weights: ArrayLike) -> Self:
        """Mix mixtures: Σ_i w_i p_i(x), with the components of all, in their order.

        Parameters
        ----------
        mixtures : one or more, of the same features.
        weights : w, one for each; sum to 1.

        Returns
        -------
        mixture : covariances stay diagonal or spherical where all are; shared where all share the same.

        Raises
        ------
        ValueError : there is no mixture, their features differ, or weights have another number or another sum.
        TypeError : something is not a mixture, or weights are not real numbers.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> Mixture.concatenate([m, m.convolve(2.0)], [0.75, 0.25]).weights
        array([0.375, 0.375, 0.125, 0.125])
        """
        several = list(mixtures)
        check_alone("concatenate", several)
        names = common_names(several)
        return cls._from_model(mixture.combining.concatenate([m._model for m in several], weights), names)

    @cached_property
    @of_components
    def mean(self) -> Array:
        """E[x] = Σ_k π_k μ_k, (n_features,), data units.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.75, 0.25], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.mean, m.covariance
        (array([1.]), array([[4.]]))
        """
        return frozen(self._mean_and_spread[0])

    @cached_property
    @of_components
    def covariance(self) -> Array:
        """Cov[x] = Σ_k π_k (Σ_k + (μ_k − E[x])(μ_k − E[x])ᵀ), (n_features, n_features), data units²."""
        return frozen(mixture.expectations.covariance(self._model, self._mean_and_spread[1]))

    @of_components
    def moments(self, order: int, center: ArrayLike | None = None) -> Array:
        """Joint moments E[Π_j (x_ij − a_ij)] of all features with each other, central ones by default.

        Parameters
        ----------
        order : 0 or more; 2 gives the covariance, 3 the skewness before standardisation.
        center : a, (n_features,), data units; the mean by default. Zeros give raw moments, which have fewer digits
            where the mean is many standard deviations from 0.

        Returns
        -------
        moments : `order` axes of n_features each, (n_features, …, n_features), symmetric in all; data units^order.

        Raises
        ------
        ValueError : order is negative, the array would have more than 2²⁷ numbers, a moment is beyond the range of
            float64, or `center` is not n_features finite numbers.
        TypeError : order is not an integer.

        Notes
        -----
        Isserlis (1918), Biometrika 12, in the recursion E[y_i Y] = δ_i E[Y] + Σ_j Σ_ij E[Y without y_j] of each
        component, with δ = μ_k − a; cf. Kan (2008), Journal of Multivariate Analysis 99, proposition 1.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.75, 0.25], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.moments(3)
        array([[[6.]]])
        >>> m.moments(1, center=[0.0])
        array([1.])
        """
        return mixture.expectations.moments(self._model, order, center, self.mean)

    @of_components
    def gradient(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """∇ log p(x) = Σ_k γ_k Σ_k⁻¹ (μ_k − x) of each row, with γ_k = p(k | x).

        Parameters and errors are those of `log_density`.

        Returns
        -------
        gradient : (n_rows, n_features), nats per data unit. Right however far away a row is.

        Notes
        -----
        Carreira-Perpiñán (2000), IEEE Transactions on Pattern Analysis and Machine Intelligence 22, section 3.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.gradient([[2.0], [1e6]])
        array([[      0.],
               [-999996.]])
        """
        return mixture.modality.gradient(self._model, self._block(rows), self._engine(n_jobs))

    @of_components
    def hessian(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """Second derivatives of log p(x), Σ_k γ_k (g_k − g)(g_k − g)ᵀ − Σ_k γ_k Σ_k⁻¹, of each row.

        With g_k = Σ_k⁻¹ (μ_k − x) and the gradient g. Parameters and errors are those of `log_density`.

        Returns
        -------
        hessian : (n_rows, n_features, n_features), nats per data unit², symmetric.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.hessian([[2.0], [1e6]])
        array([[[ 3.]],
        <BLANKLINE>
               [[-1.]]])
        """
        return mixture.modality.hessian(self._model, self._block(rows), self._engine(n_jobs))

    @of_components
    def modes(self) -> Modes:
        """Find the modes: the ends of climbs uphill from the means of the components.

        Returns
        -------
        modes : their places (n_modes, n_features), log densities and components.

        Notes
        -----
        Carreira-Perpiñán (2000), IEEE Transactions on Pattern Analysis and Machine Intelligence 22, section 4: the
        fixed point of the mean shift, finished by Newton's method. The Hessian has no positive eigenvalue there: a
        climb that ends on a saddle continues from a point next to it. With one feature all modes are found, at most one
        for each component. With several features there may be modes to which no component leads.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.2, 0.3], [[0.0], [1.0], [9.0]], [1.0, 1.0, 1.0], FAMILIES["spherical"])
        >>> modes = m.modes()
        >>> modes.locations.round(3), modes.component_index
        (array([[0.235],
               [9.   ]]), array([0, 0, 1]))
        """
        return mixture.modality.modes(self._model, self._line, self._engine())

    @of_components
    def decision_boundary(self) -> Array:
        """Where the most probable component of a mixture of one feature changes.

        Returns
        -------
        boundaries : (n_boundaries,), ascending, data units. Between two of them `predict` is constant. A component may
            have several intervals, as a wide one on both sides of a narrow one, or none.

        Raises
        ------
        ValueError : there are several features.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 4.0], FAMILIES["spherical"])
        >>> m.decision_boundary().round(4)
        array([-4.3266,  1.6599])
        """
        if self.n_features > 1:
            raise ValueError(
                f"decision_boundary needs one feature, and this mixture has {self.n_features}. Take a marginal first."
            )
        return mixture.modality.decision_boundary(self._model, self._engine())

    @cached_property
    def _mean_and_spread(self) -> tuple[Array, Array]:
        """The mean (n_features,) and the covariance of the means of the components."""
        return mixture.expectations.mean_and_spread_of_means(self._model)
