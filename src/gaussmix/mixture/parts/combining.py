"""Closed forms whose result is again a mixture: linear maps, blurring, products, mixtures of mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.checks import check_finite
from gaussmix.covariances import Covariances, Dense, Diagonal, Isotropic
from gaussmix.errors import counted
from gaussmix.families.base import unconstrained
from gaussmix.mixture.parts import products
from gaussmix.model import SUM_TOLERANCE, Model, flaw_at_sight, is_symmetric
from gaussmix.numerics.factorise import factorise

_SMALLEST = np.finfo(np.float64).tiny  # of variances: smaller ones have fewer digits


def transform(model: Model, A: ArrayLike, b: ArrayLike | None) -> Model:
    """The distribution of A x + b."""
    matrix = check_finite("A", A, 2)
    if matrix.shape[1] != model.n_features or not len(matrix):
        raise ValueError(f"A must have shape (n_new_features, {model.n_features}), not {matrix.shape}.")
    offset = np.zeros(len(matrix)) if b is None else check_finite("b", b, 1)
    if offset.shape != (len(matrix),):
        raise ValueError(f"b must have shape ({len(matrix)},), not {offset.shape}.")
    _ = model.whitening  # raises SingularCovariance: a failure further on is then A's doing
    with np.errstate(over="ignore", invalid="ignore"):
        covariances, means = model.covariances.simple().transform(matrix), model.means @ matrix.T + offset
        dense = covariances.lift(Dense).each
    variances = np.diagonal(dense, axis1=1, axis2=2)[:, matrix.any(axis=1)]
    if not (np.isfinite(means).all() and np.isfinite(dense).all() and (variances >= _SMALLEST).all()):
        raise ValueError("A x + b is beyond the range of float64: rescale A.")
    dependent = factorise(dense)[2]
    if dependent.any():
        raise ValueError(
            f"The rows of A, {len(matrix)} for {counted(model.n_features, 'feature')}, depend on each other (to "
            "working precision): A x + b would have no density. Leave out rows that follow from others."
        )
    return Model(model.weights, means, covariances, unconstrained(covariances))


def convolve(model: Model, covariance: ArrayLike) -> Model:
    """The distribution of x + e with independent Gaussian noise e of mean 0."""
    noise = _noise(covariance, model.n_components, model.n_features)
    own, noise = _lifted([model.covariances.simple(), noise])
    with np.errstate(over="ignore"):
        covariances = replace(own, each=own.each + noise.each)
    if not np.isfinite(covariances.each).all():
        raise ValueError("The sum with covariance is beyond the range of float64: rescale the features.")
    return Model(model.weights, model.means, covariances, unconstrained(covariances))


def product(one: Model, other: Model) -> Model:
    """The normalised product p(x) q(x) / ∫ p q."""
    weights, means, covariances = products.product(one, other)
    return _sound(Model(weights, means, covariances, unconstrained(covariances)))


def concatenate(models: Sequence[Model], weights: ArrayLike) -> Model:
    """Σ_i w_i p_i(x), with the components of all models in their order."""
    shares = check_finite("weights", weights, 1)
    if len(shares) != len(models):
        raise ValueError(f"weights must be one for each of {len(models)} mixtures, not {len(shares)}.")
    if (shares < 0).any() or abs(shares.sum() - 1) > SUM_TOLERANCE:
        raise ValueError(f"weights must be 0 or more and sum to 1, not {shares.tolist()!r:.60}.")
    covariances = _concatenated([model.covariances.simple() for model in models])
    together = np.concatenate([share * model.weights for share, model in zip(shares, models, strict=True)])
    means = np.concatenate([model.means for model in models])
    return _sound(Model(together, means, covariances, unconstrained(covariances)))


def _sound(model: Model) -> Model:
    """The model itself; raises ValueError where rounding made it none: means overflowed, weights do not sum to 1."""
    wrong = flaw_at_sight(model.weights, model.means, model.covariances.array, model.family)
    if wrong is not None:
        raise ValueError(f"This is no mixture: {wrong}.")
    return model


def _noise(covariance: ArrayLike, n_components: int, d: int) -> Covariances:
    """A covariance that a user gives, in its least general form, shared by all components."""
    noise = check_finite("covariance", covariance)
    if noise.shape not in ((), (d,), (d, d)):
        raise ValueError(f"covariance must be a number, or of shape ({d},) or ({d}, {d}), not {noise.shape}.")
    form = (Isotropic, Diagonal, Dense)[noise.ndim]
    matrix = form(noise[None], n_components, d, is_shared=True).lift(Dense).each[0]
    if not is_symmetric(matrix):
        raise ValueError("covariance is not symmetric: give, for instance, (C + C.T) / 2.")
    deviations = np.sqrt(np.abs(np.diagonal(matrix)))
    scaled = matrix / np.multiply.outer(*2 * [np.where(deviations > 0, deviations, 1.0)])
    lowest = np.linalg.eigvalsh(scaled)[0]
    if lowest < -8 * d * np.finfo(np.float64).eps:
        raise ValueError("covariance is not positive semidefinite: no noise has it.")
    matrix = 0.5 * matrix + 0.5 * matrix.T
    if (matrix != np.diag(variances := np.diagonal(matrix))).any():
        return Dense(matrix[None], n_components, d, is_shared=True)
    if (variances != variances[0]).any():
        return Diagonal(variances[None], n_components, d, is_shared=True)
    return Isotropic(variances[:1], n_components, d, is_shared=True)


def _lifted(all_of_them: Sequence[Covariances]) -> list[Covariances]:
    """Spherical, diagonal or dense covariances in the form of the most general of them."""
    general = next(kind for kind in (Dense, Diagonal, Isotropic) if any(isinstance(c, kind) for c in all_of_them))
    return [covariances.lift(general) for covariances in all_of_them]


def _concatenated(all_of_them: Sequence[Covariances]) -> Covariances:
    """The covariances of all components together: shared where all share the same."""
    first, n_components = all_of_them[0], sum(c.n_components for c in all_of_them)
    if all(c.is_shared and type(c) is type(first) and np.array_equal(c.each, first.each) for c in all_of_them):
        return replace(first, n_components=n_components)
    lifted = _lifted(all_of_them)
    each = [np.broadcast_to(c.each, (c.n_components, *c.each.shape[1:])) for c in lifted]
    return replace(lifted[0], each=np.concatenate(each), n_components=n_components, is_shared=False)
