"""The methods of `Mixture` that compare it with another, or its components with each other."""

from __future__ import annotations

from typing import Self

from gaussmix._src import mixture
from gaussmix._src.checks import Rng
from gaussmix._src.mixture.base import MixtureBase, common_names, of_components
from gaussmix._src.mixture.compare.estimate import Estimate
from gaussmix._src.mixture.features import Feature

DRAWS = 100_000


class Comparisons(MixtureBase):
    """Divergences, distances and entropy; components put in order, matched and merged."""

    @of_components
    def kl_divergence(
        self, other: Self, *, n_draws: int = DRAWS, rng: Rng = None, n_jobs: int | None = None
    ) -> Estimate[float]:
        """Kullback–Leibler divergence ∫ p log (p / q) from this mixture to another, by Monte Carlo.

        Parameters
        ----------
        other : q, a mixture of the same features.
        n_draws : how many rows are drawn, at least two from each component; the error falls as 1 / √n_draws.
        rng : source of randomness, or a seed; None for the same draws each time.
        n_jobs : threads; None for every processor.

        Returns
        -------
        kl_divergence : Estimate, `value` ≥ 0 and its standard `error`, nats; exact between single Gaussians. The same
            in any unit of the data.

        Raises
        ------
        ValueError : other has other features, n_draws is below 2, or densities overflow.
        TypeError : other is not a mixture, n_draws no integer, or rng no source of randomness.

        Notes
        -----
        An estimate below 0 becomes 0, which is nearer to the divergence. `kl_bounds` and `kl_variational` need no
        draws.

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
        """Bounds of the Kullback–Leibler divergence to another mixture, in closed form.

        Parameters and errors are those of `kl_divergence`.

        Returns
        -------
        lower, upper : nats.

        Notes
        -----
        −∫ p log q is bounded as by Durrieu, Thiran & Kelly (2012), ICASSP. The entropy is bounded by `entropy_bounds`:
        its upper bound is theirs, its lower bound is closer. Where the variational bound of Hershey & Olsen (2007),
        ICASSP, section 8, is the lesser, it is the upper bound.

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
        """The Kullback–Leibler divergence to another mixture, nearly, without draws.

        Parameters and errors are those of `kl_divergence`.

        Returns
        -------
        kl : nats; 0 for equal mixtures, exact between single Gaussians. It can be below 0, and is not a bound.

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
        """Jensen–Shannon divergence ½ KL(p‖m) + ½ KL(q‖m) with m = ½ p + ½ q, by Monte Carlo; Lin (1991) eq. 4.1.

        Parameters and errors are those of `kl_divergence`; `n_draws` rows are drawn from each mixture.

        Returns
        -------
        js_divergence : Estimate, `value` from 0 to log 2 and its standard `error`, nats. Symmetric: both mixtures are
            drawn with the same random numbers. The error is that of the worst case, in which both halves err alike.

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
        """Differential entropy −∫ p log p, by Monte Carlo; for one component exactly.

        Parameters and errors are those of `kl_divergence`.

        Returns
        -------
        entropy : Estimate, `value` and its standard `error`, nats. It depends on the unit of the data.

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
        """Bounds of the entropy in closed form; Kolchinsky & Tracey (2017), Entropy 19, 361.

        Returns
        -------
        lower, upper : nats, from the Bhattacharyya distances and the divergences between components. They meet where
            components are alike or far apart, and for one component.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"]).entropy_bounds()
        (1.4189385332046727, 1.4189385332046727)
        """
        return mixture.divergences.entropy_bounds(self._model)

    @of_components
    def distance(self, other: Self, metric: str = "mw2") -> float:
        """The distance to another mixture.

        Parameters
        ----------
        other : a mixture of the same features.
        metric : what is measured.

            - "mw2": how far mass must be moved where every piece that moves is Gaussian, data units. A metric on
              mixtures; between single Gaussians the Wasserstein distance W₂. Delon & Desolneux (2020), SIAM J.
              Imaging Sci. 13, 936–970.
            - "l2": √∫ (p − q)², the root of the integrated squared error (ISE), per root of data volume. Its square
              is right to 1e-15 of ∫ p² + ∫ q².
            - "cauchy_schwarz": −log (∫ p q / √(∫ p² ∫ q²)), nats, the same in any unit; no triangle inequality.

        Returns
        -------
        distance : ≥ 0, and 0 for equal mixtures.

        Raises
        ------
        ValueError : other has other features, there is no such metric, or the distance is beyond the range of float64.
        TypeError : other is not a mixture.

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
        """Put the components in an order that does not depend on the one they have.

        Parameters
        ----------
        by : "weight", the heaviest first; "mean", the least first; "size", the largest determinant of the covariance
            first. Equal components are put in order by their means, feature after feature, then by weights and
            covariances.
        feature : number or name of the one feature whose means count where by="mean"; by default all in turn.
        reverse : put them in the opposite order.

        Raises
        ------
        ValueError : there is no such order or feature.
        TypeError : feature is neither a number nor a name.

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
        """Put the components in the order of another mixture's, each at the place of the one that it resembles.

        Parameters
        ----------
        reference : a mixture of the same features. Where it has fewer components, the unmatched ones come last, the
            heaviest first.

        Raises
        ------
        ValueError : reference has other features, or more components.
        TypeError : reference is not a mixture.

        Notes
        -----
        The order minimises Σ_k π_k (log (π_k / ω_k) + KL(p_k‖q_k)), with π and p of the reference. This is the
        divergence between the joint distributions of rows and labels, an upper bound of the divergence between the
        mixtures (Do 2003, IEEE Signal Process. Lett. 10, 115–118). It weighs mean, covariance and weight against each
        other without a parameter, and depends on no unit. SciPy's Hungarian matching finds it.

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
        """Merge components: fewer of them, with the same mean and covariance of the whole.

        Parameters
        ----------
        n_components : how many are to be left; components of weight 0 go first.
        refine : after merging, move components to the merged one from which they diverge least, until none moves.

        Returns
        -------
        mixture : merged components with full covariances, in the order of their first parts. The mixture itself where
            it has n_components already.

        Raises
        ------
        ValueError : n_components is not from 1 to their number, or so small that components some 1e7 standard
            deviations apart would be merged.
        TypeError : n_components is not an integer.
        SingularCovarianceError : a covariance is not positive definite.

        Notes
        -----
        Runnalls (2007), IEEE Trans. Aerosp. Electron. Syst. 43, 989–999: the next pair to be merged has the least
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
