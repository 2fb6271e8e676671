"""The joint distribution of rows and classes, which consists of one mixture per class, and methods to classify rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines.base import Engine
from gaussmix._src.engines.complete.distant import component_log_odds, log_probabilities
from gaussmix._src.families.base import is_separate
from gaussmix._src.interfaces.block import Block
from gaussmix._src.mixture.missing_values import density_p_value
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.threads import cached_property


@dataclass(frozen=True, eq=False)
class ClassMixtures:
    """Joint distribution p(x, c) = π_c Σ_k π_{k|c} N(x | μ_k, Σ_k) of rows x and classes c, stored as one mixture.

    Parameters
    ----------
    mixture : mixture p(x) that contains the components of all classes, in the order of the classes.
    component_class : index of the class of each component, 0 … n_classes − 1, in ascending order, (n_components,).
    """

    mixture: Mixture
    component_class: NDArray[np.intp]

    @classmethod
    def from_mixtures(cls, mixtures: Sequence[Mixture], prior: Array) -> ClassMixtures:
        """Make the joint distribution from one mixture per class and the class probabilities (n_classes,).

        The joint mixture has the covariance structure of the classes if all classes have the same structure, and if
        components of this structure share no parameters. Otherwise, the covariances of the joint mixture are
        unconstrained.
        """
        sizes, family = [mixture.n_components for mixture in mixtures], mixtures[0].family
        classes = np.repeat(np.arange(len(mixtures)), sizes)
        has_one_family = all(mixture.family == family for mixture in mixtures)
        if not has_one_family or not is_separate(family, mixtures[0].n_features):
            return cls(Mixture.concatenate(mixtures, prior), classes)
        arrays = [(each.weights, each.means, each.covariances) for each in mixtures]
        weights, means, covariances = (np.concatenate(part) for part in zip(*arrays, strict=True))
        return cls(Mixture(prior[classes] * weights, means, covariances, family), classes)

    @cached_property
    def prior(self) -> Array:
        """Return the probabilities of the classes, (n_classes,), which are positive and sum to 1."""
        return np.asarray(np.bincount(self.component_class, self.mixture.weights).astype(np.float64))

    def with_prior(self, prior: Array) -> ClassMixtures:
        """Return a copy with the class probabilities `prior`, (n_classes,)."""
        weights = self._weights_within * prior[self.component_class]
        mixture = self.mixture
        return ClassMixtures(Mixture(weights, mixture.means, mixture.covariances, mixture.family), self.component_class)

    @cached_property
    def each(self) -> list[Mixture]:
        """Return one mixture p(x | c) per class c."""
        indices = [np.flatnonzero(self.component_class == index) for index in range(len(self.prior))]
        parts = [replace(self.mixture._model.take(own), weights=self._weights_within[own]) for own in indices]
        return [Mixture._from_model(part, self.mixture.feature_names) for part in parts]

    def log_odds(self, block: Block, engine: Engine[Any]) -> Array:
        """Return log p(x, c) plus a constant per row, (n_rows, n_classes), in nats, from `component_log_odds`."""
        first = np.searchsorted(self.component_class, np.arange(self.component_class[-1] + 1))
        result, parameters = np.empty((block.n_rows, len(first))), self.mixture.parameters
        for part in block.on_host().split():
            indices = slice(part.first_row - block.first_row, part.row_slice.stop - block.first_row)
            log_odds = component_log_odds(part, parameters, engine)
            result[indices] = np.logaddexp.reduceat(log_odds, first, axis=1)
        return result

    def log_probability(self, block: Block, engine: Engine[Any]) -> Array:
        """Return the log probabilities of the classes of each row, log p(c | x), (n_rows, n_classes), in nats."""
        return log_probabilities(self.log_odds(block, engine))

    def probability(self, block: Block, engine: Engine[Any]) -> Array:
        """Return the probabilities of the classes of each row, p(c | x), (n_rows, n_classes)."""
        return np.exp(self.log_probability(block, engine))

    def density_p_value(self, block: Block) -> Array:
        """Return (n_rows, n_classes) probabilities that a draw from the class has a lower density than the row."""
        return np.column_stack([density_p_value(block.rows, mixture) for mixture in self.each])

    def labels(self, block: Block, engine: Engine[Any], names: NDArray[Any], level: float) -> NDArray[Any]:
        """Return the name of the most probable class of each row, (n_rows,).

        If the density p-value of a row is below `level` in every class, the row gets the last name in `names`.
        """
        best = self.log_odds(block, engine).argmax(axis=1)
        if level > 0:
            best[self.density_p_value(block).max(axis=1) < level] = len(names) - 1
        return np.asarray(names[best])

    @property
    def _weights_within(self) -> Array:
        """Return the weights π_{k|c}, which sum to 1 within each class, (n_components,)."""
        return np.asarray(self.mixture.weights / self.prior[self.component_class])
