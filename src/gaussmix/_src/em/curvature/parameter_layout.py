"""Vectors of the parameters that users see, with names, and derivatives with respect to `Coordinates`."""

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
from gaussmix._src.engines.base import NOISE_LABEL, Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.elementary import log, softmax
from gaussmix._src.numerics.threads import cached_property


class ParameterKind(Enum):
    """Kind of a parameter. The value of each member is the first word of the parameter's name."""

    WEIGHT = "weight"
    MEAN = "mean"
    VARIANCE = "variance"
    COVARIANCE = "covariance"


# Value of `ParameterTerm.component` if all components share the parameter.
SHARED_COMPONENT = -2


@dataclass(frozen=True)
class ParameterTerm:
    """One parameter of a mixture, described by kind, component and features.

    Parameters
    ----------
    kind : kind of the parameter.
    component : index of the component; −1 for the noise component, and −2 if all components share the parameter.
    features : indices of features: one for a mean or a variance, and two for a covariance. The tuple is empty for a
        weight, and for a variance that is the same for all features.
    """

    kind: ParameterKind
    component: int
    features: tuple[int, ...] = ()

    def name(self, feature_names: Sequence[str]) -> str:
        """Return the parameter's name, such as "covariance[0, x1, x0]", which contains the feature names."""
        owner = {SHARED_COMPONENT: [], NOISE_LABEL: ["noise"]}.get(self.component, [str(self.component)])
        inside = ", ".join([*owner, *(feature_names[feature] for feature in self.features)])
        return f"{self.kind.value}[{inside}]" if inside else self.kind.value


