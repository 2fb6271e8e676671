"""Random parameters and moment specifications for every factor shape, and simple mixtures and rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from common import FactorShape, Model, Second
from numpy.typing import ArrayLike

from gaussmix import Mixture
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.testing.check_family import updated
from gaussmix.extend import Covariances, Dense, Diagonal, Family, Isotropic, LowRank, MomentSpec

SPECS = [MomentSpec(Second.NONE)]
SPECS += [MomentSpec(s, pooled) for s in Second if s is not Second.NONE for pooled in (False, True)]
N_FACTORS = [1, 2, 3, 4, 5, 9]
FORMS: dict[FactorShape, type[Covariances]] = {  # classes of the covariances whose whitening has these factors
    FactorShape.SPHERICAL: Isotropic,
    FactorShape.DIAGONAL: Diagonal,
    FactorShape.TRIANGULAR: Dense,
    FactorShape.LOW_RANK: LowRank,
}


def random_spec(rng: np.random.Generator, spec: MomentSpec, n_components: int, n_features: int) -> MomentSpec:
    """Return `spec`, with a random projection if it needs one; pooled moments share a single projection."""
    if spec.second is not Second.PROJECTED:
        return spec
    shape = 1 if spec.is_pooled else n_components, int(rng.choice(N_FACTORS)), n_features
    return replace(spec, projection=rng.normal(size=shape))


def random_parameters(
    rng: np.random.Generator, n_components: int, n_features: int, factor_shape: FactorShape, is_shared: bool = False
) -> Parameters:
    """Draw parameters whose means are some standard deviations apart, with condition numbers below about 100."""
    means = rng.normal(0.0, 2.0, size=(n_components, n_features))
    each = random_covariances(rng, 1 if is_shared else n_components, n_features, factor_shape)
    covariances = FORMS[factor_shape](each, n_components, n_features, is_shared)
    return Parameters.from_mixture(rng.dirichlet(np.full(n_components, 3.0)), means, covariances.whitening)


def random_covariances(rng: np.random.Generator, count: int, n_features: int, factor_shape: FactorShape) -> Array:
    """Draw `count` covariances in the form of `Covariances.each`."""
    if factor_shape is FactorShape.SPHERICAL:
        return rng.uniform(0.3, 3.0, size=count)
    if factor_shape is FactorShape.DIAGONAL:
        return rng.uniform(0.3, 3.0, size=(count, n_features))
    if factor_shape is FactorShape.LOW_RANK:  # arrays of the form [loadings | noise]
        loadings = rng.normal(size=(count, n_features, min(int(rng.choice(N_FACTORS)), n_features)))
        return np.concatenate((loadings, rng.uniform(0.3, 3.0, size=(count, n_features, 1))), axis=2)
    factors = rng.normal(size=(count, n_features, n_features)) / np.sqrt(n_features)
    return factors @ factors.transpose(0, 2, 1) + 0.3 * np.eye(n_features)


def unit_mixture(family: Family, means: ArrayLike) -> Model:
    """Return a mixture with equal weights and unit covariances around the means."""
    n_components, n_features = np.shape(means)
    covariances = updated(family, np.ones(n_components), np.repeat(np.eye(n_features)[None], n_components, axis=0))
    return Mixture(np.full(n_components, 1 / n_components), np.array(means), covariances.array, family)._model


def normal_and_equal_rows(rng: np.random.Generator, n_equal: int = 12) -> Array:
    """Return 60 normal rows around 0, and equal rows at 6."""
    return np.concatenate([rng.normal(size=(60, 2)), np.full((n_equal, 2), 6.0)])
