"""Methods of `Mixture` that compare a mixture with another mixture, or the components of one mixture."""

from __future__ import annotations

from typing import Self

from gaussmix._src import mixture
from gaussmix._src.checks import Rng
from gaussmix._src.mixture.base import MixtureBase, common_names, of_components
from gaussmix._src.mixture.compare.estimate import Estimate
from gaussmix._src.mixture.features import Feature

DRAWS = 100_000


class Comparisons(MixtureBase):
    """A mixture with methods that compare mixtures, estimate entropies, and sort, match or merge components."""

    @of_components
    def kl_divergence(
        self, other: Self, *, n_draws: int = DRAWS, rng: Rng = None, n_jobs: int | None = None
    ) -> Estimate[float]:
        """Estimate by Monte Carlo the Kullback–Leibler divergence ∫ p log (p / q) from this mixture p to a mixture q.

        Parameters
        ----------
        other : the mixture q, which must have the same features as this mixture p.
        n_draws : number of rows to draw; at least two rows are drawn from each component. The standard error is
            proportional to 1 / √n_draws.
        rng : generator or seed for the draws; with None every call uses the same draws.
        n_jobs : number of threads; None uses all processors.

        Returns
        -------
        kl_divergence : an `Estimate` with the fields `value` ≥ 0 and `error`, the standard error of `value`, both in
            nats. If each of the two mixtures has a single component, the value is exact. The divergence does not depend
            on the units of the data.

        Raises
        ------
        ValueError : the mixtures have different features, `n_draws` is below 2, or densities overflow.
        TypeError : `other` is not a mixture, `n_draws` is not an integer, or `rng` is neither a generator nor a seed.

        Notes
        -----
        An estimate below 0 is replaced by 0, because the true divergence is never negative. To avoid random draws, use
        `kl_bounds` or `kl_variational`.

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
        """Return a lower and an upper bound on the Kullback–Leibler divergence to another mixture, in closed form.

        The parameter `other` and its errors are the same as in `kl_divergence`.

        Returns
        -------
        lower, upper : lower and upper bound, in nats.

        Notes
        -----
        The bounds on the term −∫ p log q are due to Durrieu, Thiran & Kelly (2012), ICASSP. The entropy term is bounded
        by `entropy_bounds`, which gives a tighter lower bound than Durrieu et al. The result `upper` is the sum of the
        upper bounds of both terms, or the variational bound of Hershey & Olsen (2007), ICASSP, section 8, if the
        variational bound is smaller than this sum.

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
        """Approximate the Kullback–Leibler divergence to another mixture with a variational formula, without sampling.

        The parameter `other` and its errors are the same as in `kl_divergence`.

        Returns
        -------
        kl : approximate divergence in nats, which is 0 for equal mixtures and exact for mixtures of one component. The
            value may be negative, and it is neither an upper nor a lower bound.

        Notes
        -----
        The formula is Σ_i π_i log (Σ_j π_j e^−KL(p_i‖p_j) / Σ_j ω_j e^−KL(p_i‖q_j)) for components p_i and q_j with
        weights π_i and ω_j; Hershey & Olsen (2007), ICASSP, eq. 20.

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
        """Estimate the Jensen–Shannon divergence ½ KL(p‖m) + ½ KL(q‖m) with m = ½ p + ½ q; Lin (1991) eq. 4.1.

        Parameters and errors are the same as in `kl_divergence`; `n_draws` rows are drawn from each mixture.

        Returns
        -------
        js_divergence : an `Estimate` with the fields `value`, from 0 to log 2, and `error`, the standard error of
            `value`, both in nats. Exchanging the mixtures does not change the value, because rows of both mixtures are
            drawn with the same random numbers. The standard error assumes the worst case, in which the errors of the
            two KL terms are fully correlated.

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
        """Estimate the differential entropy −∫ p log p by Monte Carlo; for a single component, the result is exact.

        Parameters and errors are the same as in `kl_divergence`.

        Returns
        -------
        entropy : an `Estimate` with the fields `value`, the entropy, and `error`, the standard error of `value`, both
            in nats. The entropy depends on the units of the data.

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
        """Return a lower and an upper bound on the entropy in closed form; Kolchinsky & Tracey (2017), Entropy 19, 361.

        Returns
        -------
        lower, upper : bounds on the entropy in nats, from the Bhattacharyya distances and Kullback–Leibler divergences
            between components. The bounds are equal if there is one component, and nearly equal if the two components
            of every pair are either nearly equal or far apart.

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
        other : a mixture with the same features as this mixture.
        metric : name of the distance.

            - "mw2": Wasserstein distance W₂ restricted to transport plans that are Gaussian mixtures, in the units of
              the data. For mixtures of one component, "mw2" is the Wasserstein distance itself; Delon & Desolneux
              (2020), SIAM Journal on Imaging Sciences 13, 936–970.

            - "l2": √∫ (p − q)², the square root of the integrated squared error (ISE), in units of 1 / √(data volume).
              The rounding error of the squared distance is at most about 1e-15 times the sum ∫ p² + ∫ q².

            - "cauchy_schwarz": −log (∫ p q / √(∫ p² ∫ q²)), in nats. The Cauchy–Schwarz distance does not depend on the
              units of the data, but it violates the triangle inequality.

        Returns
        -------
        distance : a number ≥ 0, which is 0 for equal mixtures.

        Raises
        ------
        ValueError : the mixtures have different features, the metric does not exist, or the distance is beyond the
            range of float64.
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
        """Return the mixture with sorted components; the result does not depend on the current order of the components.

        Parameters
        ----------
        by : sort key, which is "weight" (largest first), "mean" (smallest first) or "size" (largest determinant of the
            covariance first; determinants that differ only by rounding errors are equal). Components with equal keys
            are sorted by their means, feature after feature, then by weights and covariances.
        feature : index or name of the feature whose means are the sort key if by="mean". By default the means of the
            first feature are the key, and ties are broken by the means of the next features.
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
        """Return the mixture with its components reordered to match the most similar components of a reference mixture.

        Parameters
        ----------
        reference : a mixture with the same features as this mixture. If the reference has fewer components than this
            mixture, the components without a match come last, sorted by decreasing weight.

        Raises
        ------
        ValueError : `reference` does not have the features of this mixture, or has more components.
        TypeError : `reference` is not a mixture.

        Notes
        -----
        The order minimises Σ_k π_k (log (π_k / ω_k) + KL(p_k‖q_k)), where the reference has weights π_k and components
        p_k, and this mixture has weights ω_k and components q_k. The sum is the divergence between the joint
        distributions of rows and component labels, and it is an upper bound on the divergence between the mixtures (Do
        2003, IEEE Signal Processing Letters 10, 115–118). The sum balances means, covariances and weights without a
        tuning parameter, and does not depend on the units of the data. The minimum is found by SciPy's
        `linear_sum_assignment`.

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
        """Merge components, and return a mixture with fewer components but the same overall mean and covariance.

        Parameters
        ----------
        n_components : number of components to keep; components of weight 0 are removed first.
        refine : whether to reassign each original component to the merged component that has the smallest
            Kullback–Leibler divergence from the original component, and to repeat this step until no assignment
            changes.

        Returns
        -------
        mixture : a mixture with full covariances. The merged components are sorted by the smallest index of their
            original components. A mixture that already has `n_components` components is returned unchanged.

        Raises
        ------
        ValueError : `n_components` is below 1 or larger than the current number of components, or it is so small that
            components about 1e7 standard deviations apart would be merged.
        TypeError : `n_components` is not an integer.
        SingularCovarianceError : a covariance is not positive definite.

        Notes
        -----
        The method is due to Runnalls (2007), IEEE Transactions on Aerospace and Electronic Systems 43, 989–999. Each
        step merges the components i and j with the smallest cost (w_i + w_j) log det P_ij − w_i log det P_i − w_j log
        det P_j, where w are weights, P are covariances, and P_ij is the covariance of the merged component. The cost is
        an upper bound of twice the divergence between the mixtures before and after the step. The refinement lowers Σ_i
        w_i KL(p_i‖merged) further, where `merged` is the component into which component p_i was merged; Davis & Dhillon
        (2006), NIPS. The result does not depend on the units of the data.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.25, 0.25, 0.5], [[0.0], [2.0], [9.0]], [1.0, 1.0, 1.0], FAMILIES["spherical"]).reduce(2)
        >>> m.means[:, 0], m.covariances[:, 0, 0]
        (array([1., 9.]), array([2., 1.]))
        """
        reduced = mixture.reduction.reduce(self._model, n_components, refine=refine)
        return self if reduced is self._model else self._from_model(reduced, self.feature_names)
