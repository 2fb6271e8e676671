"""Methods of `Mixture` that compare it with another mixture, or compare its components with each other."""

from __future__ import annotations

from typing import Self

from gaussmix._src import mixture
from gaussmix._src.checks import Rng
from gaussmix._src.mixture.base import MixtureBase, common_names, of_components
from gaussmix._src.mixture.compare.estimate import Estimate
from gaussmix._src.mixture.features import Feature

DRAWS = 100_000


class Comparisons(MixtureBase):
    """A mixture with methods for divergences, distances and entropy, and to sort, match and merge its components."""

    @of_components
    def kl_divergence(
        self, other: Self, *, n_draws: int = DRAWS, rng: Rng = None, n_jobs: int | None = None
    ) -> Estimate[float]:
        """Estimate the Kullback–Leibler divergence ∫ p log (p / q) from this mixture p to another, by Monte Carlo.

        Parameters
        ----------
        other : the mixture q, with the same features.
        n_draws : number of rows to draw, at least two from each component. The error falls as 1 / √n_draws.
        rng : source of randomness, or a seed; None uses the same draws each time.
        n_jobs : number of threads; None uses every processor.

        Returns
        -------
        kl_divergence : Estimate with `value` ≥ 0 and its standard `error`, nats. Between single Gaussians the value
            is exact. The divergence does not depend on the units of the data.

        Raises
        ------
        ValueError : the features differ, `n_draws` is below 2, or densities overflow.
        TypeError : `other` is not a mixture, `n_draws` is not an integer, or `rng` is not a source of randomness.

        Notes
        -----
        An estimate below 0 is replaced by 0, which is closer to the divergence. `kl_bounds` and `kl_variational` need
        no draws.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> value, error = m.kl_divergence(Mixture([1.0], [[2.0]], [5.0], FAMILIES["spherical"]))
        >>> round(value, 1)
        0.2
        """
        common_names([self, other])
        return mixture.divergences.kl(self._model, other._model, n_draws, rng, self._engine(n_jobs))

    @of_components
    def kl_bounds(self, other: Self) -> tuple[float, float]:
        """Return bounds of the Kullback–Leibler divergence to another mixture, in closed form.

        Parameters and errors are the same as in `kl_divergence`.

        Returns
        -------
        lower, upper : bounds, nats.

        Notes
        -----
        The term −∫ p log q is bounded as by Durrieu, Thiran & Kelly (2012), ICASSP. The entropy is bounded by
        `entropy_bounds`, whose lower bound is closer than theirs. If the variational bound of Hershey & Olsen (2007),
        ICASSP, section 8, is lower, it is used as the upper bound.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.kl_bounds(m)
        (0.0, 0.0)
        """
        common_names([self, other])
        return mixture.divergences.kl_bounds(self._model, other._model)

    @of_components
    def kl_variational(self, other: Self) -> float:
        """Return a variational approximation of the Kullback–Leibler divergence to another mixture, without draws.

        Parameters and errors are the same as in `kl_divergence`.

        Returns
        -------
        kl : nats; 0 for equal mixtures, exact between single Gaussians. The value can be negative, and is not a bound.

        Notes
        -----
        Σ_i π_i log (Σ_j π_j e^−KL(p_i‖p_j) / Σ_j ω_j e^−KL(p_i‖q_j)), Hershey & Olsen (2007), ICASSP, eq. 20.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> other = Mixture([1.0], [[2.0]], [5.0], FAMILIES["spherical"])
        >>> lower, upper = m.kl_bounds(other)
        >>> lower < m.kl_variational(other) < upper
        True
        """
        common_names([self, other])
        return mixture.divergences.kl_variational(self._model, other._model)

    @of_components
    def js_divergence(
        self, other: Self, *, n_draws: int = DRAWS, rng: Rng = None, n_jobs: int | None = None
    ) -> Estimate[float]:
        """Estimate the Jensen–Shannon divergence ½ KL(p‖m) + ½ KL(q‖m), m = ½ p + ½ q; Lin (1991) eq. 4.1.

        Parameters and errors are the same as in `kl_divergence`; `n_draws` rows are drawn from each mixture.

        Returns
        -------
        js_divergence : Estimate with `value` from 0 to log 2 and its standard `error`, nats. The value is symmetric,
            because both mixtures are drawn with the same random numbers. The error assumes the worst case, in which
            the errors of both halves are fully correlated.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.js_divergence(m).value
        0.0
        """
        common_names([self, other])
        return mixture.divergences.js(self._model, other._model, n_draws, rng, self._engine(n_jobs))

    @of_components
    def entropy(self, *, n_draws: int = DRAWS, rng: Rng = None, n_jobs: int | None = None) -> Estimate[float]:
        """Estimate the differential entropy −∫ p log p by Monte Carlo; for one component it is exact.

        Parameters and errors are the same as in `kl_divergence`.

        Returns
        -------
        entropy : Estimate with `value` and its standard `error`, nats. The entropy depends on the units of the data.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> value, error = m.entropy()
        >>> lower, upper = m.entropy_bounds()
        >>> lower < value < upper
        True
        """
        return mixture.divergences.entropy(self._model, n_draws, rng, self._engine(n_jobs))

    @of_components
    def entropy_bounds(self) -> tuple[float, float]:
        """Return bounds of the entropy in closed form; Kolchinsky & Tracey (2017), Entropy 19, 361.

        Returns
        -------
        lower, upper : nats, computed from Bhattacharyya distances and divergences between components. The bounds are
            equal for one component, and close if components are either alike or far apart.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"]).entropy_bounds()
        (1.4189385332046727, 1.4189385332046727)
        """
        return mixture.divergences.entropy_bounds(self._model)

    @of_components
    def distance(self, other: Self, metric: str = "mw2") -> float:
        """Return the distance to another mixture.

        Parameters
        ----------
        other : a mixture with the same features.
        metric : name of the distance.

            - "mw2": how far mass must be moved if every piece that moves is Gaussian, data units. This metric on
              mixtures equals the Wasserstein distance W₂ between single Gaussians. Delon & Desolneux (2020), SIAM J.
              Imaging Sci. 13, 936–970.
            - "l2": √∫ (p − q)², the root of the integrated squared error (ISE), per root of data volume. The square of
              the distance is accurate to 1e-15 of ∫ p² + ∫ q².
            - "cauchy_schwarz": −log (∫ p q / √(∫ p² ∫ q²)), nats. This distance does not depend on units, but violates
              the triangle inequality.

        Returns
        -------
        distance : at least 0, and 0 for equal mixtures.

        Raises
        ------
        ValueError : the features differ, the metric does not exist, or the distance is beyond the range of float64.
        TypeError : `other` is not a mixture.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> one = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> other = Mixture([0.5, 0.5], [[1.0], [5.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> round(one.distance(other), 6)
        1.0
        """
        common_names([self, other])
        return mixture.distances.distance(self._model, other._model, metric)

    @of_components
    def sorted(self, by: str = "weight", *, feature: Feature | None = None, reverse: bool = False) -> Self:
        """Return the mixture with its components in an order that does not depend on their current order.

        Parameters
        ----------
        by : sort key: "weight" (largest first), "mean" (smallest first) or "size" (largest determinant of the
            covariance first). Ties are resolved by means, feature after feature, then by weights and covariances.
        feature : index or name of the feature whose means are the key if by="mean"; by default all features in turn.
        reverse : whether to reverse the order.

        Raises
        ------
        ValueError : the sort key or the feature does not exist.
        TypeError : `feature` is neither an index nor a name.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.3, 0.7], [[4.0, 0.0], [1.0, 2.0]], [1.0, 5.0], FAMILIES["spherical"], ["x", "y"])
        >>> m.sorted().weights
        array([0.7, 0.3])
        >>> m.sorted("mean", feature="y").weights
        array([0.3, 0.7])
        """
        order = mixture.ordering.canonical_order(self._model, by, feature, self.feature_names, reverse=reverse)
        return self._from_model(self._model.take(order), self.feature_names)

    @of_components
    def match_to(self, reference: Self) -> Self:
        """Return the mixture with its components in the order of the most similar components of a reference.

        Parameters
        ----------
        reference : a mixture with the same features. If it has fewer components, the unmatched components come last,
            the heaviest first.

        Raises
        ------
        ValueError : `reference` has other features, or more components.
        TypeError : `reference` is not a mixture.

        Notes
        -----
        The order minimises Σ_k π_k (log (π_k / ω_k) + KL(p_k‖q_k)), where π and p belong to the reference. The sum is
        the divergence between the joint distributions of rows and labels, an upper bound of the divergence between the
        mixtures (Do 2003, IEEE Signal Process. Lett. 10, 115–118). The sum balances means, covariances and weights
        without a tuning parameter, and does not depend on units. SciPy's Hungarian algorithm finds the minimum.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> reference = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> Mixture([0.4, 0.6], [[4.1], [0.2]], [1.0, 2.0], FAMILIES["spherical"]).match_to(reference).means
        array([[0.2],
               [4.1]])
        """
        common_names([self, reference])
        order = mixture.ordering.matched_order(self._model, reference._model)
        return self._from_model(self._model.take(order), self.feature_names)

    @of_components
    def reduce(self, n_components: int, *, refine: bool = False) -> Self:
        """Return a mixture with fewer components and the same overall mean and covariance, by merging components.

        Parameters
        ----------
        n_components : number of components to keep; components of weight 0 are removed first.
        refine : whether to reassign the original components to the merged component from which they diverge least,
            until no assignment changes.

        Returns
        -------
        mixture : merged components with full covariances, in the order of their first parts. If the mixture already has
            `n_components` components, it is returned unchanged.

        Raises
        ------
        ValueError : `n_components` is below 1, larger than the current number, or so small that components about 1e7
            standard deviations apart would be merged.
        TypeError : `n_components` is not an integer.
        SingularCovarianceError : a covariance is not positive definite.

        Notes
        -----
        Runnalls (2007), IEEE Trans. Aerosp. Electron. Syst. 43, 989–999: the pair to be merged next has the smallest
        (w_i + w_j) log det P_ij − w_i log det P_i − w_j log det P_j, a bound of twice the divergence that merging
        causes. Refinement lowers Σ_i w_i KL(p_i‖merged) further: Davis & Dhillon (2006), NIPS. The result does not
        depend on the units of the data.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.25, 0.25, 0.5], [[0.0], [2.0], [9.0]], [1.0, 1.0, 1.0], FAMILIES["spherical"]).reduce(2)
        >>> m.means[:, 0], m.covariances[:, 0, 0]
        (array([1., 9.]), array([2., 1.]))
        """
        reduced = mixture.reduction.reduce(self._model, n_components, refine=refine)
        return self if reduced is self._model else self._from_model(reduced, self.feature_names)
