"""Methods of `Mixture` that have the names and meanings of the methods of SciPy's frozen distributions."""

from __future__ import annotations

from math import prod
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src import mixture
from gaussmix._src.checks import check_count, check_probabilities, check_range, check_real, generator
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.mixture.base import of_components
from gaussmix._src.mixture.features import check_order
from gaussmix._src.mixture.masses.masses import Masses
from gaussmix._src.mixture.parts.conditionals import Conditionals
from gaussmix._src.mixture.parts.parts import Parts
from gaussmix._src.numerics.arrays import Array

# Attributes of `Mixture` by the names that they have in scikit-learn, SciPy or PyTorch.
_REPLACEMENTS = {"predict_proba": "responsibilities", "score_samples": "log_density", "log_prob": "log_density"}
_REPLACEMENTS |= {"ppf": "quantile", "cov": "covariance", "var": "std() ** 2", "variance": "std() ** 2"}
_REPLACEMENTS |= {f"{name}_": name for name in ("weights", "means", "covariances")}


class SciPyNames(Conditionals, Parts, Masses):
    """A mixture with the methods pdf, logpdf, rvs, std and interval of `scipy.stats` distributions."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in _REPLACEMENTS:
                raise AttributeError(f"Mixture has no {name}. Use {_REPLACEMENTS[name]}.", name=name, obj=None)
            return object.__getattribute__(self, name)  # raises the usual AttributeError of Python

    def pdf(self, x: ArrayLike) -> Array:
        """Return the density p(x) per unit of data volume. Arguments, shapes and errors are the same as in `logpdf`.

        In addition, ValueError is raised if a density is above 1.8e308.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.pdf([0.0, 2.0]).round(4)
        array([0.1995, 0.054 ])
        """
        with np.errstate(over="ignore"):
            density = np.exp(self.logpdf(x))
        sentence = "The density of row {row} is beyond the range of float64: rescale the features, or use logpdf."
        return check_range(density, sentence)[()]

    def logpdf(self, x: ArrayLike) -> Array:
        """Return log p(x), in nats, at points x in the shapes that SciPy accepts; `log_density` only accepts rows.

        Parameters
        ----------
        x : points, (…, n_features), in data units. If there is one feature, x may also be a number or have shape
            (n_points,).

        Returns
        -------
        log_density : array with the shape of x except for the last axis; a number if x is one point.

        Raises
        ------
        ValueError : x has a shape that is not listed above, contains NaN or infinity, or is a data frame or a Series
            with the features in a different order.
        TypeError : x does not contain real numbers.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[0.0, 0.0]], [1.0], FAMILIES["spherical"])
        >>> m.logpdf([0.0, 0.0]).round(4)
        np.float64(-1.8379)
        """
        points = check_real("x", x)
        if points.ndim == 2:  # x may be a data frame with feature names
            return self._log_levels(x)
        if self.n_features > 1:
            check_order(x, self.feature_names, "x")
        elif points.ndim < 2:
            points = points[..., None]
        if not points.ndim or points.shape[-1] != self.n_features:
            raise ValueError(
                f"x must have shape (…, {self.n_features}), not {points.shape}: the last axis contains features."
            )
        return self._log_levels(points.reshape(-1, self.n_features)).reshape(points.shape[:-1])[()]

    def rvs(
        self,
        size: int | tuple[int, ...] = 1,
        random_state: int | np.random.Generator | np.random.RandomState | None = None,
    ) -> Array:
        """Draw rows without labels, whereas `sample` also returns labels.

        Parameters
        ----------
        size : number of rows, or the shape of an array of rows, such as (2, 3) for 6 rows.
        random_state : a seed, a generator or a RandomState. With None every call draws different rows.

        Returns
        -------
        rows : the sample, (n_features,) if `size` is 1, otherwise ``(*size, n_features)``, in data units.

        Raises
        ------
        ValueError : `size` is negative, or the noise component was defined by a volume without a box.
        TypeError : `size` does not consist of integers, or `random_state` is neither a seed, a generator nor a
            RandomState.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0, 1.0], [4.0, 1.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.rvs(random_state=0).shape, m.rvs(5, 0).shape, m.rvs((2, 3), 0).shape
        ((2,), (5, 2), (2, 3, 2))
        """
        self._check_box("rvs")
        shape = _lengths(size)
        seed: Any = random_state
        if isinstance(random_state, np.random.RandomState):
            seed = random_state.randint(2**32, size=4, dtype=np.uint64)
        rng = generator(seed, name="random_state")
        rows, _ = mixture.sampling.sample(self._model, prod(shape), rng, None, self._engine())
        return rows.reshape(*shape, self.n_features)

    @of_components
    def std(self) -> Array:
        """Return the standard deviation of each feature, (n_features,), in data units.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"]).std().round(4)
        array([2.2361])
        """
        return np.asarray(np.sqrt(np.maximum(np.diagonal(self.covariance), 0.0)))  # rounding errors may be negative

    @of_components
    def interval(self, confidence: float) -> tuple[Array, Array]:
        """Return, for each feature separately, the central interval that has the probability `confidence`.

        Parameters
        ----------
        confidence : probability of the interval, from 0 to 1. The probabilities below and above the interval are equal.

        Returns
        -------
        lower, upper : ends of the intervals, (n_features,) each, in data units, which are the (1 ∓ confidence) / 2
            quantiles of the marginal distributions.

        Raises
        ------
        ValueError : `confidence` is not between 0 and 1.
        TypeError : `confidence` is not a number.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> lower, upper = Mixture([1.0], [[0.0, 5.0]], [[1.0, 4.0]], FAMILIES["diag"]).interval(0.95)
        >>> lower.round(2), upper.round(2)
        (array([-1.96,  1.08]), array([1.96, 8.92]))
        """
        mass = check_probabilities("confidence", confidence)
        if mass.ndim:
            raise ParameterTypeError(f"confidence must be one number, not an array of shape {mass.shape}.")
        ends = [(1 - mass) / 2, (1 + mass) / 2]
        result = np.array([self.marginal(feature).quantile(ends) for feature in range(self.n_features)])
        return result[:, 0], result[:, 1]


def _lengths(size: Any) -> tuple[int, ...]:
    """Return `size` as a tuple of axis lengths, which is empty for size 1; raises TypeError or ValueError."""
    if not isinstance(size, Integral | tuple):
        raise ParameterTypeError(f"size must be an integer ≥ 0 or a tuple of such integers, not {size!r:.60}.")
    lengths = tuple(check_count("size", length, 0) for length in (size if isinstance(size, tuple) else (size,)))
    return () if size == 1 else lengths
