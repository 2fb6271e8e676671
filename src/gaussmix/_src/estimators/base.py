"""The base class of all estimators: it stores the fitted mixture, checks rows, and writes and reads model files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar, overload
from weakref import ref

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags

from gaussmix._src import fit as fitting
from gaussmix._src import formats, report, validation
from gaussmix._src.engines import make_engine
from gaussmix._src.engines.base import Engine
from gaussmix._src.estimators.sklearn_bases import BaseEstimator
from gaussmix._src.fit.fitted import FitResult, Outcome
from gaussmix._src.formats.record import Damaged, Details, EstimatorRecord, FitRecord, PathOrFile, Record
from gaussmix._src.formats.values import Reader, from_json, read_values, to_json
from gaussmix._src.interfaces.block import Block
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.base import Source
from gaussmix._src.validation.parameters import MISSING, check_missing, check_seed
from gaussmix._src.validation.rows import RowsLike, check_source

if TYPE_CHECKING:
    from gaussmix._src.mixture.mixture import Mixture

T = TypeVar("T")
_DTYPES = ("float32", "float64")


class FittedAttribute(ABC, Generic[T]):
    """A descriptor for an attribute that is computed from the result of the fit."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, estimator: None, owner: type) -> Self: ...
    @overload
    def __get__(self, estimator: Any, owner: type | None = None) -> T: ...
    def __get__(self, estimator: Any, owner: type | None = None) -> Self | T:
        return self if estimator is None else self._read(estimator)

    def __delete__(self, estimator: Any) -> None:
        raise AttributeError(f"{self._name} is a result of fit and can't be deleted. Use sklearn.base.clone.")

    @abstractmethod
    def _read(self, estimator: Any) -> T:
        """Return the attribute; raises AttributeError if the fit has no such value, and NotFittedError before `fit`."""


class FittedValue(FittedAttribute[T]):
    """A descriptor for an attribute `name_` that reads or replaces the field `name` of the fit result."""

    def _read(self, estimator: Any) -> T:
        value: T | None = getattr(estimator._fitted, self._name.removesuffix("_"))
        if value is None:
            raise AttributeError(f"{type(estimator).__name__!r} object has no attribute {self._name!r}")
        return value

    def __set__(self, estimator: Any, value: T) -> None:
        estimator._fitted = replace(estimator._fitted, **{self._name.removesuffix("_"): value})


