"""Moments: weighted sums over rows, computed by an E-step. An M-step needs only these moments, not the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np

from gaussmix._src.interfaces.moment_spec import MomentSpec, Second
from gaussmix._src.numerics.arrays import Array, Indices

# Names of the fields of `BlockMoments` that are sums over rows.
_SUMS = "mass", "first", "second", "log_likelihood", "row_weight", "pass_counts", "observed", "noise_mass"


@dataclass(frozen=True, eq=False)
class BlockMoments:
    """Sums over rows x_i with weights s_i and responsibilities γ_ik, about one reference point a_k per component.

    The operator `+` adds the sums over different rows. `Engine.finish` converts the sums of all rows to `Moments`.

    Parameters
    ----------
    mass : sum of the weighted responsibilities of each component, N_k = Σ_i s_i γ_ik, (n_components,).
    first : first moments Σ_i s_i γ_ik (x_i − a_k), (n_components, n_features), in data units.
    second : second moments about the reference points, in the form that `spec` describes, in data units²; None if
        `spec.second` is `Second.NONE`.
    anchor : reference points a_k, which are subtracted from the rows, (n_components, n_features), in data units.
    log_likelihood : weighted sum Σ_i s_i log p(x_i) over the rows (not the mean), in nats.
    row_weight : sum of the row weights, Σ_i s_i.
    spec : specification of the second moments in `second`. If an engine sums second moments in a different form,
        `Engine.finish` converts them to the requested form.
    pass_counts : counts over the rows from which the engine plans the next pass; None if there are no counts.
    observed : for each feature, the sum of weighted responsibilities over the rows in which the feature is observed,
        (n_components, n_features), used to estimate missing values; None if no values are left out.
    noise_mass : sum of the weighted responsibilities of the noise component, Σ_i s_i γ_i0; 0 without a noise component.

    Notes
    -----
    Sums about a reference point near the mean avoid the loss of precision in the difference Σ γ x xᵀ / N − μ μᵀ; see
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
    noise_mass: float = 0.0

    def __add__(self, other: BlockMoments) -> Self:
        """Return the sums over the rows of both operands, about the reference points (`anchor`) of the left operand."""
        if other.anchor is not self.anchor and not np.array_equal(other.anchor, self.anchor):
            other = other.about(self.anchor)
        return replace(self, **{name: _added(getattr(self, name), getattr(other, name)) for name in _SUMS})

    def split_by_component(self, n_parts: int) -> list[Self]:
        """Split the sums into `n_parts` groups of consecutive components; `joined` restores the original sums exactly.

        No group is larger than the first group, and only the first group has the sums that are not separate for each
        component, such as the log-likelihood and pooled second moments.
        """
        n_components, second, parts = len(self.mass), self.second, list[Self]()
        is_pooled = second is not None and second.ndim == self.spec.second.n_axes
        no_totals: dict[str, Any] = dict.fromkeys(("log_likelihood", "row_weight", "noise_mass"), 0.0)
        no_totals |= {"pass_counts": None, "observed": None, "spec": replace(self.spec, projection=None)}
        without_totals = replace(self, second=None if is_pooled else second, **no_totals)
        names = ["mass", "first", "anchor", *([] if without_totals.second is None else ["second"])]
        ends = [-(-n_components * index // n_parts) for index in range(n_parts + 1)]
        for begin, end in pairwise(ends):
            own: dict[str, Any] = {name: getattr(self, name)[begin:end] for name in names}
            parts.append(replace(without_totals if parts else self, **own))
        return parts

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Join the groups of components that `split_by_component` returned. To save memory, the list is emptied."""
        first, end = parts[0], 0  # no other group is larger, so that the arrays below have enough space
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
        """Return the state for pickling, with only one triangle of each symmetric matrix of second moments."""
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
        """Return the sums after multiplication of all row weights by `factor`; `pass_counts` becomes None."""
        sums: dict[str, Any] = {name: getattr(self, name) for name in _SUMS} | {"pass_counts": None, "observed": None}
        scaled: dict[str, Any] = {name: None if each is None else factor * each for name, each in sums.items()}
        return replace(self, **scaled)

    def about(self, anchor: Array) -> Self:
        """Return the sums about the new reference points `anchor` (n_components, n_features), without reading the rows.

        The new second moments are S' = S − f fᵀ / N + f' f'ᵀ / N, where f are the old and f' the new first moments.
        """
        first = self.first - self.mass[:, None] * (anchor - self.anchor)
        if self.second is None:
            return replace(self, first=first, anchor=anchor)
        root_mass = np.sqrt(np.where(self.mass > 0, self.mass, 1.0))[:, None]
        squares = self.spec.squares
        second = self.second - squares(self.first / root_mass) + squares(first / root_mass)
        return replace(self, first=first, second=second, anchor=anchor)


def _added(one: Any, other: Any) -> Any:
    """Return the sum of two values; if one of the two values is None, return the first value."""
    return one if one is None or other is None else one + other


@dataclass(frozen=True, eq=False)
class Moments(BlockMoments):
    """Sums over all rows of a pass, as returned by `Engine.finish`, from which an M-step computes a model.

    Parameters
    ----------
    context : information about all rows that the engine needs in the next pass; see `Engine.begin_pass`.
    """

    context: Any = None

    @classmethod
    def from_sums(cls, partial: BlockMoments) -> Moments:
        """Convert sums over all rows to `Moments` without changing the sums."""
        return cls(**vars(partial))

    def means(self, default: Array) -> Array:
        """Return the weighted means (n_components, n_features); components with mass 0 get their rows of `default`."""
        has_mass = self.mass > 0
        if has_mass.all():
            return self.anchor + self.first / self.mass[:, None]
        divisor = np.where(has_mass, self.mass, 1.0)[:, None]
        return np.where(has_mass[:, None], self.anchor + self.first / divisor, default)


@dataclass(frozen=True, eq=False)
class Scatter:
    """Second moments about the *new* means, and the divisors (degrees of freedom) that convert them to covariances.

    Parameters
    ----------
    degrees : divisors that convert `second` to covariances: N_k (sum of responsibilities) plus the degrees of freedom
        that a prior adds, (n_components,). For pooled moments, only the sum of `degrees` is meaningful.
    second : second moments in the form that `spec` describes, in data units², including terms of a prior or ridge.
    n_features : number of features.
    spec : specification of the second moments in `second`.
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

    def part(self, indices: Indices) -> Scatter:
        """Return the scatter of the components at `indices` only, for second moments that are not pooled."""
        spec = self.spec
        if spec.projection is not None and len(spec.projection) > 1:
            spec = replace(spec, projection=spec.projection[indices])
        return replace(self, degrees=self.degrees[indices], second=self.second[indices], spec=spec)

    def with_ridge(self, ridge: Array) -> Scatter:
        """Return a scatter whose covariances have variances larger by `ridge` (n_features,), in data units²."""
        if not ridge.any():
            return self
        degrees = self.degrees.sum() if self.spec.is_pooled else self.degrees
        if self.spec.second is Second.TRACE:
            return replace(self, second=self.second + degrees * ridge.sum())
        second = variances = np.array(self.second)
        if self.spec.second is Second.FULL:
            variances = np.einsum("...ii->...i", second)
        elif self.spec.second is Second.PROJECTED:  # the last column contains the diagonals of the second moments
            variances = second[..., -1]
        variances += np.multiply.outer(degrees, ridge)
        return replace(self, second=second)
