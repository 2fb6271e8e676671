"""Moments, the weighted sums over rows that an E-step accumulates. An M-step sees the rows only through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from gaussmix._src.interfaces.moment_spec import MomentSpec, Second
from gaussmix._src.numerics.arrays import Array

# The fields of `BlockMoments` that are sums over rows.
_SUMS = "mass", "first", "second", "log_likelihood", "row_weight", "pass_counts", "observed", "background"


@dataclass(frozen=True, eq=False)
class BlockMoments:
    """Sums over rows i of weight s_i, shared by responsibilities γ_ik, about one anchor a_k for each component.

    `+` merges the sums of different rows. `Engine.finish` turns the sums of all rows into `Moments`.

    Parameters
    ----------
    mass : (n_components,), N_k = Σ_i s_i γ_ik.
    first : (n_components, n_features), Σ_i s_i γ_ik (x_i − a_k), data units.
    second : second moments about the anchor, as `spec` defines them, data units²; None for `Second.NONE`.
    anchor : (n_components, n_features), the points about which the sums are taken.
    log_likelihood : Σ_i s_i log p(x_i), nats, the sum over rows and not their mean.
    row_weight : Σ_i s_i.
    spec : specification of `second`. An engine may sum other second moments than the covariance structure requested;
        `Engine.finish` then derives the requested ones.
    pass_counts : counts from which the engine chooses the order of the rows in the next pass; None if it does not.
    observed : (n_components, n_features), the mass of the rows in which each feature is observed, if the sums contain
        observed values only; otherwise None. `Engine.finish` completes such sums.
    background : Σ_i s_i γ_i0, the mass of the background; 0 without a background.

    Notes
    -----
    Sums about a point near the mean avoid the cancellation of Σγxx − μμ; see
    Chan, Golub & LeVeque (1983), The American Statistician 37, eq. 1.5 and 2.1.
    """

    mass: Array
    first: Array
    second: Array | None
    anchor: Array
    log_likelihood: float
    row_weight: float
    spec: MomentSpec
    pass_counts: Array | None = None
    observed: Array | None = None
    background: float = 0.0

    def __add__(self, other: BlockMoments) -> Self:
        """Merge with the sums of other rows. The result is about the anchor of the left operand."""
        if other.anchor is not self.anchor and not np.array_equal(other.anchor, self.anchor):
            other = other.about(self.anchor)
        return replace(self, **{name: _added(getattr(self, name), getattr(other, name)) for name in _SUMS})

    def split_by_component(self, n_parts: int) -> list[Self]:
        """Split the sums into parts of consecutive components, the largest first, which merge to the same bits.

        The first part also has the sums that belong to no component, such as totals and pooled second moments.
        """
        n_components, second, parts = len(self.mass), self.second, list[Self]()
        is_pooled = second is not None and second.ndim == self.spec.second.n_axes
        nothing: dict[str, Any] = dict.fromkeys(("log_likelihood", "row_weight", "background"), 0.0)
        nothing |= {"pass_counts": None, "observed": None}
        rest = replace(self, second=None if is_pooled else second, spec=replace(self.spec, projection=None), **nothing)
        for index in range(n_parts):
            first, end = (-(-n_components * (index + more) // n_parts) for more in (0, 1))
            names = ["mass", "first", "anchor", *([] if rest.second is None else ["second"])]
            some: dict[str, Any] = {name: getattr(self, name)[first:end] for name in names}
            parts.append(replace(rest if index else self, **some))
        return parts

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Join the parts that `split_by_component` returned. The list is emptied on the way to save memory."""
        first, end = parts[0], 0
        names = ["mass", "first", "anchor", *([] if parts[-1].second is None else ["second"])]
        shapes = {name: getattr(first, name).shape for name in names}
        whole: dict[str, Any] = {name: np.empty((len(parts) * shape[0], *shape[1:])) for name, shape in shapes.items()}
        while parts:
            part = parts.pop(0)
            start, end = end, end + len(part.mass)
            for name in names:
                whole[name][start:end] = getattr(part, name)
        return replace(first, **{name: values[:end] for name, values in whole.items()})

    def __getstate__(self) -> dict[str, Any]:
        """Return the state that is sent between processes, with only a triangle of symmetric second moments."""
        state = dict(vars(self))
        second = self.second
        if second is not None and self.spec.second is Second.FULL and np.array_equal(second, second.swapaxes(-1, -2)):
            row, column = np.tril_indices(second.shape[-1])
            state |= {"second": second[..., row, column], "_packed": True}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state.pop("_packed", False):
            n_features = state["anchor"].shape[1]
            row, column = np.tril_indices(n_features)
            second = np.empty((*state["second"].shape[:-1], n_features, n_features))
            second[..., row, column] = second[..., column, row] = state["second"]
            state["second"] = second
        vars(self).update(state)

    def scaled(self, factor: float) -> Self:
        """Return the sums of the same rows with their weights multiplied by a factor, without `pass_counts`."""
        sums: dict[str, Any] = {name: getattr(self, name) for name in _SUMS} | {"pass_counts": None, "observed": None}
        scaled: dict[str, Any] = {name: None if each is None else factor * each for name, each in sums.items()}
        return replace(self, **scaled)

    def about(self, anchor: Array) -> Self:
        """Return the sums about another `anchor` (n_components, n_features), in closed form.

        With f and f' the first moments about the old and the new anchor, S' = S − f fᵀ / N + f' f'ᵀ / N.
        """
        first = self.first - self.mass[:, None] * (anchor - self.anchor)
        if self.second is None:
            return replace(self, first=first, anchor=anchor)
        root_mass = np.sqrt(np.where(self.mass > 0, self.mass, 1.0))[:, None]
        squares = self.spec.squares
        second = self.second - squares(self.first / root_mass) + squares(first / root_mass)
        return replace(self, first=first, second=second, anchor=anchor)


