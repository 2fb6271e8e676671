"""`GaussianMixtureDimensionReducer`: projects rows onto the directions that best separate mixture components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from gaussmix._src.checks import check_count, check_fraction
from gaussmix._src.errors import warn
from gaussmix._src.estimators.base import unchanged_on_failure
from gaussmix._src.estimators.docs import documented
from gaussmix._src.estimators.predictor import Counts, MixturePredictor
from gaussmix._src.estimators.sklearn_bases import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from gaussmix._src.formats.record import Damaged
from gaussmix._src.interfaces.block import Block
from gaussmix._src.mixture.directions import Directions, directions
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array, Rows, narrowed
from gaussmix._src.report.summary import Summary
from gaussmix._src.validation.rows import RowsLike


@documented
@dataclass(eq=False, repr=False, kw_only=True)
class GaussianMixtureDimensionReducer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, MixturePredictor):
    """Dimension reduction to the few directions in which the components of a mixture differ (MclustDR).

    The mixture has the mean μ, the covariance Σ and the mean S = Σ_k π_k Σ_k of the components' covariances. The
    directions are the solutions v of M v = l Σ v, where M = λ M₁ Σ⁻¹ M₁ + (1 − λ) M₂. M₁ = Σ_k π_k (μ_k − μ)(μ_k − μ)ᵀ
    measures differences of the means, and M₂ = Σ_k π_k (Σ_k − S) Σ⁻¹ (Σ_k − S) measures differences of the covariances.
    The directions do not depend on the units of the features.

    Parameters
    ----------
    n_components : int or sequence of int, default 1
        Number of components. If you pass several numbers of components, BIC chooses one of them.
    n_directions : int or None, default None
        Largest number of directions to keep. By default, all directions in which components differ are kept. If
        `mean_fraction` is 1, these are at most n_components − 1 directions, even if `n_directions` is larger.
    mean_fraction : float, default 1
        Weight λ of differences of the means, from 0 to 1; differences of the covariances have the weight 1 − λ. mclust
        calls this parameter `lambda`.
    <choice>
    <Parameters of MixturePredictor>

    Attributes
    ----------
    mixture_ : Mixture
        The fitted mixture distribution, in float64.
    components_ : (n_kept, n_features)
        The directions, each with norm 1, as in `sklearn.decomposition.PCA`.
    eigenvalues_ : (n_kept,)
        The eigenvalues l of the directions, in descending order.
    mean_ : (n_features,)
        The mean of the mixture, in data units, which `transform` subtracts from the rows.
    <Attributes of MixturePredictor>

    References
    ----------
    Scrucca (2010), Statistics and Computing 20, 471–484; Scrucca (2014), Advances in Data Analysis and Classification
    8, 147–165, for `mean_fraction`.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixtureDimensionReducer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(90, 4))
    >>> X[:30, 3] += 9
    >>> reducer = GaussianMixtureDimensionReducer(2, covariance_type="spherical", random_state=0).fit(X)
    >>> reducer.transform(X).shape, abs(reducer.components_).round(1).tolist()
    ((90, 1), [[0.0, 0.0, 0.0, 1.0]])
    """

    n_components: Counts = field(default=1, kw_only=False)
    n_directions: int | None = None
    mean_fraction: float = 1.0

    @property
    def _may_miss(self) -> bool:
        return False  # A projection needs the values of all features.

    def fit(self, X: RowsLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the mixture and find the directions.

        Parameters
        ----------
        <fit>

        Raises
        ------
        ValueError : if a parameter or the data is invalid.
        TypeError : if a parameter or the data has the wrong type.

        Warns
        -----
        ConvergenceWarning, RuntimeWarning : for the same reasons as in `GaussianMixture`, or because no
            direction separates components.
        """
        with unchanged_on_failure(self):
            self._check_parameters()
            source = self._training_rows(X, sample_weight)
            self._fit_mixture(source, X, self._names)
            self._axes = self._find_axes()
            warn(self._no_direction_sentence())
        return self

    def _check_parameters(self) -> tuple[float, int | None]:
        """Check and return `mean_fraction` and `n_directions`; raises TypeError or ValueError."""
        n_axes = None if self.n_directions is None else check_count("n_directions", self.n_directions, 1)
        return check_fraction("mean_fraction", self.mean_fraction), n_axes

    def _find_axes(self) -> Directions:
        """Compute the directions from the fitted mixture, and keep the first `n_directions`."""
        mean_fraction, n_axes = self._check_parameters()
        chosen = directions(self.mixture_._model, mean_fraction)
        return Directions(chosen.centre, chosen.axes[:n_axes], chosen.values[:n_axes])

    def _no_direction_sentence(self) -> str | None:
        """Return a warning if the largest eigenvalue is 0 up to rounding, so that the direction is arbitrary."""
        if self._axes.values[0] > np.finfo(np.float64).eps:
            return None
        reason, advice = "The mixture has one component", "Set n_components to 2 or more, or to a list."
        if self.mixture_.n_components > 1:
            moments = {0.0: "covariances", 1.0: "means"}.get(self.mean_fraction, "means and covariances")
            reason = f"The {moments} of the components are equal"
            advice = "Choose another mean_fraction or covariance_type."
        return f"{reason}, so no direction separates components. {advice}"

    def _restore_attributes(self, own: Mapping[str, Any]) -> None:
        try:
            self._axes = self._find_axes()  # A model file does not contain the directions.
        except (TypeError, ValueError) as error:
            raise Damaged(f"the directions can't be computed: {str(error).removesuffix('.')}") from None

    def transform(self, X: RowsLike) -> Rows:
        """Project rows onto the directions; the result has shape (n_samples, n_kept) and data units.

        <raises>
        """
        source = self._source(X)
        chosen = self._directions
        task = partial(_projected, axes=chosen)
        return source.per_row(task, source.dtype, (len(chosen.axes),))

    def _add_prediction(self, summary: Summary) -> Summary:
        separation = ", ".join(f"{value:.4g}" for value in self.eigenvalues_[:5]) + ", …" * (len(self.eigenvalues_) > 5)
        return replace(summary, extra_lines=[("directions", f"{len(self.eigenvalues_)}, separation {separation}")])

    @property
    def components_(self) -> Array:
        """The directions, (n_kept, n_features), each with norm 1."""
        return self._directions.axes

    @property
    def eigenvalues_(self) -> Array:
        """The eigenvalues of the directions, (n_kept,), in descending order."""
        return self._directions.values

    @property
    def mean_(self) -> Array:
        """The mean of the mixture, (n_features,), in data units."""
        return self._directions.centre

    @property
    def reduced_mixture_(self) -> Mixture:
        """The mixture distribution of the projected rows that `transform` returns."""
        chosen = self._directions
        return self.mixture_.transform(chosen.axes, -chosen.axes @ chosen.centre)

    @property
    def _n_features_out(self) -> int:
        return len(self._directions.axes)

    @property
    def _directions(self) -> Directions:
        """All directions that are kept; raises NotFittedError before `fit`."""
        self._check_fitted()
        return self._axes


def _projected(block: Block, axes: Directions) -> Rows:
    return narrowed((block.rows - axes.centre) @ axes.axes.T, block.rows.dtype)
