"""The natural scale: weights, means and covariances as users name them, and how they move with the coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import Any

import numpy as np

from gaussmix._src.covariances import Covariances, Dense
from gaussmix._src.em.curvature.coordinates import Coordinates
from gaussmix._src.engines.base import NOISE, Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.elementary import log, softmax
from gaussmix._src.numerics.threads import cached_property


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
    def at_model(cls, model: Model) -> NaturalScale:
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
        columns = self.covariance_values(model.covariances)[: 1 if self.is_shared else None]
        return np.concatenate((model.all_weights, model.means.ravel(), columns.ravel()))

    def covariance_values(self, covariances: Covariances) -> Array:
        """The numbers of each covariance, (n, n_values)."""
        if self._is_matrix:
            return covariances.dense()[:, *self._triangle]
        return covariances.variances()[:, : 1 if self.second is Second.TRACE else None]

    def model(self, values: Array, like: Model) -> Model:
        """The model with these parameters, (q,); a structure without coordinates of its own becomes any covariances."""
        K, d = self.n_components, self.n_features
        n_weights = K + self.has_noise
        weights, means, numbers = np.split(np.array(values), [n_weights, n_weights + K * d])
        noise = None if like.noise is None else like.noise.weighing(float(weights[-1]))
        shape = K, d
        if not self._is_matrix:
            covariances = like.family.covariances(numbers.reshape(like.covariances.array.shape), *shape)
            return Model(weights[:K], means.reshape(shape), covariances, like.family, noise)
        rows, columns = self._triangle
        each = np.empty((1 if self.is_shared else K, d, d))
        each[:, rows, columns] = each[:, columns, rows] = numbers.reshape(len(each), -1)
        dense = Dense(each, K, d, self.is_shared)
        family = like.family if isinstance(like.covariances, Dense) else like.family.relaxed(dense)
        return Model(weights[:K], means.reshape(shape), dense, family, noise)

    @property
    def _triangle(self) -> tuple[Indices, Indices]:
        """The lower triangle of a matrix, by rows."""
        rows, columns = np.tril_indices(self.n_features)
        return rows, columns

    def jacobian(self, at: Coordinates) -> Array:
        """The derivatives of the parameters by the coordinates of a model, (q, p), at the model.

        Component k has the mean μ_k + L_k a_k and the covariance L_k exp(B_k) L_kᵀ, so dμ_k = L_k da_k and
        dΣ_k = L_k dB_k L_kᵀ; weights have logarithms as coordinates.
        """
        K, d, n_weights = self.n_components, self.n_features, at.n_weights
        result, values = np.zeros((self.size, at.size)), self.values(at.model)
        result[:n_weights] = values[:n_weights, None] * at.jacobian[:n_weights]
        first, of_means = n_weights, at.jacobian[n_weights : n_weights + K * d].reshape(K, d, at.size)
        colours = at.colours
        for k, changes in enumerate(of_means):
            used = np.flatnonzero(changes.any(axis=0))
            colour, shifted = colours[min(k, len(colours) - 1)], changes[:, used]
            result[first : first + d, used] = _coloured(colour, shifted)
            first += d
        rest = at.jacobian[first:]
        blocks = rest.reshape(at.n_covariances, len(rest) // at.n_covariances, at.size)  # size is 0 if none is free
        n_own = (self.size - first) // at.n_covariances
        for colour, changes in zip(colours, blocks, strict=True):
            used = np.flatnonzero(changes.any(axis=0))
            result[first : first + n_own, used] = self._of_changes(at, colour, changes[:, used])
            first += n_own
        return result

    def _of_changes(self, at: Coordinates, colour: Array, changes: Array) -> Array:
        """The changes of the numbers of a covariance, from those of the coordinates of its B (n_b, …)."""
        d = self.n_features
        if self.second is Second.TRACE:
            return np.asarray(math.sqrt(2 / d) * colour.ravel()[0] ** 2 * changes)
        if self.second is Second.DIAGONAL:
            return np.asarray(math.sqrt(2) * colour[:, None] ** 2 * changes)
        half_step = np.einsum("bij,kj->bik", at.basis, colour)
        of_basis = np.einsum("ij,bjk->bik", colour, half_step)[:, *self._triangle]
        return np.asarray(np.einsum("bn,bp->np", of_basis, changes))


def _coloured(colour: Array, shifted: Array) -> Array:
    return colour[:, None] * shifted if colour.ndim == 1 else np.einsum("ij,jp->ip", colour, shifted)


@dataclass(frozen=True, eq=False)
class Stacked:
    """Many models of one size and structure.

    Parameters
    ----------
    like : one of them.
    weights : (n, n_components).
    noise : (n,), the weights of noise; zeros where there is none.
    means : (n, n_components, n_features), data units.
    arrays : (n, …), covariances in compact form, data units².
    """

    like: Model
    weights: Array
    noise: Array
    means: Array
    arrays: Array

    @classmethod
    def from_models(cls, models: Sequence[Model]) -> Stacked:
        """Stack models of one size and structure, at least one."""
        return cls(
            models[0],
            np.array([model.weights for model in models]),
            np.array([0.0 if model.noise is None else model.noise.weight for model in models]),
            np.array([model.means for model in models]),
            np.array([model.covariances.array for model in models]),
        )

    def part(self, chosen: slice) -> Stacked:
        """Some of the models."""
        return Stacked(self.like, self.weights[chosen], self.noise[chosen], self.means[chosen], self.arrays[chosen])

    @cached_property
    def covariances(self) -> Covariances:
        """The covariances of all components, model by model; a model whose components share a covariance has one."""
        return self.like.family.stacked(self.arrays, *self.means.shape[1:])

    def responsibilities(self, rows: Block, engine: Engine[Any]) -> Array:
        """p(k | x) of every model, (n_rows, n · n_components): one call of the engine for the components of all.

        Of noise, cells that are missing count as if they were there.
        """
        n, K, d = self.means.shape
        covariances = self.covariances
        if self.like.covariances.is_shared:
            covariances = covariances.take(np.repeat(np.arange(n), K))
        collect = self.weights.ravel(), self.means.reshape(n * K, d), covariances.whitening
        parameters = Parameters.from_mixture(*collect)
        heights = engine.component_log_density(rows, parameters).reshape(-1, n, K)
        if self.like.noise is not None:
            background = np.broadcast_to(log(self.noise) - self.like.noise.log_volume, heights.shape[:2])
            heights = np.concatenate((heights, background[..., None]), axis=2)
        return np.asarray(softmax(heights)[..., :K].reshape(-1, n * K))

    def values(self, orders: Indices) -> Array:
        """The natural parameters of each model (n, q), with its components in an order (n, n_components)."""
        n, scale = len(self.weights), NaturalScale.at_model(self.like)
        columns = scale.covariance_values(self.covariances)
        columns = columns.reshape(n, -1, columns.shape[1])
        if not scale.is_shared:
            columns = np.take_along_axis(columns, orders[:, :, None], axis=1)
        return np.concatenate(
            (
                np.take_along_axis(self.weights, orders, axis=1),
                self.noise[:, None][:, : int(scale.has_noise)],
                np.take_along_axis(self.means, orders[:, :, None], axis=1).reshape(n, -1),
                columns.reshape(n, -1),
            ),
            axis=1,
        )
