"""The components of a mixture, one by one: each is a mixture of one component."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import counted
from gaussmix.mixture.base import MixtureBase
from gaussmix.model import Model


class Components(MixtureBase):
    """Components by number, and in turn."""

    def __len__(self) -> int:
        """Number of components; noise is none."""
        return self.n_components

    def __getitem__(self, component: int | slice) -> Self:
        """A component as a mixture of one, of weight 1; of a slice, a mixture whose weights sum to 1.

        Structure and feature names stay. Noise is not among the components.

        Parameters
        ----------
        component : its number, from the end where negative; or a slice of numbers.

        Raises
        ------
        IndexError : there is no such component.
        TypeError : component is neither a number nor a slice.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.25, 0.25, 0.5], [[0.0], [4.0], [9.0]], [1.0, 1.0, 4.0], FAMILIES["spherical"])
        >>> m[-1]
        <Mixture: 1 component, spherical, 1 feature, weight 1>
        >>> m[1:].weights.round(4)
        array([0.3333, 0.6667])
        """
        K = self.n_components
        if isinstance(component, slice):
            places = [*range(K)[component]]
            if not places:
                raise IndexError(f"The slice has no component: the mixture has {counted(K, 'component')}.")
        elif isinstance(component, bool | np.bool_) or not isinstance(component, int | np.integer):
            raise TypeError(f"A component is a number or a slice of numbers, not {component!r:.60}.")
        elif not -K <= component < K:
            raise IndexError(f"There is no component {component}: the mixture has {K}, counted from 0.")
        else:
            places = [int(component) % K]
        some = self.model.take(places)
        total = some.weights.sum()
        weights = some.weights / total if total > 0 else np.full(len(places), 1 / len(places))
        return self._like(Model(weights, some.means, some.covariances, self.family), self.feature_names)

    def __iter__(self) -> Iterator[Self]:
        """Each component in turn, as a mixture of one."""
        return map(self.__getitem__, range(self.n_components))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.object_]:
        """The mixture as one object: NumPy would take it for a sequence of sequences without end."""
        alone = np.empty((), dtype=object)
        alone[()] = self
        return alone
