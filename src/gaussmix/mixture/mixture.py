"""A Gaussian mixture as an immutable value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.engines import choose
from gaussmix.families.base import Family
from gaussmix.formats import Place
from gaussmix.mixture import files
from gaussmix.mixture.sampling import sample
from gaussmix.mixture.soundness import flaw_at_sight
from gaussmix.waist.arrays import Array, Rows, frozen
from gaussmix.waist.block import Block
from gaussmix.waist.parameters import Parameters
from gaussmix.waist.pieces import copied
from gaussmix.waist.rows import first_beyond, in_whole_steps
from gaussmix.waist.whitening import Whitening

_ARRAYS = ("weights", "means", "covariances")


def free_parameters(family: Family, n_components: int, n_features: int) -> int:
    """Free parameters of a mixture of some size."""
    return n_components - 1 + n_components * n_features + family.n_parameters(n_components, n_features)


@dataclass(frozen=True, eq=False)
class Mixture:
    """p(x) = Σ_k π_k N(x | μ_k, Σ_k), Bishop (2006) eq. 9.7.

    Parameters
    ----------
    weights : (n_components,), π_k; sum to 1.
    means : (n_components, n_features), μ_k, data units.
    covariances : Σ_k in the compact form of the family (`family.shape`), data units².
    family : the covariance structure, a member of `gaussmix.families.FAMILIES`.

    Raises
    ------
    ValueError
        Shapes don't go together, a number is not finite, a weight is negative or they don't sum to 1.
    TypeError
        `family` is not a `Family`.
    SingularCovariance
        At the first use of a density, where a covariance is not positive definite.

    Notes
    -----
    The arrays are read-only: a changed mixture is a new one.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import Mixture, FAMILIES
    >>> m = Mixture(np.array([0.5, 0.5]), np.array([[0.0], [4.0]]), np.array([1.0, 1.0]), FAMILIES["spherical"])
    >>> m.predict([[0.3], [3.0]])
    array([0, 1])
    >>> m.log_density([[2.0]]).round(4)
    array([-2.9189])
    """

    weights: Array
    means: Array
    covariances: Array
    family: Family

    def __post_init__(self) -> None:
        if not isinstance(self.family, Family):
            raise TypeError(f'family must be a covariance structure, such as FAMILIES["full"], not {self.family!r}.')
        for name in _ARRAYS:  # copied, so that nobody else can write to them
            object.__setattr__(self, name, frozen(copied(np.asarray(getattr(self, name)))))
        wrong = flaw_at_sight(*self._numbers)
        if wrong is not None:
            raise ValueError(f"This is no mixture: {wrong}.")

    @classmethod
    def _trusted(cls, weights: Array, means: Array, covariances: Array, family: Family) -> Self:
        """A mixture of arrays that are right and nobody else's: neither checked nor copied. For EM's steps."""
        mixture = object.__new__(cls)
        for name, array in zip(_ARRAYS, (weights, means, covariances), strict=True):
            object.__setattr__(mixture, name, frozen(array))
        object.__setattr__(mixture, "family", family)
        return mixture

    def __reduce__(self) -> tuple[type[Mixture], tuple[Array, Array, Array, Family]]:
        return type(self), self._numbers  # read-only again when it wakes

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
        return free_parameters(self.family, self.n_components, self.n_features)

    @cached_property
    def whitening(self) -> Whitening:
        """Factors W_k with Σ_k⁻¹ = W_kᵀ W_k."""
        return self.family.whitening(self.covariances, self.n_features)

    @cached_property
    def parameters(self) -> Parameters:
        """What an engine needs for the E-step."""
        variances = self.family.variances(self.covariances, self.n_components, self.n_features)
        return Parameters.of(self.weights, self.means, self.whitening, np.sqrt(variances))

    def log_density(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """log p(x) of each row.

        Parameters
        ----------
        rows : (n_rows, n_features), data units.
        n_jobs : threads; None for every processor.

        Returns
        -------
        log_density : (n_rows,), nats (per unit of data volume).

        Raises
        ------
        ValueError : rows are not finite numbers of shape (n_rows, n_features).
        TypeError : rows are not real numbers.
        """
        return choose(n_jobs).log_density(self._block(rows), self.parameters)

    def component_log_density(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """log N(x | μ_k, Σ_k) of each row and component, without weights; (n_rows, n_components), nats."""
        equal = Parameters.of(np.ones(self.n_components), self.means, self.whitening)
        return choose(n_jobs).component_log_density(self._block(rows), equal)

    def responsibilities(self, rows: ArrayLike, *, n_jobs: int | None = None) -> Array:
        """p(k | x), Bishop (2006) eq. 9.13; (n_rows, n_components), rows sum to 1."""
        return choose(n_jobs).responsibilities(self._block(rows), self.parameters)

    def predict(self, rows: ArrayLike, *, n_jobs: int | None = None) -> NDArray[np.int64]:
        """The most probable component of each row, (n_rows,); the first of equals."""
        return choose(n_jobs).labels(self._block(rows), self.parameters)

    def sample(
        self, n_rows: int, rng: np.random.Generator, *, n_jobs: int | None = None
    ) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows, in random order.

        Parameters
        ----------
        n_rows : how many.
        rng : source of randomness, for instance `numpy.random.default_rng(0)`. In the same state it gives the same
            rows, and those of a smaller draw are the first of a larger one.
        n_jobs : threads; None for every processor. They change no bit.

        Returns
        -------
        rows : (n_rows, n_features), data units.
        labels : (n_rows,), the component each row was drawn from.
        """
        return sample(self.weights, self.means, self.whitening, n_rows, rng, n_jobs)

    def save(self, path: Place) -> None:
        """Write the mixture to a model file, which appears whole or not at all.

        Parameters
        ----------
        path : where, "….gmm" by custom; a file that is there is replaced. Or a binary file open for writing.

        Raises
        ------
        ValueError : this is no mixture: weights that don't sum to 1, covariances that are not positive definite …
        OSError : the file can't be written.
        """
        files.write(path, self._numbers)

    @classmethod
    def load(cls, path: Place) -> Self:
        """Read a mixture from a model file, bit for bit as it was saved; nothing in the file is run.

        Parameters
        ----------
        path : of a file written by this or an earlier version, by `save` here or of an estimator, or by the command
            line. Or a binary file open for reading.

        Raises
        ------
        NotAModelFile : the file is damaged, truncated, of a later layout or something else; the message says which.
        OSError : there is no such file, or it can't be read.
        """
        return cls(*files.read(path)[0])

    def to_dict(self) -> dict[str, Any]:
        """The mixture as a dictionary of plain values, for JSON; `from_dict` brings it back bit for bit.

        Raises
        ------
        ValueError : this is no mixture, as for `save`.
        """
        return files.to_dict(self._numbers)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The mixture of a dictionary that `to_dict` made.

        Parameters
        ----------
        values : "format", "version", "family", "weights", "means" and "covariances"; other keys are ignored.

        Raises
        ------
        ValueError : the values make no mixture; the message says why.
        """
        return cls(*files.from_dict(values))

    def _block(self, rows: ArrayLike) -> Block:
        array: Rows = np.asarray(rows)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"rows must be real numbers, not {array.dtype}.")
        if array.dtype not in (np.float32, np.float64) or not array.dtype.isnative:
            array = array.astype(np.float64)
        if array.ndim != 2 or array.shape[1] != self.n_features:
            raise ValueError(f"rows must have shape (n_rows, {self.n_features}), not {array.shape}.")
        cell = first_beyond(array, float(np.finfo(np.float64).max))
        if cell is not None:
            raise ValueError(f"rows holds {array[cell]} in row {cell[0]}, column {cell[1]}: give finite numbers.")
        return Block(0, in_whole_steps(array))
