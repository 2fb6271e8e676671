"""Methods of `Mixture` for marginal distributions and for conditional distributions given some features."""

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

MAX_CACHED_SPLITS = 8  # largest number of sets of known features for which the factors of covariances are cached


class Conditionals(MixtureBase):
    """A mixture with methods for its marginal and conditional distributions."""

    def marginal(self, features: Features) -> Self:
        """Return the marginal distribution of some features, p(x_a) = ∫ p(x_a, x_b) dx_b.

        Parameters
        ----------
        features : index or name of a feature, or a list of indices or names. The result has the features in this order.

        Returns
        -------
        marginal : mixture of the given features, with their names. Diagonal covariances remain diagonal, spherical
            covariances remain spherical, and shared covariances remain shared.

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
            raise ValueError("A marginal needs at least one feature, but `features` is empty.")
        return self._from_model(self._model.marginal(indices), names_at(self.feature_names, indices))

    def condition(self, values: Mapping[Feature, float]) -> Self:
        """Return the distribution of the unknown features u given known values x, p(u | x) = Σ_k p(k | x) p(u | x, k).

        The first call for a set of known features factorises covariances. Later calls with the same known features
        reuse the factors.

        Parameters
        ----------
        values : dictionary that maps the index or name of each known feature to the value of the feature, in data
            units.

        Returns
        -------
        conditional : mixture of the unknown features, which keep their order and names. The components are computed
            with eq. 2.81–2.82 of Bishop (2006). Diagonal covariances remain diagonal, spherical covariances remain
            spherical, and shared covariances remain shared.

        Raises
        ------
        ValueError : a feature does not exist, `values` contains no feature or all features, or a value is not finite.
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
                f"condition needs a dictionary for one row, such as {{0: 1.5}}, not a {type(values).__name__}. "
                "For many rows, use conditional_mean(X_known, known) or a GaussianMixtureRegressor."
            )
        self._check_box("condition")
        known = self._feature_indices([*values])
        row = mixture.conditioning.condition_values(values)
        conditional = self._splits(tuple(known.tolist())).at(row, self._engine())
        return self._from_model(conditional, names_at(self.feature_names, np.delete(np.arange(self.n_features), known)))

    @of_components
    def conditional_mean(self, X_known: ArrayLike, known: Features, *, n_jobs: int | None = None) -> Array:
        """Return the conditional mean E[u | x], the least-squares prediction of the unknown features u, for each row x.

        Parameters
        ----------
        X_known : rows with one column per feature in `known`, (n_rows, n_known), in data units.
        known : indices or names of the known features, in the order of the columns of `X_known`.
        n_jobs : number of threads; None uses all processors.

        Returns
        -------
        means : conditional means, (n_rows, n_unknown), in data units. The unknown features keep the order that they
            have in the mixture.

        Raises
        ------
        ValueError : a feature does not exist, `known` contains no feature or all features, or `X_known` does not have
            shape (n_rows, n_known) or contains NaN or infinity.
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
        """Return the conditional covariance Cov[u | x] of the unknown features u for each row x of known features.

        Parameters and errors are the same as in `conditional_mean`.

        Returns
        -------
        covariances : conditional covariances, (n_rows, n_unknown, n_unknown), in data units². By the law of total
            covariance, each matrix is the mean of the components' covariances plus the covariance of the components'
            means.

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
        """Return the weights p(k | x) of the components for each row x of known features, (n_rows, n_components).

        The weights are accurate even for rows that are far from all components. Parameters and errors are the same as
        in `conditional_mean`.

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
        """Draw the unknown features of each row from the conditional distribution given the known features.

        Parameters and errors are the same as in `conditional_mean`.

        Parameters
        ----------
        rng : generator, such as `numpy.random.default_rng(0)`, or a seed. With None every call draws different values.
            With equal seeds, later rows change the values of a row at most by rounding errors.

        Returns
        -------
        rows : the drawn values, (n_rows, n_unknown), in data units. The unknown features keep the order that they have
            in the mixture.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([1.0], [[2.0, 5.0]], [[[4.0, 2.0], [2.0, 9.0]]], FAMILIES["full"])
        >>> m.sample_conditional([[4.0], [2.0]], [0], rng=0).shape
        (2, 1)
        """
        return self._split(known, X_known).draw(X_known, generator(rng), self._engine(n_jobs))

    def _split(self, known: Features, rows: object = None) -> Conditional:
        """Return the `Conditional` given the known features; check the order of columns if `rows` is a data frame."""
        indices = self._feature_indices(known)
        check_order(rows, self.feature_names, "X_known", indices)
        return self._splits(tuple(indices.tolist()))

    @cached_property
    def _splits(self) -> Callable[[tuple[int, ...]], Conditional]:
        """Return a cached function that maps indices of known features to the `Conditional` of the unknown features."""
        model, split = self._model, mixture.conditioning.Conditional.from_model
        return lru_cache(MAX_CACHED_SPLITS)(lambda known: split(model, np.array(known, dtype=np.intp)))
