"""The order of components: canonical, or that of another mixture."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from gaussmix.errors import unknown_name
from gaussmix.mixture.compare.gaussians import Gaussians, kl_divergences
from gaussmix.mixture.features import Feature
from gaussmix.mixture.values import Values, common_names

_ORDERS = ("weight", "mean", "size")


class Ordering(Values):
    """Labels that mean the same from fit to fit."""

    def sorted(self, by: str = "weight", *, feature: Feature | None = None, reverse: bool = False) -> Self:
        """The same mixture with its components in an order that does not depend on the one they have.

        Parameters
        ----------
        by : "weight", the heaviest first; "mean", the least first; "size", that of the largest determinant of the
            covariance first. Where components are equal in this, by their means, feature after feature, then by
            weights and covariances.
        feature : number or name of the one feature whose means count, with by="mean"; all in turn by default.
        reverse : the other way round.

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
        if by not in _ORDERS:
            raise unknown_name("by", by, _ORDERS)
        if feature is not None and by != "mean":
            raise ValueError(f"feature={feature!r:.60} says whose means count: it goes with by='mean', not by={by!r}.")
        keys = [*self.means.T, self.weights]
        if not self.family.is_shared:
            keys += [*self.covariances.reshape(self.n_components, -1).T]
        if by == "mean" and feature is not None:
            if not isinstance(feature, str | int | np.integer):
                raise TypeError(f"feature must be one feature, a number or a name, not {feature!r:.60}.")
            keys.insert(0, self.means[:, self._places(feature)[0]])
        elif by == "weight":
            keys.insert(0, -self.weights)
        elif by == "size":
            keys.insert(0, np.broadcast_to(self.whitening.log_abs_det, self.n_components))
        order = np.lexsort(keys[::-1])
        return self._with_components(order[::-1] if reverse else order)

    def match_to(self, reference: Self) -> Self:
        """The same mixture with its components in the order of another's, each beside the one that it resembles.

        Parameters
        ----------
        reference : a mixture of the same features. Where it has fewer components, those that match none follow, the
            heaviest first.

        Raises
        ------
        ValueError : reference has other features, or more components.
        TypeError : reference is no mixture.

        Notes
        -----
        The order that makes Σ_k π_k (log (π_k / ω_k) + KL(p_k‖q_k)) least, with π and p of the reference: the
        divergence of the labelled distributions, which a label is part of, and so an upper bound of the divergence
        of the mixtures (Do 2003, IEEE Signal Process. Lett. 10, 115–118). It weighs mean, covariance and weight
        against each other without a parameter, and depends on no unit. Found by SciPy's Hungarian matching.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> reference = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> Mixture([0.4, 0.6], [[4.1], [0.2]], [1.0, 2.0], FAMILIES["spherical"]).match_to(reference).means
        array([[0.2],
               [4.1]])
        """
        common_names([self, reference])
        if reference.n_components > self.n_components:
            raise ValueError(
                f"The reference has {reference.n_components} components, more than the {self.n_components} to match: "
                "match the reference to this mixture instead."
            )
        rows, columns = _matched(reference, self)
        order = np.full(self.n_components, -1, dtype=np.intp)
        order[rows] = columns
        left = np.setdiff1d(np.arange(self.n_components), columns)
        order[order < 0] = left[np.argsort(-self.weights[left], kind="stable")]
        return self._with_components(order)


def _matched(reference: Values, own: Values) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Components of two mixtures that have weight and belong together."""
    p, q = Gaussians.pair(reference, own)
    cost = p.weights[:, None] * (p.log_weights[:, None] - q.log_weights + kl_divergences(p, q))
    rows, columns = linear_sum_assignment(cost)
    return np.flatnonzero(reference.weights > 0)[rows], np.flatnonzero(own.weights > 0)[columns]