class TrainingRows(NamedTuple):
    """A weak reference to the rows X of a fit.

    Parameters
    ----------
    reference : weak reference to X, so that X is deleted when the user no longer needs it.
    checksum : checksum of the rows, which shows whether X has been changed since the fit.
    label_column : name of the column of X with labels, which is not a feature; None if there is no such column.
    """

    reference: ref[Any]
    checksum: int
    label_column: str | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class Estimator(BaseEstimator):
    """An estimator that fits a mixture and can be saved in a model file; the dataclass fields are its parameters."""

    converged_: ClassVar[FittedValue[bool]] = FittedValue()
    """Whether EM converged within `max_iter` steps in the best run."""
    n_iter_: ClassVar[FittedValue[int]] = FittedValue()
    """Number of EM steps of the best run."""
    lower_bound_: ClassVar[FittedValue[float]] = FittedValue()
    """Objective before the last EM step of the best run; the docstring of each estimator states its unit."""
    lower_bounds_: ClassVar[FittedValue[list[float]]] = FittedValue()
    """Objective before each EM step of the best run."""
    outcome_: ClassVar[FittedValue[Outcome]] = FittedValue()
    """Record of how the fit ended: reason, check of the maximum, runs, diagnostics, collapsed components, traces."""

    n_components: Any
    covariance_type: Any
    tol: float | Literal["auto"] = 1e-3
    reg_covar: float | Literal["auto"] = "auto"
    max_iter: int = 100
    max_time: float | None = None
    n_init: int = 1
    init_params: Any = "auto"
    weight_type: Literal["frequency", "precision"] = "frequency"
    random_state: int | np.random.RandomState | None = None
    n_jobs: int | None = None

    n_features_in_: int = field(init=False)
    """Number of columns of X."""
    feature_names_in_: NDArray[Any] = field(init=False)
    """Names of the columns of X, if all are strings."""
    _attributes: ClassVar[Mapping[str, Reader]] = {}  # attributes that model files contain in addition to `_fitted`
    _needs_attributes: ClassVar[bool] = True  # whether model files must contain all `_attributes`
    # Feature names to use if a predictor, such as a classifier, fits this estimator to an array without column names.
    _names_without_frame: Sequence[str] | None = field(init=False, default=None)

    @property
    def _fitted(self) -> FitResult:
        """The result of `fit`; raises NotFittedError before `fit`, and ValueError if arrays set by hand are invalid."""
        fields = vars(self)
        if "_arrays" in fields or "_fitted" not in fields:
            self._update_fitted()
        return fields["_fitted"]

    @_fitted.setter
    def _fitted(self, fitted: FitResult) -> None:
        before = vars(self).get("_fitted")
        if before is None or before.model is not fitted.model:
            for name in ("_arrays", "_label_source"):  # these values belong to the previous mixture
                self.__dict__.pop(name, None)
        self.__dict__["_fitted"] = fitted

    def _update_fitted(self) -> None:
        """Update `_fitted` after changes by hand; raises NotFittedError if the estimator is not fitted."""
        raise NotFittedError(  # the same text as in scikit-learn
            f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with appropriate arguments before "
            "using this estimator."
        )

    def __dask_tokenize__(self) -> object:
        return type(self), vars(self)  # By default, Dask would compare only the parameters of estimators.

    def __sklearn_is_fitted__(self) -> bool:
        return "_fitted" in vars(self)

    @property
    def mixture_(self) -> Mixture:
        """The fitted mixture distribution, in float64."""
        return self._fitted.mixture

    @property
    def n_parameters_(self) -> int:
        """Number of free parameters."""
        return self._fitted.n_parameters

    if not TYPE_CHECKING:

        @wraps(BaseEstimator.set_params)  # copies scikit-learn's docstring
        def set_params(self, **params: Any) -> Self:
            if not params.keys() <= {*self._get_param_names()}:
                from gaussmix._src.other_names import check_parameter_names

                check_parameter_names(self, params)
            return super().set_params(**params)

    def save(self, path: PathOrFile) -> None:
        """Write the fitted estimator to a model file. If writing fails, no incomplete file remains.

        The file contains the mixture, the parameters, the fitted attributes, and the names and type of the features.

        Parameters
        ----------
        path : path of the file (usually ``*.gmm``), which is overwritten, or a binary file object open for writing.

        Raises
        ------
        NotFittedError : if the estimator is not fitted.
        TypeError : if `path` is neither a path nor a binary file object.
        ValueError : if a parameter can't be stored, because it is a function or has millions of values, for example.
        OSError : if the file can't be written.
        """
        write_estimator(path, self)

    @classmethod
    def load(cls, path: PathOrFile) -> Self:
        """Read a fitted estimator from a model file; no code from the file is executed.

        Parameters
        ----------
        path : path of a file that was written by `save` or by the command line, in this or an earlier version of
            gaussmix, or a binary file object that is open for reading.

        Raises
        ------
        InvalidModelFileError : if the file is damaged, truncated, not a model file, or written by a newer gaussmix.
        TypeError : if `path` is neither a path nor a binary file object.
        ValueError : if the file contains only a mixture, or an estimator of a different class.
        OSError : if the file does not exist or can't be read.
        """
        return cls._from_file(path, *formats.model_file.read(path))

    @classmethod
    def _from_file(cls, path: PathOrFile, model: Model, record: Record) -> Self:
        """Return the estimator from the contents of a file; errors are the same as in `load`."""
        details, saved, name = record.details, record.details.estimator, formats.files.describe_file(path)
        if saved is None:
            raise ValueError(f"{name} contains a mixture, not an estimator: read it with Mixture.load.")
        if saved.name != cls.__name__:
            kind = f"{saved.name:.60}"
            raise ValueError(f"{name} contains a fitted {kind}, not a {cls.__name__}: read it with {kind}.load.")
        try:
            return cls._restored(saved, model, details.feature_names, details.dtype)
        except Damaged as damage:
            raise formats.files.not_usable(path, str(damage)) from None

    @classmethod
    def _restored(cls, saved: EstimatorRecord, model: Model, names: tuple[str, ...] | None, dtype: str | None) -> Self:
        """Return the estimator that the contents of a file describe; raises `Damaged` if the contents are invalid."""
        unknown = [key for key in saved.parameters if key not in cls._get_param_names()]
        if unknown:
            raise Damaged(f"this {cls.__name__} has no parameter {unknown[0]!r:.60}; a newer version may have it")
        if dtype not in _DTYPES:
            raise Damaged(f"the training data have type {dtype!r:.40}, which no estimator supports")
        parameters = {key: from_json(key, value) for key, value in saved.parameters.items()}
        estimator = cls(**parameters)
        lacking = [key for key in cls._attributes if key not in saved.attributes]
        if lacking and cls._needs_attributes:
            raise Damaged(f"it lacks {lacking[0]!r}")
        estimator._fitted = fitting.saved_result.from_saved_values(model, names, np.dtype(dtype), saved.attributes)
        estimator._restore_attributes(read_values(cls._attributes, saved.attributes))
        estimator._expect_features()
        return estimator

    def _restore_attributes(self, own: Mapping[str, Any]) -> None:
        """Set the attributes in `_attributes` from a file; raises `Damaged` if the values contradict the mixture."""
        for name, value in own.items():
            try:
                setattr(self, name, value)
            except (TypeError, ValueError):
                raise Damaged(f"{name!r} in the header has the wrong type") from None

    def _saved_attributes(self) -> dict[str, Any]:
        """Return the attributes in `_attributes`, which a model file stores in addition to `_fitted`."""
        return {name: getattr(self, name) for name in self._attributes if hasattr(self, name)}

    def _expect_features(self) -> None:
        """Set `n_features_in_` and `feature_names_in_`, which later rows must match, from the fitted mixture."""
        fitted = self._fitted
        self.n_features_in_ = fitted.model.n_features
        self.__dict__.pop("feature_names_in_", None)
        if fitted.feature_names is not None:
            self.feature_names_in_ = np.asarray(fitted.feature_names, dtype=object)

    @property
    def _names(self) -> Sequence[str] | None:
        """The feature names of the training data; None if the training data had no names."""
        return vars(self).get("feature_names_in_", self._names_without_frame)

    def _repr_html_inner(self) -> str:
        """Return HTML with a summary of the fit (if the estimator is fitted) and scikit-learn's box of parameters."""
        try:
            page = report.reading.as_html(self._fit_result()) if "_fitted" in vars(self) else ""
            return page + super()._repr_html_inner()
        except ValueError:  # Arrays that were set by hand may be invalid.
            return f"<pre>{escape(repr(self))}</pre>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        html = {"text/html": self._repr_html_inner()} if get_config()["display"] == "diagram" else {}
        return {"text/plain": repr(self), **html}

    def _fit_result(self) -> FitResult:
        """Return the result of the fit, for summaries and other reports; raises NotFittedError."""
        return self._fitted

    def _check_fitted(self) -> None:
        """Raise NotFittedError before `fit`."""
        _ = self._fitted

    def _source(self, X: RowsLike, sample_weight: ArrayLike | None = None, X_error: ArrayLike | None = None) -> Source:
        """Check X for a fitted estimator and convert X to a source; raises NotFittedError, ValueError or TypeError."""
        self._check_fitted()
        source = check_source(self, X, sample_weight, reset=False, may_miss=self._may_miss)
        return source if X_error is None else validation.incomplete.with_errors(X, source, X_error, self._names)

    @property
    def _may_miss(self) -> bool:
        """Whether X may have missing values."""
        # Predictors have no parameter `missing`, and allow NaN.
        return check_missing(getattr(self, "missing", MISSING[0])) == MISSING[0]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._may_miss
        return tags

    def _density(self, source: Source) -> Callable[[Block], Array]:
        """Return a function that takes a block of rows and computes the log density of each row."""
        return partial(self._engine(source).log_density, parameters=self._fitted.model.parameters)

    def _engine(self, source: Source | None = None) -> Engine[Any]:
        """Return the engine for the rows of a source or, if `source` is None, for rows without missing values."""
        if source is None:
            return make_engine(self.n_jobs)
        return make_engine(self.n_jobs, source.is_incomplete, source.is_on_device)

    def _rng(self) -> np.random.Generator:
        """Return a random generator seeded by `random_state`."""
        return check_seed(self.random_state)


