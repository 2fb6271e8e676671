"""A mixture from numbers, and from and to scikit-learn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from gaussmix.covariances import Covariances, Dense
from gaussmix.families.base import Family, family_named, unconstrained
from gaussmix.mixture.values import Values
from gaussmix.model import flaw
from gaussmix.numerics.arrays import Array

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

_FITTED = ("covariance_type", "weights_", "means_", "covariances_")


class Conversion(Values):
    """Other ways to and from a mixture."""

    @classmethod
    def from_parameters(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike | None = None,
        *,
        precisions: ArrayLike | None = None,
        covariance_type: str | Family = "full",
        feature_names: Iterable[str] | None = None,
    ) -> Self:
        """The mixture of known parameters, checked at once.

        Parameters
        ----------
        weights : (n_components,), sum to 1.
        means : (n_components, n_features), data units.
        covariances : data units²; the shape is that of the structure, as scikit-learn's `covariances_`: for "full"
            (n_components, n_features, n_features).
        precisions : inverses of the covariances, in the same shape, instead of these.
        covariance_type : name of the structure: "full", "tied", "diag", "spherical" or one of mclust's; or, where it
            has options, the structure itself: `FAMILIES["factor_analyzer"].with_options(n_factors=2)`.
        feature_names : one for each feature; None for none.

        Raises
        ------
        ValueError : the numbers make no mixture, both or neither of covariances and precisions are given, or there
            is no such structure; the message says which.

        Examples
        --------
        >>> from gaussmix import Mixture
        >>> Mixture.from_parameters([1.0], [[0.0, 0.0]], precisions=[[4.0, 1.0]], covariance_type="diag").covariances
        array([[0.25, 1.  ]])
        """
        family = covariance_type if isinstance(covariance_type, Family) else family_named(covariance_type)
        if (covariances is None) == (precisions is None):
            raise ValueError("Give covariances or precisions, one of the two.")
        shares, centres = _numbers("weights", weights), _numbers("means", means)
        if precisions is None:
            matrices = _numbers("covariances", covariances)
        else:
            matrices = _inverses(family, shares, centres, _numbers("precisions", precisions))
        wrong = flaw(shares, centres, matrices, family)
        if wrong is not None:
            raise ValueError(f"This is no mixture: {wrong}.")
        names = None if feature_names is None else tuple(feature_names)
        return cls(shares, centres, _symmetric(family, matrices), family, names)

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """The distribution that an estimator of scikit-learn has fitted.

        Parameters
        ----------
        estimator : a fitted GaussianMixture or BayesianGaussianMixture of scikit-learn, or what has the same
            attributes. Names of features come along. Of a Bayesian one, the point estimates are taken, as its own
            `sample` does.

        Raises
        ------
        TypeError : estimator is no fitted mixture.
        ValueError : its numbers make no mixture.

        Examples
        --------
        >>> import numpy as np
        >>> from gaussmix import Mixture
        >>> from sklearn.mixture import GaussianMixture
        >>> theirs = GaussianMixture(covariance_type="diag").fit([[0.0, 1.0], [2.0, 5.0]])
        >>> Mixture.from_sklearn(theirs).means
        array([[1., 3.]])
        """
        missing = [name for name in _FITTED if not hasattr(estimator, name)]
        if missing:
            what = f"{type(estimator).__name__} has no {missing[0]}"
            raise TypeError(f"{what}: give a fitted GaussianMixture or BayesianGaussianMixture of scikit-learn.")
        covariances = np.asarray(estimator.covariances_)
        if covariances.dtype == np.float32:  # a matrix is symmetric to seven digits only
            covariances = _symmetric(family_named(estimator.covariance_type), covariances)
        return cls.from_parameters(
            estimator.weights_,
            estimator.means_,
            covariances,
            covariance_type=estimator.covariance_type,
            feature_names=getattr(estimator, "feature_names_in_", None),
        )

    def to_sklearn(self) -> GaussianMixture:
        """A fitted `sklearn.mixture.GaussianMixture` of this distribution, which predicts, scores and samples at once.

        Returns
        -------
        estimator : with the structure of scikit-learn's that holds the covariances: its own four stay, others become
            "spherical", "diag", "tied" or "full". It has the names of the features; `fit` with `warm_start=True`
            goes on from here. Of a component of weight 0 scikit-learn says that it takes the logarithm of 0; what it
            answers is right.

        Raises
        ------
        SingularCovariance : a covariance is not positive definite.

        Examples
        --------
        >>> from gaussmix import FAMILIES, Mixture
        >>> m = Mixture([0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], FAMILIES["spherical"])
        >>> m.to_sklearn().predict([[0.3], [3.0]])
        array([0, 1])
        """
        from sklearn.mixture import GaussianMixture

        covariances = self._as_sklearn_has_it()
        family, whitening = unconstrained(covariances), covariances.whitening
        factors = whitening.factors.swapaxes(1, 2) if covariances.is_matrix else whitening.factors
        estimator = GaussianMixture(self.n_components, covariance_type=family.name)
        estimator.weights_, estimator.means_ = np.array(self.weights), np.array(self.means)
        estimator.covariances_ = np.array(covariances.array)
        estimator.precisions_cholesky_ = np.array(replace(covariances, each=factors).array)
        estimator.precisions_ = np.array(covariances.inverse().array)
        estimator.n_features_in_ = self.n_features
        estimator.converged_, estimator.n_iter_, estimator.lower_bound_ = True, 0, -np.inf
        if self.feature_names is not None:
            estimator.feature_names_in_ = np.array(self.feature_names, dtype=object)
        return estimator

    def _as_sklearn_has_it(self) -> Covariances:
        """The covariances in a form that scikit-learn has."""
        covariances = self.model.covariances.simple()
        if isinstance(covariances, Dense) or not covariances.is_shared:
            return covariances
        each = np.broadcast_to(covariances.each, (self.n_components, *covariances.each.shape[1:]))
        return replace(covariances, each=each, is_shared=False)  # scikit-learn shares matrices only


def _inverses(family: Family, weights: Array, means: Array, precisions: Array) -> Array:
    """Covariances of precisions; raises ValueError where there are none."""
    wrong = flaw(weights, means, precisions, family, "precision")
    if wrong is not None:
        raise ValueError(f"This is no mixture: {wrong}.")
    return family.covariances(_symmetric(family, precisions), *means.shape).inverse().array


def _symmetric(family: Family, matrices: Array) -> Array:
    """The same to the bit on both sides, where rounding left a difference."""
    return 0.5 * matrices + 0.5 * matrices.swapaxes(-1, -2) if family.kind.is_matrix else matrices


def _numbers(name: str, values: ArrayLike | None) -> Array:
    try:
        array = np.asarray(values)
        if array.dtype.kind in "fiub":
            return array.astype(np.float64)
    except ValueError:  # lists of unequal length
        pass
    raise ValueError(f"{name} must be an array of real numbers.")