@dataclass(frozen=True, eq=False)
class ParameterLayout:
    """Order of the parameters in a vector (q,), for mixtures of one size and covariance structure.

    The vector contains all weights (the noise component's weight last), then the means, and then the values of each
    covariance: the lower triangle by rows, the variances, or one variance, depending on the structure. A shared
    covariance occurs only once.

    Parameters
    ----------
    n_components, n_features : numbers of components and features of the mixture.
    covariance_form : form of the second moments, which determines how many values a covariance has.
    is_shared : whether all components have the same covariance.
    has_noise : whether the mixture has a noise component.
    """

    n_components: int
    n_features: int
    covariance_form: Second
    is_shared: bool
    has_noise: bool

    @classmethod
    def at_model(cls, model: Model) -> ParameterLayout:
        """Return the layout for a model, which holds for all models of the same size and structure."""
        K, d, covariances = model.n_components, model.n_features, model.covariances
        return cls(K, d, covariances.second, covariances.is_shared, model.noise is not None)

    @cached_property
    def terms(self) -> tuple[ParameterTerm, ...]:
        """Return the descriptions of all parameters, in the order of the vector."""
        K, d = self.n_components, self.n_features
        weights = [ParameterTerm(ParameterKind.WEIGHT, k) for k in [*range(K), *[NOISE_LABEL] * self.has_noise]]
        means = [ParameterTerm(ParameterKind.MEAN, k, (j,)) for k, j in product(range(K), range(d))]
        owners = [SHARED_COMPONENT] if self.is_shared else range(K)
        return (*weights, *means, *(term for k in owners for term in self._covariance_terms(k)))

    def _covariance_terms(self, component: int) -> Iterator[ParameterTerm]:
        if self.covariance_form is Second.TRACE:
            yield ParameterTerm(ParameterKind.VARIANCE, component)
            return
        for i in range(self.n_features):
            for j in range(0 if self._is_matrix else i, i):
                yield ParameterTerm(ParameterKind.COVARIANCE, component, (i, j))
            yield ParameterTerm(ParameterKind.VARIANCE, component, (i,))

    @property
    def _is_matrix(self) -> bool:
        return self.covariance_form not in (Second.TRACE, Second.DIAGONAL)

    @property
    def n_parameters(self) -> int:
        return len(self.terms)

    def to_vector(self, model: Model) -> Array:
        """Return the parameter vector of a model with this layout, (q,)."""
        columns = self.covariance_vectors(model.covariances)[: 1 if self.is_shared else None]
        return np.concatenate((model.all_weights, model.means.ravel(), columns.ravel()))

    def covariance_vectors(self, covariances: Covariances) -> Array:
        """Return the values of each covariance as a row, (n, n_values)."""
        if self._is_matrix:
            return covariances.dense()[:, *self._lower_triangle]
        return covariances.variances()[:, : 1 if self.covariance_form is Second.TRACE else None]

    def to_model(self, vector: Array, template: Model) -> Model:
        """Make a model from a parameter vector (q,). Covariances of factor analysers become full matrices."""
        K, d = self.n_components, self.n_features
        n_weights = K + self.has_noise
        weights, means, numbers = np.split(np.array(vector), [n_weights, n_weights + K * d])
        noise = None if template.noise is None else template.noise.with_weight(float(weights[-1]))
        shape = K, d
        if not self._is_matrix:
            return Model.from_arrays(weights[:K], means.reshape(shape), numbers, template.family, noise)
        rows, columns = self._lower_triangle
        each = np.empty((1 if self.is_shared else K, d, d))
        each[:, rows, columns] = each[:, columns, rows] = numbers.reshape(len(each), -1)
        dense = Dense(each, K, d, self.is_shared)
        family = template.family if isinstance(template.covariances, Dense) else template.family.relaxed(dense)
        return Model(weights[:K], means.reshape(shape), dense, family, noise)

    @property
    def _lower_triangle(self) -> tuple[Indices, Indices]:
        """Return row and column indices of the lower triangle of a matrix, row by row."""
        rows, columns = np.tril_indices(self.n_features)
        return rows, columns

    def jacobian(self, coords: Coordinates) -> Array:
        """Return the derivatives of the parameters with respect to the coordinates, (q, p), at `coords.model`.

        Component k has the mean μ_k + L_k a_k and the covariance L_k exp(B_k) L_kᵀ. Therefore, dμ_k = L_k da_k and dΣ_k
        = L_k dB_k L_kᵀ. The coordinates of weights are the logarithms of the weights.
        """
        K, d, n_weights = self.n_components, self.n_features, coords.n_weights
        result, values = np.zeros((self.n_parameters, coords.n_parameters)), self.to_vector(coords.model)
        result[:n_weights] = values[:n_weights, None] * coords.jacobian[:n_weights]
        first, mean_rows = n_weights, coords.jacobian[n_weights : n_weights + K * d].reshape(K, d, coords.n_parameters)
        colours = coords.inverse_factors
        for k, changes in enumerate(mean_rows):
            used = np.flatnonzero(changes.any(axis=0))
            colour, change = colours[min(k, len(colours) - 1)], changes[:, used]
            changed = colour[:, None] * change if colour.ndim == 1 else np.einsum("ij,jp->ip", colour, change)
            result[first : first + d, used] = changed
            first += d
        rest = coords.jacobian[first:]
        n, n_own = coords.n_covariances, (self.n_parameters - first) // coords.n_covariances
        # `len(rest)` determines the shape, because NumPy cannot infer it if the number of free parameters is 0.
        blocks = rest.reshape(n, len(rest) // n, coords.n_parameters)
        for colour, changes in zip(colours, blocks, strict=True):
            used = np.flatnonzero(changes.any(axis=0))
            result[first : first + n_own, used] = self._covariance_changes(coords, colour, changes[:, used])
            first += n_own
        return result

    def _covariance_changes(self, coords: Coordinates, inverse_factor: Array, changes: Array) -> Array:
        """Convert changes dβ_b of the coordinates of B, (n_b, …), to changes of the covariance, Σ_b dβ_b L E_b Lᵀ.

        `Coordinates.symmetric_basis` defines the matrices E_b: √(2 / d) I for spherical covariances, and √2 e_j e_jᵀ
        for each feature otherwise; full covariances also have one for each pair of features.
        """
        d = self.n_features
        if self.covariance_form is Second.TRACE:
            return np.asarray(math.sqrt(2 / d) * inverse_factor.ravel()[0] ** 2 * changes)
        if self.covariance_form is Second.DIAGONAL:
            return np.asarray(math.sqrt(2) * inverse_factor[:, None] ** 2 * changes)
        half_step = np.einsum("bij,kj->bik", coords.symmetric_basis, inverse_factor)
        basis_parts = np.einsum("ij,bjk->bik", inverse_factor, half_step)[:, *self._lower_triangle]
        return np.asarray(np.einsum("bn,bp->np", basis_parts, changes))


@dataclass(frozen=True, eq=False)
class StackedModels:
    """Many models of the same size and covariance structure, stacked in arrays.

    Parameters
    ----------
    template : one of the models, which defines size and structure.
    weights : weights of all models, (n, n_components).
    noise_weights : weights of the noise component, (n,); zeros without a noise component.
    means : means of all models, (n, n_components, n_features), in data units.
    covariance_arrays : covariances of all models, in the form of `Covariances.array`, (n, …), in data units².
    """

    template: Model
    weights: Array
    noise_weights: Array
    means: Array
    covariance_arrays: Array

    @classmethod
    def from_models(cls, models: Sequence[Model]) -> StackedModels:
        """Stack one or more models of the same size and structure."""
        return cls(
            models[0],
            np.array([model.weights for model in models]),
            np.array([model.noise_weight for model in models]),
            np.array([model.means for model in models]),
            np.array([model.covariances.array for model in models]),
        )

    def select(self, selected: slice) -> StackedModels:
        """Return the selected models as a stack."""
        each = (self.weights, self.noise_weights, self.means, self.covariance_arrays)
        return StackedModels(self.template, *(values[selected] for values in each))

    @cached_property
    def covariances(self) -> Covariances:
        """Return the covariances of all models, one model after another; shared covariances occur once per model."""
        return self.template.family.stacked(self.covariance_arrays, *self.means.shape[1:])

    def responsibilities(self, rows: Block, engine: Engine[Any]) -> Array:
        """Return p(k | x) under every model, (n_rows, n · n_components), by one call of the engine for all components.

        The noise component's density is the same for all rows, even if values are missing.
        """
        n, K, d = self.means.shape
        covariances = self.covariances
        if self.template.covariances.is_shared:
            covariances = covariances.take(np.repeat(np.arange(n), K))
        means = self.means.reshape(n * K, d)
        parameters = Parameters.from_mixture(self.weights.ravel(), means, covariances.whitening)
        heights = engine.component_log_density(rows, parameters).reshape(-1, n, K)
        if self.template.noise is not None:
            log_noise = np.broadcast_to(log(self.noise_weights) - self.template.noise.log_volume, heights.shape[:2])
            heights = np.concatenate((heights, log_noise[..., None]), axis=2)
        return np.asarray(softmax(heights)[..., :K].reshape(-1, n * K))

    def to_vectors(self, component_orders: Indices) -> Array:
        """Return the parameter vector of each model, (n, q), after reordering components by `component_orders`."""
        n, layout = len(self.weights), ParameterLayout.at_model(self.template)
        columns = layout.covariance_vectors(self.covariances)
        columns = columns.reshape(n, -1, columns.shape[1])
        if not layout.is_shared:
            columns = np.take_along_axis(columns, component_orders[:, :, None], axis=1)
        return np.concatenate(
            (
                np.take_along_axis(self.weights, component_orders, axis=1),
                self.noise_weights[:, None][:, : int(layout.has_noise)],
                np.take_along_axis(self.means, component_orders[:, :, None], axis=1).reshape(n, -1),
                columns.reshape(n, -1),
            ),
            axis=1,
        )
