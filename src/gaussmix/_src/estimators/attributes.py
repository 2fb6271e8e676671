"""The fitted attributes of scikit-learn's mixtures, which users can read or set."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError

from gaussmix._src import validation
from gaussmix._src.covariances import Covariances, LowRank
from gaussmix._src.em.initialisation.base import Partition
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.engines import complete_engine
from gaussmix._src.errors import ParameterTypeError, listed
from gaussmix._src.estimators.base import Estimator, TrainingRows
from gaussmix._src.estimators.fitted_array import (
    MATRICES,
    ArraySnapshot,
    FittedArray,
    Floats,
    build_model,
    missing_arrays,
)
from gaussmix._src.fit.fitted import FitResult
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import narrowed
from gaussmix._src.sources.array import ArraySource
from gaussmix._src.validation.parameters import check_family, names_several
from gaussmix._src.validation.rows import RowsLike

if TYPE_CHECKING:
    from gaussmix._src.mixture.mixture import Mixture


def _per_component(model: Model, dtype: np.dtype[Any], name: str) -> Floats:
    """Return the loadings or the noise variances of each component, even if all components share one array."""
    covariances = model.covariances
    if not isinstance(covariances, LowRank):
        raise AttributeError(f"covariance_type={model.family.name!r} has neither loadings nor noise variances.")
    shared = getattr(covariances, name)
    values = np.broadcast_to(shared, (model.n_components, *shared.shape[1:]))
    is_tiny = name == "noise" and values.min() < np.finfo(dtype).tiny
    return values if is_tiny else narrowed(values, dtype)  # rounding to float32 could make a noise variance 0


def _narrowed_matrices(matrices: Covariances, dtype: np.dtype[Any]) -> Floats:
    """Convert covariances, precisions or factors to `dtype`; keep float64 if `dtype` would round a variance to 0."""
    if matrices.variances().min() < np.finfo(dtype).tiny:
        return matrices.array
    return narrowed(matrices.array, dtype)


def _precisions_cholesky(model: Model, dtype: np.dtype[Any]) -> Floats:
    shown = model.covariances.to_simple_form()
    factors = shown.whitening.factors
    upper = factors.transpose(0, 2, 1) if shown.is_matrix else factors
    return _narrowed_matrices(replace(shown, each=upper), dtype)


class MixtureAttributes(Estimator):
    """The fitted arrays, in the dtype of the training data if that dtype can represent the values, else in float64."""

    weights_: FittedArray = FittedArray(lambda model, dtype: model.weights.astype(dtype))
    """Weights (n_components,), which sum to 1, or to 1 minus the weight of the noise component."""
    means_: FittedArray = FittedArray(lambda model, dtype: narrowed(model.means, dtype))
    """Means (n_components, n_features), in data units."""
    covariances_: FittedArray = FittedArray(
        lambda model, dtype: _narrowed_matrices(model.covariances.to_simple_form(), dtype)
    )
    """Covariances, in data units²; the structure sets the shape: (n_components, n_features, n_features) for "full"."""
    precisions_: FittedArray = FittedArray(lambda model, dtype: _narrowed_matrices(model.covariances.inverse(), dtype))
    """Inverses of the covariances, in the same shape as `covariances_`."""
    precisions_cholesky_: FittedArray = FittedArray(_precisions_cholesky)
    """Upper triangular factors C of the precisions, C Cᵀ = Σ⁻¹; inverse deviations for diagonal covariances."""
    loadings_: FittedArray = FittedArray(partial(_per_component, name="loadings"), is_settable=False)
    """Loadings Λ (n_components, n_features, n_factors) of factor analysers."""
    noise_variances_: FittedArray = FittedArray(partial(_per_component, name="noise"), is_settable=False)
    """Noise variances Ψ (n_components, n_features) of factor analysers, in data units²."""

    _instead: ClassVar[Mapping[str, str]] = {}  # hints for missing attributes, used instead of the hints in OF_FITTED
    _label_source: NDArray[np.int64] | TrainingRows | str  # the array `labels_`, X, or the reason why X is not known
    labels_: NDArray[np.int64]  # not a property, which notebooks would compute to show the estimator
    """Labels of the training rows, which `predict(X)` computes on first access."""

    @abstractmethod
    def predict(self, X: RowsLike) -> NDArray[np.int64]: ...

    @property  # repeats the property of `Estimator`, because mypy does not support @Estimator.mixture_.setter
    def mixture_(self) -> Mixture:
        """The fitted mixture distribution, in float64."""
        return self._fitted.mixture

    @mixture_.setter
    def mixture_(self, mixture: Mixture) -> None:
        from gaussmix._src.mixture.mixture import Mixture

        if not isinstance(mixture, Mixture):
            raise ParameterTypeError(f"mixture_ must be a gaussmix.Mixture, not {mixture!r:.60}.")
        self._set_fit(mixture._model, mixture.feature_names)
        vars(self._fitted)["mixture"] = mixture  # keeps the user's object and the values cached in it

    @property
    def noise_weight_(self) -> float:
        """Weight of the noise component; 0 if the fit has no noise component."""
        return self._fitted.model.noise_weight

    def __sklearn_is_fitted__(self) -> bool:
        return super().__sklearn_is_fitted__() or not missing_arrays(vars(self).get("_arrays", {}))

    def __getstate__(self) -> dict[str, Any]:
        if "_arrays" in vars(self) and self.__sklearn_is_fitted__():
            _ = self._fitted  # Reading `_fitted` first applies arrays that the user has set.
        state = {**super().__getstate__()}
        arrays: dict[str, ArraySnapshot] = state.pop("_arrays", {})
        if isinstance(state.get("_label_source"), TrainingRows):  # A weak reference is valid only in this process.
            del state["_label_source"]
        if arrays and "_fitted" not in state:
            state["_arrays"] = {name: ArraySnapshot(array.values.copy(), None) for name, array in arrays.items()}
        return state

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name == "labels_":
                from gaussmix._src.estimators.training_labels import predict_labels

                return self._labelled(predict_labels(self))
            if name in self._attributes:  # Only `fit` sets the attributes in `_attributes`.
                self._check_fitted()
            from gaussmix._src.other_names import check_attribute

            check_attribute(self, name)
            return object.__getattribute__(self, name)  # raises the usual AttributeError

    def _stored(self) -> FitResult | None:
        """Return the result of `fit`, or None before `fit`; arrays that the user has set are not included."""
        return vars(self).get("_fitted")

    def _update_fitted(self) -> None:
        arrays: dict[str, ArraySnapshot] = vars(self).get("_arrays", {})
        changed = {name: array.values for name, array in arrays.items() if array.is_changed}
        fitted = self._stored()
        if fitted is not None and not changed:
            return
        if not changed:
            super()._update_fitted()
        if fitted is None and missing_arrays(changed):
            sentence = f"{listed(list(changed))} set by hand; set {listed(missing_arrays(changed))} as well."
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: {sentence}")
        if fitted is None and names_several(self.covariance_type):
            raise ValueError(
                f"covariance_type={self.covariance_type!r:.60} lists several structures, but arrays set by hand "
                "need a single structure. Set mixture_ instead."
            )
        base, family = (None, check_family(self)) if fitted is None else (fitted.model, fitted.model.family)
        dtype = changed["means_"].dtype if "means_" in changed else None
        model = build_model(changed, base, family)
        is_alike = base is not None and base.n_features == model.n_features
        self._set_fit(model, fitted.feature_names if fitted is not None and is_alike else None, dtype)
        self.__dict__["_arrays"] = self._update_arrays(arrays, changed)

    def _update_arrays(self, arrays: dict[str, ArraySnapshot], changed: dict[str, Floats]) -> dict[str, ArraySnapshot]:
        """Write the new mixture's values into the arrays whose shape and dtype still fit, and return these arrays."""
        retained, has_new_matrix = {}, not changed.keys().isdisjoint(MATRICES)
        for name, array in arrays.items():
            if has_new_matrix and name in MATRICES and name not in changed:
                continue  # The user changed another matrix, so that this array no longer belongs to the fit.
            attribute: FittedArray = getattr(type(self), name)
            now = attribute.snapshot_of(self._fitted)
            if (array.values.shape, array.values.dtype) == (now.values.shape, now.values.dtype):
                array.values[...] = now.values  # in place, because the user may have a reference to this array
                array.before, retained[name] = now.before, array
        return retained

    def _set_fit(self, model: Model, names: tuple[str, ...] | None = None, dtype: np.dtype[Any] | None = None) -> None:
        """Replace the result of the fit by a model that the user has set; `dtype` is the type of the fitted arrays."""
        fitted = FitResult.from_user_model(model, names, self._stored())
        self._fitted = fitted if dtype is None else replace(fitted, dtype=dtype)
        self._label_source = "fit did not find this mixture"
        self._expect_features()

    def _labelled(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the labels of the training rows; labels in a NumPy array are also stored as `labels_`."""
        if isinstance(labels, np.ndarray):
            self._label_source = labels
        return labels

    def _n_parameters(self) -> int:
        """Return the number of free parameters: scikit-learn has this method instead of `n_parameters_`."""
        return self.n_parameters_

    def _set_parameters(self, params: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]) -> None:
        """Replace the fit by the mixture with the weights, means and covariances in `params`; ignore other values."""
        from gaussmix._src.mixture.mixture import Mixture

        weights, means, covariances = (np.asarray(value) for value in params[:3])
        proportions = weights / weights.sum()  # scikit-learn passes weights that need not sum to 1.
        self._set_fit(Mixture(proportions, means, covariances, check_family(self))._model, dtype=means.dtype)

    def _initialize(self, X: RowsLike, resp: ArrayLike) -> None:
        """Replace the fit by the result of an M-step with responsibilities `resp` and, if set, `precisions_init`.

        The tests of scikit-learn call this method.
        """
        rows, responsibilities = np.asarray(X), np.asarray(resp, dtype=np.float64)
        family, n_components = check_family(self), responsibilities.shape[1]
        source = ArraySource(rows, assignment=responsibilities)
        first = InitialMoments(source, complete_engine(), n_components, Partition())
        model = first.model(family, Objective(np.zeros(source.n_features)))
        values = getattr(self, "precisions_init", None)
        if values is not None:
            shape = n_components, source.n_features
            precisions = validation.initial.check_covariances(values, family, *shape, "precision")
            model = replace(model, covariances=precisions.inverse())
        self._set_fit(model, dtype=rows.dtype)
