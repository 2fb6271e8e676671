"""The natural scale: weights, means and covariances as users name them, and how they move with the coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import product

import numpy as np

from gaussmix.em.coordinates import Coordinates
from gaussmix.engines.base import NOISE
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array, Places
from gaussmix.numerics.contract import contract
from gaussmix.waist.need import Second


class Kind(Enum):
    """What a parameter is, by the name of its term."""

    WEIGHT = "weight"
    MEAN = "mean"
    VARIANCE = "variance"
    COVARIANCE = "covariance"


SHARED = -2  # the component of a parameter that all components share


@dataclass(frozen=True)
class Term:
    """A parameter of a mixture.

    Parameters
    ----------
    kind : what it is.
    component : whose it is; −1 of noise, −2 if all components share it.
    features : one for a mean and a variance, two for a covariance; none for a weight and for a variance that is the
        same for all features.
    """

    kind: Kind
    component: int
    features: tuple[int, ...] = ()

    def name(self, names: Sequence[str]) -> str:
        """ "covariance[0, x1, x0]", with the names of the features."""
        owner = {SHARED: [], NOISE: ["noise"]}.get(self.component, [str(self.component)])
        inside = ", ".join([*owner, *(names[feature] for feature in self.features)])
        return f"{self.kind.value}[{inside}]" if inside else self.kind.value


@dataclass(frozen=True, eq=False)
class NaturalScale:
    """The parameters of a mixture of some size and structure, as one vector (q,).

    All weights (that of noise after them), then the means, then the numbers of the covariances: lower triangles by
    rows, variances, or one variance, as the structure has them; a covariance that all components share is there once.

    Parameters
    ----------
    n_components, n_features : of the mixture.
    second : the form of a covariance.
    is_shared : whether all components have the same covariance.
    has_noise : whether there is a background.
    """

    n_components: int
    n_features: int
    second: Second
    is_shared: bool
    has_noise: bool

    @classmethod
    def of(cls, model: Model) -> NaturalScale:
        """The scale of a model, and of all of its size and structure."""
        K, d, covariances = model.n_components, model.n_features, model.covariances
        return cls(K, d, covariances.second, covariances.is_shared, model.noise is not None)

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The parameters, in their order."""
        K, d = self.n_components, self.n_features
        weights = [Term(Kind.WEIGHT, k) for k in [*range(K), *[NOISE] * self.has_noise]]
        means = [Term(Kind.MEAN, k, (j,)) for k, j in product(range(K), range(d))]
        owners = [SHARED] if self.is_shared else range(K)
        return (*weights, *means, *(term for k in owners for term in self._of_covariance(k)))

    def _of_covariance(self, component: int) -> Iterator[Term]:
        if self.second is Second.TRACE:
            yield Term(Kind.VARIANCE, component)
            return
        for i in range(self.n_features):
            for j in range(0 if self._is_matrix else i, i):
                yield Term(Kind.COVARIANCE, component, (i, j))
            yield Term(Kind.VARIANCE, component, (i,))

    @property
    def _is_matrix(self) -> bool:
        return self.second not in (Second.TRACE, Second.DIAGONAL)

    @property
    def size(self) -> int:
        return len(self.terms)

    def values(self, model: Model) -> Array:
        """The parameters of a model of this size and structure, (q,)."""
        covariances, n = model.covariances, 1 if self.is_shared else self.n_components
        if self._is_matrix:
            numbers = covariances.dense()[:n, *self._triangle]
        else:
            numbers = covariances.variances()[:n, : 1 if self.second is Second.TRACE else None]
        noise = [] if model.noise is None else [model.noise.weight]
        return np.concatenate((model.weights, noise, model.means.ravel(), numbers.ravel()))

    @property
    def _triangle(self) -> tuple[Places, Places]:
        """The lower triangle of a matrix, by rows."""
        rows, columns = np.tril_indices(self.n_features)
        return rows, columns

    def jacobian(self, at: Coordinates) -> Array:
        """The derivatives of the parameters by the coordinates of a model, (q, p), at the model.

        Component k has the mean μ_k + L_k a_k and the covariance L_k exp(B_k) L_kᵀ, so dμ_k = L_k da_k and
        dΣ_k = L_k dB_k L_kᵀ; weights have logarithms as coordinates.
        """
        K, d, n_weights = self.n_components, self.n_features, at.n_weights
        found, values = np.zeros((self.size, at.size)), self.values(at.model)
        found[:n_weights] = values[:n_weights, None] * at.jacobian[:n_weights]
        first, of_means = n_weights, at.jacobian[n_weights : n_weights + K * d].reshape(K, d, at.size)
        colours = at.colours
        for k, changes in enumerate(of_means):
            used = np.flatnonzero(changes.any(axis=0))
            colour, moved = colours[min(k, len(colours) - 1)], changes[:, used]
            found[first : first + d, used] = _coloured(colour, moved)
            first += d
        blocks = at.jacobian[first:].reshape(at.n_covariances, -1, at.size)
        n_own = (self.size - first) // at.n_covariances
        for colour, changes in zip(colours, blocks, strict=True):
            used = np.flatnonzero(changes.any(axis=0))
            found[first : first + n_own, used] = self._of_changes(at, colour, changes[:, used])
            first += n_own
        return found

    def _of_changes(self, at: Coordinates, colour: Array, changes: Array) -> Array:
        """The changes of the numbers of a covariance, from those of the coordinates of its B (n_b, …)."""
        d = self.n_features
        if self.second is Second.TRACE:
            return np.asarray(math.sqrt(2 / d) * colour.ravel()[0] ** 2 * changes)
        if self.second is Second.DIAGONAL:
            return np.asarray(math.sqrt(2) * colour[:, None] ** 2 * changes)
        half = contract("bij,kj->bik", at.basis, colour)
        of_basis = contract("ij,bjk->bik", colour, half)[:, *self._triangle]
        return contract("bn,bp->np", of_basis, changes)


def _coloured(colour: Array, moved: Array) -> Array:
    return colour[:, None] * moved if colour.ndim == 1 else contract("ij,jp->ip", colour, moved)
