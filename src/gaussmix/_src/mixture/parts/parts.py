"""Methods of `Mixture` that return combined or transformed mixtures, moments, derivatives or modes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import ArrayLike

from gaussmix._src import mixture
from gaussmix._src.mixture.base import MixtureBase, check_alone, common_names, of_components
from gaussmix._src.mixture.features import check_order
from gaussmix._src.numerics.arrays import Array, frozen
from gaussmix._src.numerics.threads import cached_property

if TYPE_CHECKING:
    from gaussmix._src.mixture.parts.modality import Modes


class Parts(MixtureBase):
    """A mixture with methods that combine mixtures, and methods for moments, derivatives and modes."""

    @of_components
    def transform(self, A: ArrayLike, b: ArrayLike | None = None) -> Self:
        """Return the distribution of A x + b if x has the distribution of this mixture.

        Parameters
        ----------
        A : matrix of the linear map, (n_new_features, n_features). The rows of A must be linearly independent, so A has
            at most `n_features` rows.
        b : offset, (n_new_features,), in data units; 0 by default.

        Returns
        -------
        transformed : mixture with the components N(A μ_k + b, A Σ_k Aᵀ), without feature names. A covariance that all
            components share remains shared. Diagonal covariances remain diagonal if A only scales, drops and reorders
            features.

        Raises
        ------
        ValueError : A or b has the wrong shape or is not finite, the result is beyond the range of float64, or the rows
            of A are linearly dependent, so that A x + b has no density.
        TypeError : A or b does not contain real numbers.
        SingularCovarianceError : a covariance is not positive definite.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"])
        >>> difference = m.transform([[-1.0, 1.0]])
        >>> difference.means, difference.covariances
        (array([[3.]]), array([[[9.]]]))
        """
        check_order(A, self.feature_names, "A")
        return self._from_model(mixture.combining.transform(self._model, A, b))

    @of_components
    def convolve(self, covariance: ArrayLike) -> Self:
        """Return the distribution of x + e, where e is independent Gaussian noise with the mean 0.

        Parameters
        ----------
        covariance : covariance of e, in data units²: one variance for all features, variances (n_features,), or a
            matrix (n_features, n_features). The matrix must be symmetric and positive semidefinite; variances may be 0.

        Returns
        -------
        blurred : mixture with the covariances Σ_k + covariance and the feature names of this mixture. If Σ_k and
            `covariance` are both diagonal, the sums are diagonal; if both are spherical, the sums are spherical. A
            shared covariance remains shared.

        Raises
        ------
        ValueError : `covariance` has the wrong shape, is not finite, not symmetric or not positive semidefinite, or the
            sum of covariances is beyond the range of float64.
        TypeError : `covariance` does not contain real numbers.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.convolve(0.5).covariances
        array([1.5, 1.5])
        """
        check_order(covariance, self.feature_names, "covariance")
        return self._from_model(mixture.combining.convolve(self._model, covariance), self.feature_names)

    @of_components
    def product(self, other: Self) -> Self:
        """Return the normalised product of two densities, p(x) q(x) / ∫ p q.

        If two independent sources of information about x have the densities p and q, the product combines the two
        sources.

        Parameters
        ----------
        other : the density q, a mixture with the same features as this mixture.

        Returns
        -------
        product : mixture with one component per pair of components. The pairs of the first component with all
            components of `other` come first. The covariances of the product are diagonal (or spherical, or shared) if
            the covariances of both mixtures are diagonal (or spherical, or shared).

        Raises
        ------
        ValueError : the mixtures have different features, or they are more than 1e4 standard deviations apart, so that
            rounding would destroy the weights of the pairs.
        TypeError : `other` is not a mixture.
        SingularCovarianceError : a covariance is not positive definite.

        Notes
        -----
        The means and covariances are computed as in Bishop (2006), eq. 2.113–2.117. The weights are proportional to π_i
        ρ_j N(μ_i | ν_j, Σ_i + T_j), where ρ, ν and T are the weights, means and covariances of `other`.

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
        """Return the weighted sum Σ_i w_i p_i(x) of mixtures, with all their components in the order of the mixtures.

        Parameters
        ----------
        mixtures : one or more mixtures with the same features.
        weights : weights w_i, one per mixture, which sum to 1.

        Returns
        -------
        mixture : weighted sum. The covariances are diagonal or spherical if the covariances of all mixtures are
            diagonal or spherical, and shared if all components of all mixtures share the same covariance.

        Raises
        ------
        ValueError : `mixtures` is empty, the features of the mixtures differ, or `weights` has the wrong length or sum.
        TypeError : an item is not a mixture, or weights are not real numbers.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> Mixture.concatenate([m, m.convolve(2.0)], [0.75, 0.25]).weights
        array([0.375, 0.375, 0.125, 0.125])
        """
        several: Any = [*mixtures] if hasattr(mixtures, "__iter__") else [mixtures]
        check_alone("concatenate", several)
        names = common_names(several)
        return cls._from_model(mixture.combining.concatenate([m._model for m in several], weights), names)

    @cached_property
    @of_components
    def mean(self) -> Array:
        """Return the mean E[x] = Σ_k π_k μ_k, (n_features,), in data units.

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
        """Return Cov[x] = Σ_k π_k (Σ_k + (μ_k − E[x])(μ_k − E[x])ᵀ), (n_features, n_features), in data units²."""
        return frozen(mixture.expectations.covariance(self._model, self._mean_and_spread[1]))

    @of_components
    def moments(self, order: int, center: ArrayLike | None = None) -> Array:
        """Return the joint moments E[(x_i − a_i) (x_j − a_j) …] of all features about a point a, by default the mean.

        Parameters
        ----------
        order : order of the moments, 0 or more. Order 2 gives the covariance, and order 3 the skewness before
            standardisation.
        center : the point a, (n_features,), in data units; by default the mean. With zeros for `center`, the result is
            the raw moments, which are less accurate if the mean is many standard deviations from 0.

        Returns
        -------
        moments : array with `order` axes of length `n_features`, which is symmetric in all axes; in data units^order.

        Raises
        ------
        ValueError : `order` is negative, the array would have more than 2²⁷ values or 64 axes, a moment is beyond the
            range of float64, or `center` does not contain n_features finite numbers.
        TypeError : `order` is not an integer.

        Notes
        -----
        The moments of each component are computed by the recursion of Isserlis (1918), Biometrika 12. For y = x − a
        with the mean δ = μ_k − a and a product Y of some y_j, the recursion is E[y_i Y] = δ_i E[Y] + Σ_j Σ_ij E[Y
        without y_j]; see Kan (2008), Journal of Multivariate Analysis 99, proposition 1.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.75, 0.25], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.moments(3)
        array([[[6.]]])
        >>> m.moments(1, center=[0.0])
        array([1.])
        """
        check_order(center, self.feature_names, "center")
        return mixture.expectations.moments(self._model, order, center, self.mean)

    @of_components
    def gradient(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """Return the gradient ∇ log p(x) = Σ_k γ_k Σ_k⁻¹ (μ_k − x) for each row x, where γ_k = p(k | x).

        Parameters and errors are the same as in `log_density`.

        Returns
        -------
        gradient : gradients, (n_rows, n_features), in nats per data unit; they are accurate at any distance from the
            mixture.

        Notes
        -----
        The formula is in Carreira-Perpiñán (2000), IEEE Transactions on Pattern Analysis and Machine Intelligence 22,
        section 3.

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
        """Return the Hessian of log p(x), Σ_k γ_k (g_k − g)(g_k − g)ᵀ − Σ_k γ_k Σ_k⁻¹, for each row x.

        Here γ_k = p(k | x), g is the gradient of log p(x), and g_k = Σ_k⁻¹ (μ_k − x). Parameters and errors are the
        same as in `log_density`.

        Returns
        -------
        hessian : symmetric Hessian matrices, (n_rows, n_features, n_features), in nats per data unit².

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
        """Find modes of the density by hill climbing from the mean of every component.

        Returns
        -------
        modes : a `Modes` object with the locations and log densities of the modes, sorted by decreasing density, and
            with the index of the mode that hill climbing from the mean of each component reaches.

        Notes
        -----
        The algorithm begins with the mean-shift iteration of Carreira-Perpiñán (2000), IEEE Transactions on Pattern
        Analysis and Machine Intelligence 22, section 4, and ends with Newton's method. If hill climbing ends on a
        saddle point, it continues from a nearby point, so that the Hessian has no positive eigenvalue at a mode. If the
        mixture has one feature, all modes are found, at most one per component. If the mixture has several features,
        some modes may be missed, because hill climbing does not reach every mode.

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
        """Return the points at which the most probable component of a mixture with one feature changes.

        Returns
        -------
        boundaries : points in ascending order, (n_boundaries,), in data units. The result of `predict` is constant
            between two boundaries. A component may be the most probable component in no interval, or in several
            intervals, for example if a narrow component lies in the middle of a wide component.

        Raises
        ------
        ValueError : the mixture has several features.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 4.0], FAMILIES["spherical"])
        >>> m.decision_boundary().round(4)
        array([-4.3266,  1.6599])
        """
        if self.n_features > 1:
            raise ValueError(
                f"decision_boundary needs one feature, but this mixture has {self.n_features}. Take a marginal first."
            )
        return mixture.modality.decision_boundary(self._model, self._engine())

    @cached_property
    def _mean_and_spread(self) -> tuple[Array, Array]:
        """Return the mean of the mixture, (n_features,), and the covariance of the component means."""
        return mixture.expectations.mean_and_spread_of_means(self._model)
