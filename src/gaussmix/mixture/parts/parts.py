"""Some features of a mixture: alone, or given the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.mixture.features import Feature, Features, check_order
from gaussmix.mixture.parts.conditioning import Conditional
from gaussmix.mixture.randomness import Rng, generator
from gaussmix.mixture.values import Values
from gaussmix.model import Model
from gaussmix.numerics.arrays import Array

KEPT_SPLITS = 8  # into known and unknown features, with their factors


class Parts(Values):
    """Marginal and conditional distributions."""

    def marginal(self, features: Features) -> Self:
        """The distribution of some features, whatever the others are: p(x_a) = ∫ p(x_a, x_b) dx_b.

        Parameters
        ----------
        features : numbers or names, one or several; the marginal has them in this order, with their names.

        Returns
        -------
        marginal : covariances stay diagonal, spherical or shared by all components where they are.

        Raises
        ------
        ValueError : there is no such feature, one is there twice, or none is named.
        TypeError : something is neither a number nor a name.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"], ["height", "weight"])
        >>> m.marginal("weight").covariances
        array([[[9.]]])
        """
        places = self._places(features)
        if not len(places):
            raise ValueError("A marginal needs at least one feature.")
        covariances = self.model.covariances.marginal(places)
        model = Model(self.weights, self.means[:, places], covariances, self.family.relaxed(covariances))
        return self.of(model, self._names_at(places))

    def condition(self, values: Mapping[Feature, float]) -> Self:
        """The distribution of the other features where some are known: p(u | x) = Σ_k p(k | x) p(u | x, k).

        The first call for a set of known features factors covariances; later ones take them as they are.

        Parameters
        ----------
        values : of known features, by number or name, data units.

        Returns
        -------
        conditional : of the other features in their order, with their names; Bishop (2006) eq. 2.81–2.82 for each
            component. Covariances stay diagonal, spherical or shared by all components where they are.

        Raises
        ------
        ValueError : there is no such feature, none or all are known, or a value is not finite.
        TypeError : `values` is not a dictionary, or a value is not a number.
        SingularCovariance : a covariance is not positive definite.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"], ["height", "weight"])
        >>> taller = m.condition({"height": 4.0})
        >>> taller.means, taller.covariances
        (array([[6.]]), array([[[8.]]]))
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"condition takes a dictionary of features and their values, not {values!r:.60}.")
        known = self._places([*values])
        split = self._splits(tuple(known.tolist()))
        row = np.array([_number(feature, value) for feature, value in values.items()])
        weights = split.weights_of(row[None])[0]
        means = split.means_at(row)
        if not np.isfinite(means).all():
            raise ValueError("These values are so far away that the conditional means are beyond the range of float64.")
        model = Model(weights, means, split.covariances, split.family)
        return self.of(model, self._names_at(np.delete(np.arange(self.n_features), known)))

    def conditional_mean(self, X_known: ArrayLike, known: Features, *, n_jobs: int | None = None) -> Array:
        """E[u | x] of the unknown features u for each row x of known ones: the best guess in least squares.

        Parameters
        ----------
        X_known : (n_rows, n_known), data units, a column for each feature of `known`.
        known : numbers or names of the known features, in the order of the columns.
        n_jobs : threads; None for every processor.

        Returns
        -------
        means : (n_rows, n_unknown), data units; unknown features in their order.

        Raises
        ------
        ValueError : there is no such feature, none or all are known, or X_known is not finite numbers of this shape.
        TypeError : X_known are not real numbers.
        SingularCovariance : a covariance is not positive definite.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"])
        >>> m.conditional_mean([[4.0], [2.0]], known=[0])
        array([[6.],
               [5.]])
        """
        return self._split(known, X_known).mean(X_known, n_jobs)

    def conditional_covariance(self, X_known: ArrayLike, known: Features, *, n_jobs: int | None = None) -> Array:
        """Cov[u | x] of the unknown features u for each row x of known ones.

        Parameters and errors as of `conditional_mean`.

        Returns
        -------
        covariances : (n_rows, n_unknown, n_unknown), data units², of the conditional mixture as a whole: the mean
            covariance of components and the spread of their means (law of total covariance).

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"])
        >>> m.conditional_covariance([[4.0]], known=[0])
        array([[[8.]]])
        """
        return self._split(known, X_known).covariance(X_known, n_jobs)

    def conditional_weights(self, X_known: ArrayLike, known: Features, *, n_jobs: int | None = None) -> Array:
        """p(k | x), the weights of the components where the known features are x; (n_rows, n_components).

        In log space, right however far from every component a row is. Parameters and errors as of `conditional_mean`.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0, 1.0], [4.0, 1.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.conditional_weights([[2.0], [50.0]], known=[0]).round(3)
        array([[0.5, 0.5],
               [0. , 1. ]])
        """
        return self._split(known, X_known).weights_of(X_known, n_jobs)

    def sample_conditional(
        self, X_known: ArrayLike, known: Features, rng: Rng = None, *, n_jobs: int | None = None
    ) -> Array:
        """Draw the unknown features of each row from their distribution given the known ones.

        Parameters and errors as of `conditional_mean`.

        Parameters
        ----------
        rng : source of randomness, `numpy.random.default_rng(0)` for instance, or its seed; None for other rows each
            time. In the same state it gives the same rows, and those of fewer rows of X_known are the first of more.

        Returns
        -------
        rows : (n_rows, n_unknown), data units; unknown features in their order.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"])
        >>> m.sample_conditional([[4.0], [2.0]], [0], rng=0).shape
        (2, 1)
        """
        return self._split(known, X_known).draw(X_known, generator(rng), n_jobs)

    def _split(self, known: Features, rows: object = None) -> Conditional:
        """Known and unknown features, where `rows`, of a data frame perhaps, have the known ones in this order."""
        places = self._places(known)
        check_order(rows, self._names_at(places), "X_known")
        return self._splits(tuple(places.tolist()))

    @cached_property
    def _splits(self) -> Callable[[tuple[int, ...]], Conditional]:
        """The last few splits by the places of the known features, so that one row does not cost factors."""
        return lru_cache(KEPT_SPLITS)(lambda known: Conditional.of(self, np.array(known, dtype=np.intp)))

    def _names_at(self, places: Any) -> tuple[str, ...] | None:
        return None if self.feature_names is None else tuple(self.feature_names[place] for place in places)


def _number(feature: Feature, value: object) -> float:
    """The value of a known feature; raises TypeError or ValueError that names the feature."""
    number = np.asarray(value)
    if number.dtype.kind not in "fiub" or number.ndim:
        raise TypeError(f"The value of feature {feature!r:.60} must be a number, not {value!r:.60}.")
    if not np.isfinite(number):
        raise ValueError(f"The value of feature {feature!r:.60} is {value}: give a finite number, or leave it out.")
    return float(number)
