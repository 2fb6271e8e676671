"""Modes of the density, and where the most probable component changes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gaussmix.engines import choose
from gaussmix.mixture.line.boundaries import crossings
from gaussmix.mixture.line.turns import turns
from gaussmix.mixture.parts.derivatives import Derivatives
from gaussmix.mixture.parts.mean_shift import climbed
from gaussmix.mixture.values import Values
from gaussmix.numerics.arrays import Array
from gaussmix.waist.block import Block

# Of a deviation: ends of climbs that are nearer are one mode. Modes so near differ by 1e-12 in log density.
_SAME = 1e-3
_BESIDE = 1e-6  # of a place: next to it, and far more than its rounding


@dataclass(frozen=True, eq=False)
class Modes:
    """Local maxima of a density, the highest first.

    Parameters
    ----------
    places : (n_modes, n_features), data units.
    log_density : (n_modes,), there, nats.
    of_component : (n_components,), the mode that each component's mean leads to uphill.
    """

    places: Array
    log_density: Array
    of_component: NDArray[np.intp]


class Modality(Values):
    """Where the density is highest, and which component where."""

    def modes(self) -> Modes:
        """Find the modes that the components lead to, uphill from their means.

        Returns
        -------
        modes : their places (n_modes, n_features), log densities and components.

        Notes
        -----
        Carreira-Perpiñán (2000), IEEE Transactions on Pattern Analysis and Machine Intelligence 22, section 4: the
        fixed point of the mean shift, finished by Newton's method. Each has a Hessian without positive eigenvalues;
        a climb that ends on a saddle goes on from beside it. With one feature all modes are found, of which there are
        no more than components; with several there may be modes to which no component leads.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.2, 0.3], [[0.0], [1.0], [9.0]], [1.0, 1.0, 1.0], FAMILIES["spherical"])
        >>> modes = m.modes()
        >>> modes.places.round(3), modes.of_component
        (array([[0.235],
               [9.   ]]), array([0, 0, 1]))
        """
        if self.n_features == 1:
            cuts = turns(self._line)
            ends, of_component = cuts[::2, None], np.searchsorted(cuts[1::2], self.means[:, 0])
        else:
            ends, of_component = _distinct(climbed(Derivatives.of(self.model), self.means), self._deviations)
        heights = self._heights(ends)
        order = np.argsort(-heights, kind="stable")
        return Modes(ends[order], heights[order], np.argsort(order)[of_component])

    def decision_boundary(self) -> Array:
        """Where the most probable component of a mixture of one feature changes.

        Returns
        -------
        boundaries : (n_boundaries,), ascending, data units. Between two of them `predict` is the same; a component may
            have several intervals (a wide one lies on both sides of a narrow one), or none.

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
                f"decision_boundary is of one feature, and here are {self.n_features}: take marginal(feature) first."
            )
        real = np.flatnonzero(self.weights)
        places = crossings(self.parameters.log_scale[real], self.means[real, 0], self._deviations[real, 0])
        if not len(places):
            return places
        reach = self._deviations.max() + _BESIDE * np.abs(places).max()
        edges = np.concatenate([[places[0] - reach], places, [places[-1] + reach]])
        labels = choose(None).labels(Block(0, (edges[:-1] + 0.5 * np.diff(edges))[:, None]), self.parameters)
        return np.asarray(places[labels[1:] != labels[:-1]])

    def _heights(self, rows: Array) -> Array:
        return choose(None).log_density(Block(0, rows), self.parameters)

    @cached_property
    def _deviations(self) -> Array:
        variances = self.model.covariances.variances()
        return np.asarray(np.sqrt(variances))


def _distinct(ends: Array, deviations: Array) -> tuple[Array, NDArray[np.intp]]:
    """Ends that are not the same, and which of them each is."""
    kept: list[int] = []
    which = np.empty(len(ends), dtype=np.intp)
    for k, end in enumerate(ends):
        near = np.abs(ends[kept] - end) <= _SAME * deviations.min(axis=0)
        same = np.flatnonzero(near.all(axis=1))
        if not len(same):
            kept.append(k)
        which[k] = same[0] if len(same) else len(kept) - 1
    return ends[kept], which
