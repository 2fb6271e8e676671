"""Births of components: a component is split in two, based on a sample of the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.bayes.variational_posterior import VariationalPosterior
from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.core import native_target
from gaussmix._src.numerics.threads import cached_property


@dataclass(frozen=True, eq=False)
class BirthProposals:
    """Proposals of births, computed from sampled rows; `rng` draws the positions at which components are cut."""

    sample: DistinctRows
    rng: np.random.Generator

    @cached_property
    def _feature_scale(self) -> Array:
        """Return the standard deviation of each feature in the sample, (n_features,), in data units, never 0."""
        return np.sqrt(np.maximum(self.sample.imputed.var(axis=0), np.finfo(np.float64).tiny))

    @cached_property
    def _is_complete(self) -> NDArray[np.bool_]:
        return np.asarray(~np.isnan(self.sample.rows).any(axis=1))

    def split_components(
        self, posterior: VariationalPosterior, labels: NDArray[np.int64], components: Indices
    ) -> tuple[VariationalPosterior, Indices] | None:
        """Split the given components in two; return the new posterior and the parent of each component.

        The parent is the index of the component that was split, or −1 for a component that was not split. The result is
        None if no component can be split. `labels`, (n_distinct,), are the most probable components of the sampled
        rows.
        """
        prior, sample = posterior.prior, self.sample
        algebra = prior.family.algebra
        assert algebra is not None, "structures with a conjugate prior have an algebra"
        uniform = self.rng.random((len(components), 3 * (1 + len(self._feature_scale))))
        sample_arguments = sample.imputed, sample.weight, self._is_complete, self._feature_scale
        split, *pairs = native_target().split_components(*sample_arguments, algebra, labels, components, uniform)
        if not split.size:
            return None
        weights, half_means, half_forms = (values.reshape(len(split), 2, -1) for values in pairs)
        weights, half_forms = weights[..., 0], half_forms.reshape(len(split), 2, *posterior.covariances.each.shape[1:])
        masses, n_before = posterior.counts[split, None] * weights, len(posterior.counts)
        mass, means = np.append(posterior.counts, masses[:, 1]), np.concatenate((posterior.means, half_means[:, 1]))
        mass[split], means[split] = masses[:, 0], half_means[:, 0]
        shape = (1,) * (half_forms.ndim - 2)
        if posterior.covariances.is_shared:
            within = np.repeat(posterior.covariances.each, n_before, axis=0)  # n_before copies of the shared covariance
            within[split] = (weights.reshape(*weights.shape, *shape) * half_forms).sum(axis=1)
            each = prior.scale + (posterior.counts.reshape(-1, *shape) * within).sum(axis=0, keepdims=True)
            each = each / posterior.dof[0]
        else:
            masses = masses.reshape(*masses.shape, *shape)
            half_covariances = (prior.scale + masses * half_forms) / (prior.dof + masses)
            each = np.concatenate((posterior.covariances.each, half_covariances[:, 1]))
            each[split] = half_covariances[:, 0]
        covariances = replace(posterior.covariances, each=each, n_components=len(mass))
        parents = np.append(np.full(n_before, -1), split)
        parents[split] = split
        return replace(posterior, counts=mass, means=means, covariances=covariances), parents
