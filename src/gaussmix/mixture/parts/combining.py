"""Mixtures made of others: transformed, blurred, multiplied, put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.covariances import Covariances, Dense, Diagonal, Spherical
from gaussmix.families.base import unconstrained
from gaussmix.mixture.parts import products
from gaussmix.mixture.values import Values, common_names
from gaussmix.model import SUM_TOLERANCE, is_symmetric
from gaussmix.numerics.arrays import Array
from gaussmix.numerics.factorise import factorise

_SMALLEST = np.finfo(np.float64).tiny  # of variances: those below have fewer digits


class Combining(Values):
    """Closed forms whose result is again a mixture."""

    def transform(self, A: ArrayLike, b: ArrayLike | None = None) -> Self:
        """The distribution of A x + b.

        Parameters
        ----------
        A : (n_new_features, n_features), of linearly independent rows: as many as there are features, or fewer.
        b : (n_new_features,), data units; zeros by default.

        Returns
        -------
        transformed : N(A μ_k + b, A Σ_k Aᵀ) of each component, without names. One shared covariance stays shared, a
            diagonal one diagonal where A only scales, drops and reorders features.

        Raises
        ------
        ValueError : A or b have another shape, are not finite, A's rows depend on each other, so that A x + b has no
            density, or it is beyond the range of float64.
        TypeError : A or b are not real numbers.
        SingularCovariance : a covariance is not positive definite.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"])
        >>> difference = m.transform([[-1.0, 1.0]])
        >>> difference.means, difference.covariances
        (array([[3.]]), array([[[9.]]]))
        """
        matrix = _numbers("A", A, 2)
        if matrix.shape[1] != self.n_features or not len(matrix):
            raise ValueError(f"A must have shape (n_new_features, {self.n_features}), not {matrix.shape}.")
        offset = np.zeros(len(matrix)) if b is None else _numbers("b", b, 1)
        if offset.shape != (len(matrix),):
            raise ValueError(f"b must have shape ({len(matrix)},), not {offset.shape}.")
        _ = self.whitening  # raises SingularCovariance: what follows is then A's doing
        with np.errstate(over="ignore", invalid="ignore"):
            covariances, means = self.model.covariances.simple().transform(matrix), self.means @ matrix.T + offset
            dense = covariances.lift(Dense).each
        variances = np.diagonal(dense, axis1=1, axis2=2)[:, matrix.any(axis=1)]
        if not (np.isfinite(means).all() and np.isfinite(dense).all() and (variances >= _SMALLEST).all()):
            raise ValueError("A x + b is beyond the range of float64: rescale A.")
        dependent = factorise(dense)[2]
        if dependent.any():
            raise ValueError(
                f"The rows of A, {len(matrix)} for {self.n_features} features, depend on each other (to working "
                "precision): A x + b would have no density. Leave out rows that follow from others."
            )
        return type(self)(self.weights, means, covariances.array, unconstrained(covariances))

    def convolve(self, covariance: ArrayLike) -> Self:
        """The distribution of x + e with independent Gaussian noise e of mean 0: a blurred mixture.

        Parameters
        ----------
        covariance : of e, data units²: one variance for all features, (n_features,) variances, or a matrix
            (n_features, n_features), symmetric and positive semidefinite: features may be without noise.

        Returns
        -------
        blurred : Σ_k + covariance of each component, with the names of the features. Diagonal, spherical and shared
            covariances stay so where the sum is.

        Raises
        ------
        ValueError : covariance has another shape, is not finite, symmetric or positive semidefinite, or the sum is
            beyond the range of float64.
        TypeError : covariance is not real numbers.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.convolve(0.5).covariances
        array([1.5, 1.5])
        """
        own, noise = _lifted([self.model.covariances.simple(), self._noise(covariance)])
        with np.errstate(over="ignore"):
            covariances = replace(own, each=own.each + noise.each)
        if not np.isfinite(covariances.each).all():
            raise ValueError("The sum with covariance is beyond the range of float64: rescale the features.")
        family = unconstrained(covariances)
        return type(self)(self.weights, self.means, covariances.array, family, self.feature_names)

    def product(self, other: Self) -> Self:
        """The normalised product p(x) q(x) / ∫ p q: what two independent sources say of x together.

        Parameters
        ----------
        other : q, a mixture of the same features.

        Returns
        -------
        product : a component for each pair, those of the first component with every one of `other` first. Covariances
            stay diagonal or spherical where both are, and shared where both are.

        Raises
        ------
        ValueError : the features are not the same, or the mixtures are more than 1e4 standard deviations apart, where
            the weights of pairs would have no digits.
        TypeError : other is not a mixture.
        SingularCovariance : a covariance is not positive definite.

        Notes
        -----
        Bishop (2006) eq. 2.113–2.117 for each pair; the weights are π_i ρ_j N(μ_i | ν_j, Σ_i + T_j), normalised.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> sharper = m.product(Mixture([1.0], [[1.0]], [1.0], FAMILIES["spherical"]))
        >>> sharper.means.ravel(), sharper.weights.round(3)
        (array([0.5, 2.5]), array([0.881, 0.119]))
        """
        names = common_names([self, other])
        weights, means, covariances = products.product(self, other)
        return type(self)(weights, means, covariances.array, unconstrained(covariances), names)

    @classmethod
    def concatenate(cls, mixtures: Iterable[Self], weights: ArrayLike) -> Self:
        """The mixture of mixtures, Σ_i w_i p_i(x), with the components of all, in their order.

        Parameters
        ----------
        mixtures : one or more of the same features.
        weights : w, one for each; sum to 1.

        Returns
        -------
        mixture : covariances stay diagonal or spherical where all are; shared where all share the same.

        Raises
        ------
        ValueError : there are none, their features are not the same, or weights are not as many or don't sum to 1.
        TypeError : something is not a mixture, or weights are not real numbers.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> Mixture.concatenate([m, m.convolve(2.0)], [0.75, 0.25]).weights
        array([0.375, 0.375, 0.125, 0.125])
        """
        mixtures = list(mixtures)
        names = common_names(mixtures)
        shares = _numbers("weights", weights, 1)
        if len(shares) != len(mixtures):
            raise ValueError(f"weights must be one for each of {len(mixtures)} mixtures, not {len(shares)}.")
        if (shares < 0).any() or abs(shares.sum() - 1) > SUM_TOLERANCE:
            raise ValueError(f"weights must be 0 or more and sum to 1, not {shares.tolist()!r:.60}.")
        covariances = _concatenated([m.model.covariances.simple() for m in mixtures])
        together = np.concatenate([share * m.weights for share, m in zip(shares, mixtures, strict=True)])
        means = np.concatenate([m.means for m in mixtures])
        return cls(together, means, covariances.array, unconstrained(covariances), names)

    def _noise(self, covariance: ArrayLike) -> Covariances:
        """A covariance that a user gives, in its least general form, shared by all components."""
        noise, d = _numbers("covariance", covariance, None), self.n_features
        if noise.shape not in ((), (d,), (d, d)):
            raise ValueError(f"covariance must be a number, or of shape ({d},) or ({d}, {d}), not {noise.shape}.")
        form = (Spherical, Diagonal, Dense)[noise.ndim]
        matrix = form(noise[None], self.n_components, d, is_shared=True).lift(Dense).each[0]
        if not is_symmetric(matrix):
            raise ValueError("covariance is not symmetric: give, for instance, (C + C.T) / 2.")
        deviations = np.sqrt(np.abs(np.diagonal(matrix)))
        scaled = matrix / np.multiply.outer(*2 * [np.where(deviations > 0, deviations, 1.0)])
        lowest = np.linalg.eigvalsh(scaled)[0]
        if lowest < -8 * d * np.finfo(np.float64).eps:
            raise ValueError("covariance is not positive semidefinite: no noise has it.")
        matrix = 0.5 * matrix + 0.5 * matrix.T
        if (matrix != np.diag(variances := np.diagonal(matrix))).any():
            return Dense(matrix[None], self.n_components, d, is_shared=True)
        if (variances != variances[0]).any():
            return Diagonal(variances[None], self.n_components, d, is_shared=True)
        return Spherical(variances[:1], self.n_components, d, is_shared=True)


def _lifted(all_of_them: Sequence[Covariances]) -> list[Covariances]:
    """Covariances, which are spherical, diagonal or dense, in the form of the most general."""
    general = next(kind for kind in (Dense, Diagonal, Spherical) if any(isinstance(c, kind) for c in all_of_them))
    return [covariances.lift(general) for covariances in all_of_them]


def _concatenated(all_of_them: Sequence[Covariances]) -> Covariances:
    """The covariances of all components together: shared where all share the same."""
    first, n_components = all_of_them[0], sum(c.n_components for c in all_of_them)
    if all(c.is_shared and type(c) is type(first) and np.array_equal(c.each, first.each) for c in all_of_them):
        return replace(first, n_components=n_components)
    lifted = _lifted(all_of_them)
    each = [np.broadcast_to(c.each, (c.n_components, *c.each.shape[1:])) for c in lifted]
    return replace(lifted[0], each=np.concatenate(each), n_components=n_components, is_shared=False)


def _numbers(name: str, values: ArrayLike, n_axes: int | None) -> Array:
    """Finite real numbers in float64; raises TypeError or ValueError."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real numbers, not {array.dtype}.")
    if n_axes is not None and array.ndim != n_axes:
        raise ValueError(f"{name} must have {n_axes} ax{'i' if n_axes == 1 else 'e'}s, not the shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity: give finite numbers.")
    return array.astype(np.float64)
