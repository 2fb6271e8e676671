"""What a mixture is: its numbers, checked once, and what an E-step needs of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.families.base import Family
from gaussmix.mixture.features import Features, check_order, checked_names, places
from gaussmix.mixture.line.line import Line
from gaussmix.model import Model, flaw_at_sight
from gaussmix.numerics.arrays import Array, Rows, frozen
from gaussmix.numerics.pieces import copied
from gaussmix.numerics.rows import first_beyond, in_whole_steps
from gaussmix.waist.block import Block
from gaussmix.waist.parameters import Parameters
from gaussmix.waist.whitening.base import Whitening

_ARRAYS = ("weights", "means", "covariances")


@dataclass(frozen=True, eq=False)
class Values:
    """Numbers that make a mixture; the parts of `Mixture` stand on it, a subject each."""

    weights: Array
    means: Array
    covariances: Array
    family: Family
    feature_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.family, Family):
            raise TypeError(f'family must be a covariance structure, such as FAMILIES["full"], not {self.family!r}.')
        for name in _ARRAYS:  # copied, so that nobody else can write to them
            object.__setattr__(self, name, frozen(copied(np.asarray(getattr(self, name)))))
        wrong = flaw_at_sight(*self._numbers)
        if wrong is not None:
            raise ValueError(f"This is no mixture: {wrong}.")
        if self.feature_names is not None:
            object.__setattr__(self, "feature_names", checked_names(self.feature_names, self.n_features))

    @classmethod
    def of(cls, model: Model, feature_names: tuple[str, ...] | None = None) -> Self:
        """The distribution of a model, which is right: nothing is checked or copied."""
        mixture = object.__new__(cls)
        arrays = model.weights, model.means, model.covariances.array
        for name, array in zip(_ARRAYS, arrays, strict=True):
            object.__setattr__(mixture, name, array)
        object.__setattr__(mixture, "family", model.family)
        object.__setattr__(mixture, "feature_names", feature_names)
        vars(mixture)["model"] = model
        return mixture

    @cached_property
    def model(self) -> Model:
        """The numbers and their structure, as EM, engines and files share them."""
        covariances = self.family.covariances(self.covariances, *self.means.shape)
        return Model(self.weights, self.means, covariances, self.family)

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        return type(self), (*self._numbers, self.feature_names)  # read-only again when it wakes

    def with_feature_names(self, names: Iterable[str] | None) -> Self:
        """The same mixture with names for its features.

        Parameters
        ----------
        names : one for each feature, in order; None for none.

        Raises
        ------
        ValueError : too many or too few names.
        TypeError : a name is not text.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[1.0, 4.0]], FAMILIES["diag"]).with_feature_names(["height", "weight"])
        >>> m.feature_names
        ('height', 'weight')
        """
        named = object.__new__(type(self))
        vars(named).update(vars(self))  # with the factors, where they are known
        vars(named)["feature_names"] = None if names is None else checked_names(names, self.n_features)
        return named

    def _places(self, features: Features) -> NDArray[np.intp]:
        """Where features stand that are named or numbered, (n,); raises ValueError or TypeError."""
        return places(features, self.n_features, self.feature_names)

    def _with_components(self, places: NDArray[np.intp]) -> Self:
        """A mixture of some of the components, in this order; the others have no weight."""
        return self.of(self.model.take(places), self.feature_names)

    @property
    def _numbers(self) -> tuple[Array, Array, Array, Family]:
        return self.weights, self.means, self.covariances, self.family

    @property
    def n_components(self) -> int:
        """Number of components K."""
        return len(self.weights)

    @property
    def n_features(self) -> int:
        """Number of features d."""
        return int(self.means.shape[1])

    @property
    def n_parameters(self) -> int:
        """Free parameters: K − 1 weights, K·d means and what the family counts for the covariances."""
        return self.model.n_parameters

    @property
    def whitening(self) -> Whitening:
        """Factors W_k with Σ_k⁻¹ = W_kᵀ W_k."""
        return self.model.whitening

    @property
    def parameters(self) -> Parameters:
        """What an engine needs for the E-step."""
        return self.model.parameters

    @cached_property
    def _line(self) -> Line:
        """The mixture of one feature, as a distribution on the line."""
        deviations = np.sqrt(self.model.covariances.variances())
        return Line.of(self.weights, self.means[:, 0], deviations[:, 0])

    def _block(self, rows: ArrayLike, name: str = "rows") -> Block:
        """Rows as engines take them; raises ValueError or TypeError, which call them by their name."""
        check_order(rows, self.feature_names, name)
        array: Rows = np.asarray(rows)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name} must be real numbers, not {array.dtype}.")
        if array.dtype not in (np.float32, np.float64) or not array.dtype.isnative:
            array = array.astype(np.float64)
        if array.ndim != 2 or array.shape[1] != self.n_features:
            raise ValueError(f"{name} must have shape (n_rows, {self.n_features}), not {array.shape}.")
        cell = first_beyond(array, float(np.finfo(np.float64).max))
        if cell is not None:
            raise ValueError(f"{name} holds {array[cell]} in row {cell[0]}, column {cell[1]}: give finite numbers.")
        return Block(0, in_whole_steps(array))


def common_names(mixtures: Sequence[object]) -> tuple[str, ...] | None:
    """The names that mixtures of the same features have; raises TypeError or ValueError where they are not that."""
    if not len(mixtures):
        raise ValueError("Give at least one mixture.")
    known = [mixture for mixture in mixtures if isinstance(mixture, Values)]
    if len(known) < len(mixtures):
        other = next(mixture for mixture in mixtures if not isinstance(mixture, Values))
        raise TypeError(f"A mixture is needed, not {other!r:.60}.")
    sizes = sorted({mixture.n_features for mixture in known})
    if len(sizes) > 1:
        raise ValueError(f"These mixtures have {' and '.join(map(str, sizes))} features: they must have the same.")
    names = {mixture.feature_names for mixture in known if mixture.feature_names is not None}
    if len(names) > 1:
        first, second = sorted(names)[:2]
        raise ValueError(
            f"These mixtures have other features, {list(first)!r:.60} and {list(second)!r:.60}: bring them into one "
            "order by marginal, or give them the same names by with_feature_names."
        )
    return names.pop() if names else None
