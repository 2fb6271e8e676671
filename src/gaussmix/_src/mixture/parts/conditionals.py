"""Methods of `Mixture` for marginal distributions, and for distributions given the values of some features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src import mixture
from gaussmix._src.checks import Rng, generator
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.mixture.base import MixtureBase, of_components
from gaussmix._src.mixture.features import Feature, Features, check_order, names_at
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.threads import cached_property

if TYPE_CHECKING:
    from gaussmix._src.mixture.parts.conditioning import Conditional

MAX_CACHED_SPLITS = 8  # cached splits into known and unknown features, with their factors


class Conditionals(MixtureBase):
    """A mixture with methods for its marginal and conditional distributions."""

    def marginal(self, features: Features) -> Self:
        """Return the distribution of some features alone, p(x_a) = ∫ p(x_a, x_b) dx_b.

        Parameters
        ----------
        features : index or name of a feature, or several. The marginal keeps their order and their names.

        Returns
        -------
        marginal : mixture of these features. Diagonal, spherical and shared covariances keep their structure.

        Raises
        ------
        ValueError : a feature is unknown or given twice, or no feature is given.
        TypeError : a feature is neither an index nor a name.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"], ["height", "weight"])
        >>> m.marginal("weight").covariances
        array([[[9.]]])
        """
        self._check_box("marginal")
        indices = self._feature_indices(features)
        if not len(indices):
            raise ValueError("A marginal needs at least one feature.")
        return self._from_model(self._model.marginal(indices), names_at(self.feature_names, indices))

    def condition(self, values: Mapping[Feature, float]) -> Self:
        """Return the distribution of the other features given values x of some, p(u | x) = Σ_k p(k | x) p(u | x, k).

        The first call for a set of known features factorises covariances, and later calls reuse these factors.

        Parameters
        ----------
        values : dictionary from the index or name of each known feature to its value, data units.

        Returns
        -------
        conditional : mixture of the other features, with their order and names; Bishop (2006) eq. 2.81–2.82 for each
            component. Diagonal, spherical and shared covariances keep their structure.

        Raises
        ------
        ValueError : a feature is unknown, no feature or every feature is given, or a value is not finite.
        TypeError : `values` is not a dictionary, or a value is not a number.
        SingularCovarianceError : a covariance is not positive definite.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"], ["height", "weight"])
        >>> taller = m.condition({"height": 4.0})
        >>> taller.means, taller.covariances
        (array([[6.]]), array([[[8.]]]))
        """
        if not isinstance(values, Mapping):
            raise ParameterTypeError(
                f"condition takes a dictionary of one row, such as {{0: 1.5}}, not a {type(values).__name__}. "
                "For many rows use conditional_mean(X_known, known) or a GaussianMixtureRegressor."
            )
        self._check_box("condition")
        known = self._feature_indices([*values])
        row = mixture.conditioning.condition_values(values)
        conditional = self._splits(tuple(known.tolist())).at(row, self._engine())
        return self._from_model(conditional, names_at(self.feature_names, np.delete(np.arange(self.n_features), known)))

    @of_components
    def conditional_mean(self, X_known: ArrayLike, known: Features, *, n_jobs: int | None = None) -> Array:
        """Return the mean E[u | x] of the unknown features u given each row x: the best least-squares prediction.

        Parameters
        ----------
        X_known : (n_rows, n_known), data units, with one column per feature in `known`.
        known : indices or names of the known features, in the order of the columns of `X_known`.
        n_jobs : number of threads; None uses every processor.

        Returns
        -------
        means : (n_rows, n_unknown), data units. The unknown features keep their order.

        Raises
        ------
        ValueError : a feature is unknown, no feature or every feature is given, or `X_known` has another shape or
            contains NaN or infinity.
        TypeError : `X_known` does not contain real numbers.
        SingularCovarianceError : a covariance is not positive definite.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"])
        >>> m.conditional_mean([[4.0], [2.0]], known=[0])
        array([[6.],
               [5.]])
        """
        return self._split(known, X_known).mean(X_known, self._engine(n_jobs))

    @of_components
    def conditional_covariance(self, X_known: ArrayLike, known: Features, *, n_jobs: int | None = None) -> Array:
        """Return the covariance Cov[u | x] of the unknown features u given each row x of known features.

        Parameters and errors are the same as in `conditional_mean`.

        Returns
        -------
        covariances : (n_rows, n_unknown, n_unknown), data units². By the law of total covariance each is the mean
            covariance of the components plus the covariance of their means.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"])
        >>> m.conditional_covariance([[4.0]], known=[0])
        array([[[8.]]])
        """
        return self._split(known, X_known).covariance(X_known, self._engine(n_jobs))

    @of_components
    def conditional_weights(self, X_known: ArrayLike, known: Features, *, n_jobs: int | None = None) -> Array:
        """Return p(k | x), the weights of the components given each row x of known features; (n_rows, n_components).

        The weights are accurate even for rows far from every component. Parameters and errors are the same as in
        `conditional_mean`.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0, 1.0], [4.0, 1.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.conditional_weights([[2.0], [50.0]], known=[0]).round(3)
        array([[0.5, 0.5],
               [0. , 1. ]])
        """
        return self._split(known, X_known).responsibilities(X_known, self._engine(n_jobs))

    @of_components
    def sample_conditional(
        self, X_known: ArrayLike, known: Features, rng: Rng = None, *, n_jobs: int | None = None
    ) -> Array:
        """Draw the unknown features of each row from their distribution given the known features.

        Parameters and errors are the same as in `conditional_mean`.

        Parameters
        ----------
        rng : source of randomness, such as `numpy.random.default_rng(0)`, or a seed. None draws different values at
            every call, and generators in the same state draw the same values. With fewer rows in `X_known` the values
            of these rows stay the same.

        Returns
        -------
        rows : (n_rows, n_unknown), data units. The unknown features keep their order.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"])
        >>> m.sample_conditional([[4.0], [2.0]], [0], rng=0).shape
        (2, 1)
        """
        return self._split(known, X_known).draw(X_known, generator(rng), self._engine(n_jobs))

    def _split(self, known: Features, rows: object = None) -> Conditional:
        """Split known from unknown features; if `rows` is a data frame, check that its columns are the known ones."""
        indices = self._feature_indices(known)
        check_order(rows, names_at(self.feature_names, indices), "X_known")
        return self._splits(tuple(indices.tolist()))

    @cached_property
    def _splits(self) -> Callable[[tuple[int, ...]], Conditional]:
        """Return a function that splits the model at the indices of known features, and caches recent splits."""
        model, split = self._model, mixture.conditioning.Conditional.from_model
        return lru_cache(MAX_CACHED_SPLITS)(lambda known: split(model, np.array(known, dtype=np.intp)))