def _added(one: Any, other: Any) -> Any:
    """Add two values, or return the first if either of them is None."""
    return one if one is None or other is None else one + other


@dataclass(frozen=True, eq=False)
class Moments(BlockMoments):
    """Sums over all rows of a pass, finished by the engine. An M-step starts from them.

    Parameters
    ----------
    context : facts about all rows that the engine has collected for the next pass (`Engine.step`).
    """

    context: Any = None

    @classmethod
    def from_sums(cls, partial: BlockMoments) -> Moments:
        """Convert the sums of all rows if there is nothing left to complete."""
        return cls(**vars(partial))

    def means(self, default: Array) -> Array:
        """Return the weighted mean of each component, or `default` (n_components, n_features) if it has no mass."""
        has_mass = self.mass > 0
        if has_mass.all():
            return self.anchor + self.first / self.mass[:, None]
        divisor = np.where(has_mass, self.mass, 1.0)[:, None]
        return np.where(has_mass[:, None], self.anchor + self.first / divisor, default)


@dataclass(frozen=True, eq=False)
class Scatter:
    """Second moments about the *new* means with their degrees of freedom, from which a structure computes covariances.

    Parameters
    ----------
    degrees : (n_components,), divisors that turn `second` into covariances: the mass N_k plus the degrees of freedom
        that a prior adds. For pooled moments only the sum of `degrees` has a meaning.
    second : second moments as `spec` defines them, data units², including the terms of a prior or a ridge.
    n_features : number of columns.
    spec : specification of `second`.
    """

    degrees: Array
    second: Array
    n_features: int
    spec: MomentSpec

    @property
    def n_components(self) -> int:
        return len(self.degrees)

    @property
    def shape(self) -> tuple[int, int]:
        """Return the pair (n_components, n_features)."""
        return len(self.degrees), self.n_features

    def part(self, components: Sequence[int]) -> Scatter:
        """Return the scatter of the given components. The second moments must not be pooled."""
        indices, spec = list(components), self.spec
        if spec.projection is not None and len(spec.projection) > 1:
            spec = replace(spec, projection=spec.projection[indices])
        return replace(self, degrees=self.degrees[indices], second=self.second[indices], spec=spec)

    def with_ridge(self, ridge: Array) -> Scatter:
        """Add `ridge` (n_features,), data units², to every variance that is computed from this scatter."""
        if not ridge.any():
            return self
        degrees = self.degrees.sum() if self.spec.is_pooled else self.degrees
        if self.spec.second is Second.TRACE:
            return replace(self, second=self.second + degrees * ridge.sum())
        second = variances = np.array(self.second)
        if self.spec.second is Second.FULL:
            variances = np.einsum("...ii->...i", second)
        elif self.spec.second is Second.PROJECTED:  # last column, because projections contain no noise
            variances = second[..., -1]
        variances += np.multiply.outer(degrees, ridge)
        return replace(self, second=second)


Scatter.__module__ = "gaussmix.extend"  # the module from which users import the class