def make_details(estimator: Estimator, names: tuple[str, ...] | None = None, fit: FitRecord | None = None) -> Details:
    """Return the data of a fitted estimator that a model file stores in addition to the mixture.

    `names` are feature names, by default from the training data. Raises ValueError if a parameter can't be stored.
    """
    if names is None:
        names = estimator._fitted.feature_names
    name = type(estimator).__name__
    values = {key: value for key, value in estimator.get_params(deep=False).items() if key != "callbacks"}
    parameters = {key: to_json(f"{name}: {key}", value) for key, value in values.items()}
    fitted = estimator._fitted
    attributes = fitting.saved_result.to_saved_values(fitted) | estimator._saved_attributes()
    attributes = {key: to_json(key, value) for key, value in attributes.items()}
    dtype = fitted.dtype.name if fitted.dtype.name in _DTYPES else _DTYPES[-1]
    return Details(names, dtype, fit, EstimatorRecord(name, parameters, attributes))


def write_estimator(
    path: PathOrFile, estimator: Estimator, names: tuple[str, ...] | None = None, fit: FitRecord | None = None
) -> None:
    """Write a fitted estimator to a model file; see `make_details` for the parameters and `save` for the errors."""
    formats.model_file.write(path, estimator._fitted.model, make_details(estimator, names, fit))


@contextmanager
def unchanged_on_failure(estimator: BaseEstimator) -> Iterator[None]:
    """Restore the previous attributes of an estimator if the `with` block raises an exception."""
    before: dict[str, Any] = dict(vars(estimator))
    try:
        yield
    except BaseException:
        estimator.__dict__ = before
        raise
