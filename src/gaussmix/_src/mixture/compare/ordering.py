"""Functions that order components, either canonically or to match the components of a reference mixture."""

from __future__ import annotations

import numpy as np

from gaussmix._src.errors import ParameterTypeError, unknown_name
from gaussmix._src.mixture.compare.gaussians import Gaussians, kl_divergences
from gaussmix._src.mixture.features import Feature, feature_indices
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Indices

_ORDERS = ("weight", "mean", "size")
SIZE_ROUNDING = 1e-9  # log determinants that differ by at most this count as equal


def canonical_order(
    model: Model, by: str, feature: Feature | None, names: tuple[str, ...] | None, *, reverse: bool
) -> Indices:
    """Return indices (n_components,) that sort the components, whatever their current order is.

    Raises ValueError or TypeError if `by` or `feature` is not valid.
    """
    if by not in _ORDERS:
        raise unknown_name("by", by, _ORDERS)
    if feature is not None and by != "mean":
        raise ValueError(f"feature={feature!r:.60} requires by='mean', but by={by!r}.")
    keys = [*model.means.T, model.weights]
    if not model.family.is_shared:
        keys += [*model.covariances.array.reshape(model.n_components, -1).T]
    if by == "mean" and feature is not None:
        if not isinstance(feature, str | int | np.integer):
            raise ParameterTypeError(f"feature must be the index or the name of one feature, not {feature!r:.60}.")
        keys.insert(0, model.means[:, feature_indices(feature, model.n_features, names)[0]])
    elif by == "weight":
        keys.insert(0, -model.weights)
    elif by == "size":
        log_abs_det = np.broadcast_to(model.whitening.log_abs_det, model.n_components)
        values, inverse = np.unique(log_abs_det, return_inverse=True)
        keys.insert(0, np.cumsum(np.diff(values, prepend=values[0]) > SIZE_ROUNDING)[inverse])
    order = np.lexsort(keys[::-1])
    return order[::-1] if reverse else order


def matched_order(model: Model, reference: Model) -> Indices:
    """Return indices (n_components,) that move each component to the position of its match in the reference.

    Components without a match come last, sorted by decreasing weight.
    """
    from scipy.optimize import linear_sum_assignment  # imported here because the import is slow

    if reference.n_components > model.n_components:
        raise ValueError(
            f"The reference has {reference.n_components} components, but this mixture has only {model.n_components}: "
            "call reference.match_to(mixture) instead."
        )
    p, q = Gaussians.pair(reference, model)
    cost = p.weights[:, None] * (p.log_weights[:, None] - q.log_weights + kl_divergences(p, q))
    rows, columns = linear_sum_assignment(cost)
    columns = np.flatnonzero(model.weights > 0)[columns]
    order = np.full(model.n_components, -1, dtype=np.intp)
    order[np.flatnonzero(reference.weights > 0)[rows]] = columns
    left = np.setdiff1d(np.arange(model.n_components), columns)
    order[order < 0] = left[np.argsort(-model.weights[left], kind="stable")]
    return order
