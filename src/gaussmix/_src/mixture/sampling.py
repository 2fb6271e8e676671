"""Random sampling of rows from a mixture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.checks import Rng, check_count, generator
from gaussmix._src.engines.base import NOISE_LABEL, Engine
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.model import Model
from gaussmix._src.noise_component import NoiseComponent
from gaussmix._src.numerics.arrays import Array

Labels = NDArray[np.int64]


def sample(model: Model, n_rows: int, rng: Rng, component: int | None, engine: Engine[Any]) -> tuple[Array, Labels]:
    """Draw rows (n_rows, n_features) from all components or one component, in random order, with labels (n_rows,)."""
    count, source = check_count("n_rows", n_rows, 0), generator(rng)
    check_array_size("n_rows", count, model.n_features)
    noise = model.noise if component is None else None
    weights = model.without_noise.weights if component is None else one_component_weights(component, model.n_components)
    rows, labels = draw(weights, model.means, model.whitening, count, source, engine)
    return (rows, labels) if noise is None else _with_noise(rows, labels, noise, source)


def check_array_size(name: str, n_rows: int, n_features: int) -> None:
    """Raise ValueError if an array cannot have `n_rows` rows of `n_features` float64 values."""
    limit = int(np.iinfo(np.intp).max) // (8 * n_features)  # largest number of rows in an array
    if n_rows > limit:
        raise ValueError(f"{name}={n_rows} must be at most {limit}, which is NumPy's limit. Draw fewer rows.")


def _with_noise(rows: Array, labels: Labels, noise: NoiseComponent, rng: np.random.Generator) -> tuple[Array, Labels]:
    """Replace random rows by draws from the noise component. A noise row depends only on its index and the seeds."""
    assert noise.bounds is not None, "callers check that the bounds of the noise are known"
    seeds = rng.integers(2**64, size=1 + rows.shape[1], dtype=np.uint64)
    label_rng, *column_rngs = map(np.random.default_rng, seeds.tolist())
    is_noise = label_rng.random(len(rows)) < noise.weight
    for column, (column_rng, low, high) in enumerate(zip(column_rngs, *noise.bounds, strict=True)):
        rows[is_noise, column] = low + (high - low) * column_rng.random(len(rows))[is_noise]
    labels[is_noise] = NOISE_LABEL
    return rows, labels


def one_component_weights(component: int, n_components: int) -> Array:
    """Return weights (n_components,), 1 for `component` and 0 for all others; raises TypeError or ValueError."""
    if isinstance(component, bool) or not isinstance(component, int | np.integer):
        raise ParameterTypeError(f"component must be an index, counted from 0, not {component!r:.60}.")
    if not 0 <= component < n_components:
        raise ValueError(f"There is no component {component}: the mixture has components 0 to {n_components - 1}.")
    weights = np.zeros(n_components)
    weights[component] = 1.0
    return weights


def draw(
    weights: Array, means: Array, whitening: Whitening, n_rows: int, rng: np.random.Generator, engine: Engine[Any]
) -> tuple[Array, Labels]:
    """Draw labels by inverting the cdf, and rows x = μ_k + W_k⁻¹ z with z standard normal; Bishop (2006) section 11.1.

    The generator `rng` only supplies a key of 64 bits, from which the engine computes all random numbers. The rows are
    in random order.
    """
    key = int(rng.integers(2**64, dtype=np.uint64))
    return engine.draw(n_rows, cumulative_weights(weights), means, whitening, key)


def cumulative_weights(weights: Array) -> Array:
    """Return cumulative weights (n_components,); a number u in [0, 1) selects the first entry above u.

    A component of weight 0 is never selected. The sum of `weights` may be any positive number.
    """
    cumulative = np.cumsum(weights)
    cumulative /= cumulative[-1]
    cumulative[np.flatnonzero(weights)[-1] :] = np.inf  # otherwise rounding might leave the last entry below 1
    return cumulative
