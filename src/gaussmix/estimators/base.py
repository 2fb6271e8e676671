"""What every estimator shares: a mixture as the result of `fit`, checked rows, and model files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from gaussmix import formats
from gaussmix.door.parameters import MISSING, check_missing, check_seed
from gaussmix.door.rows import check_source
from gaussmix.em.trace import State
from gaussmix.engines import check_jobs, choose, engine_for
from gaussmix.engines.base import Engine
from gaussmix.errors import Outcome
from gaussmix.fit.diagnostics import Diagnosis, as_table, of_table
from gaussmix.fit.ending import Ending
from gaussmix.fit.facts import RowFacts
from gaussmix.formats import Details, EstimatorRecord, FitRecord, Place, model_file
from gaussmix.formats.values import Reader, count, from_plain, list_of, of_type, plain
from gaussmix.mixture.mixture import Mixture
from gaussmix.report.reading import Reading, described, line_of
from gaussmix.sources.base import Source

# The attributes, beside the mixture, that a fit of one mixture or a choice among several sets. A file holds them.
FOUND: dict[str, Reader] = {
    "converged_": of_type(bool),
    "n_iter_": count,
    "lower_bound_": of_type(float),
    "lower_bounds_": list_of("f"),
    "collapsed_": list_of("fiu"),
    "n_parameters_": count,
    "cutoff_": of_type(float),
    "_diagnostics_table": of_table,
    "_facts_table": RowFacts.of_table,
    "_outcome_table": Ending.of_table,
    "_traces_table": lambda table: [list_of("f")(trace) for trace in dict(table).values()],
    "results_": of_type(dict),
    "best_index_": of_type(int),
}
_DTYPES = ("float32", "float64")


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit of one mixture finds; the fields are those attributes of an estimator.

    Parameters
    ----------
    mixture_ : in float64.
    converged_, n_iter_, lower_bound_, lower_bounds_, collapsed_, n_parameters_, diagnostics_ : see `GaussianMixture`.
    dtype : of the training data.
    """

    mixture_: Mixture
    converged_: bool
    n_iter_: int
    lower_bound_: float
    lower_bounds_: list[float]
    collapsed_: list[int]
    n_parameters_: int
    diagnostics_: list[Diagnosis]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, run: State, dtype: np.dtype[Any], diagnostics: list[Diagnosis], n_fixed: int = 0) -> Fitted:
        """What a run of EM on data of a type found, in which so many parameters were fixed."""
        mixture, trace, is_converged = Mixture.of(run.model), run.trace, run.outcome is Outcome.CONVERGED
        numbers = trace.n_steps, trace.last, list(trace.objective), trace.collapsed, mixture.n_parameters - n_fixed
        return cls(mixture, is_converged, *numbers, diagnostics, dtype)


class Estimator(BaseEstimator):
    """An estimator whose fit leaves a mixture, and attributes that a file can hold."""

    mixture_: Mixture
    diagnostics_: list[Diagnosis]
    outcome_: Ending
    traces_: list[list[float]]
    n_features_in_: int
    _facts: RowFacts

    # Parameters of the estimators.
    random_state: int | np.random.RandomState | None
    n_jobs: int | None

    _attributes: ClassVar[Mapping[str, Reader]] = FOUND  # set by `fit` beside the mixture
    _required: ClassVar[tuple[str, ...]] = ()  # attributes without which methods can't answer
    _names_without_frame: Sequence[str] | None = None  # of the features, where a predictor fits this to numbers alone
    _dtype: np.dtype[Any] = np.dtype(np.float64)  # of the training data; as it is here where `mixture_` was set by hand

    def save(self, path: Place) -> None:
        """Write the fitted estimator to a model file, which appears whole or not at all.

        The file holds the mixture, the parameters, what `fit` found, and the names and type of the features.

        Parameters
        ----------
        path : where, "….gmm" by custom; a file that is there is replaced. Or a binary file open for writing.

        Raises
        ------
        NotFittedError : before `fit`.
        TypeError : path is neither a path nor a binary file.
        ValueError : a parameter is a function or another object that no file can hold.
        OSError : the file can't be written.
        """
        self._check_fitted()
        lacking = [name for name in self._required if not hasattr(self, name)]
        if lacking:
            raise NotFittedError(f"This {type(self).__name__} has no {lacking[0]}: call fit before save.")
        write_estimator(path, self)

    @classmethod
    def load(cls, path: Place) -> Self:
        """Read a fitted estimator from a model file, as it was when saved; nothing in the file is run.

        Parameters
        ----------
        path : of a file written by `save` of this or an earlier version, or by the command line. Or a binary file
            open for reading.

        Raises
        ------
        NotAModelFile : the file is damaged, truncated, of a later layout or something else; the message says which.
        TypeError : path is neither a path nor a binary file.
        ValueError : it holds a mixture alone, or another estimator.
        OSError : there is no such file, or it can't be read.
        """
        model, record = model_file.read(path)
        details, saved, name = record.details, record.details.estimator, formats.name_of(path)
        if saved is None:
            raise ValueError(f"{name} holds a mixture without an estimator: read it by Mixture.load.")
        if saved.name != cls.__name__:
            kind = f"{saved.name:.60}"
            raise ValueError(f"{name} holds a fitted {kind}, not a {cls.__name__}: read it by {kind}.load.")
        try:
            estimator = cls._restored(saved, details.dtype)
            estimator._hold(Mixture.of(model, details.feature_names))
            wrong = estimator._flaw()
        except formats.Damaged as damage:
            wrong = str(damage)
        if wrong is not None:
            raise formats.not_usable(path, wrong)
        estimator._take(estimator.mixture_)
        return estimator

    @classmethod
    def _restored(cls, saved: EstimatorRecord, dtype: str | None) -> Self:
        """The estimator of a record, without its mixture; raises `Damaged`."""
        unknown = [key for key in saved.parameters if key not in cls._get_param_names()]
        if unknown:
            raise formats.Damaged(f"this {cls.__name__} has no parameter {unknown[0]!r:.60}; a newer one may")
        if dtype not in _DTYPES:
            raise formats.Damaged(f"its data were {dtype!r:.40}, which no estimator reads")
        parameters = {key: from_plain(key, value) for key, value in saved.parameters.items()}
        estimator = cls(**parameters)
        estimator._dtype = np.dtype(dtype)
        for key, reader in cls._attributes.items():
            if key in saved.attributes:
                value = from_plain(key, saved.attributes[key])
                try:
                    setattr(estimator, key, reader(value))
                except (TypeError, ValueError):
                    raise formats.Damaged(f"{key!r} in its header is of the wrong type") from None
            elif key in cls._required:
                raise formats.Damaged(f"it lacks {key!r}")
        return estimator

    def _flaw(self) -> str | None:
        """Say how what was read from a file contradicts itself, as the end of a sentence; None where nothing does."""
        components = range(self.mixture_.n_components)
        if not all(k in components for k in getattr(self, "collapsed_", [])):
            return "its 'collapsed_' are not components of its mixture"
        return None

    def _take(self, mixture: Mixture) -> None:
        """Become the estimator of a mixture, and of its features; the other attributes are there already."""
        self._hold(mixture)
        self.n_features_in_ = mixture.n_features
        if mixture.feature_names is not None:
            self.feature_names_in_ = np.asarray(mixture.feature_names, dtype=object)

    def _publish(self, fitted: Fitted, names: Sequence[str] | None) -> None:
        """Set the attributes that a fit finds; the features of the mixture take the names."""
        for name, value in vars(fitted).items():
            if name != "mixture_":
                setattr(self, "_dtype" if name == "dtype" else name, value)
        self._hold(fitted.mixture_.with_feature_names(names))

    def _take_over(self, other: Estimator, names: Sequence[str] | None) -> None:
        """Become the mixture that another estimator was fitted to, and know of the fit what it knows."""
        self._publish(fitted_of(other), names)
        for name in ("_facts", "outcome_", "traces_"):
            self.__dict__.pop(name, None)
            if name in vars(other):
                self.__dict__[name] = vars(other)[name]

    def _hold(self, mixture: Mixture) -> None:
        """Have a mixture, beside attributes that are of it; what was set by hand before is forgotten."""
        self.__dict__["mixture_"] = mixture
        self.__dict__.pop("_parts", None)

    @property
    def _diagnostics_table(self) -> dict[str, list[Any]]:
        """The diagnostics as a model file holds them; raises AttributeError where there are none."""
        return as_table(self.diagnostics_)

    @_diagnostics_table.setter
    def _diagnostics_table(self, diagnostics: list[Diagnosis]) -> None:
        self.diagnostics_ = diagnostics

    @property
    def _facts_table(self) -> dict[str, Any]:
        """The facts of the fit as a model file holds them; raises AttributeError where there are none."""
        return self._facts.as_table()

    @_facts_table.setter
    def _facts_table(self, facts: RowFacts) -> None:
        self._facts = facts

    @property
    def _traces_table(self) -> dict[int, list[float]]:
        """The traces by their starts, as a model file holds them; raises AttributeError where it is unknown."""
        return dict(enumerate(self.traces_))

    @_traces_table.setter
    def _traces_table(self, traces: list[list[float]]) -> None:
        self.traces_ = traces

    @property
    def _outcome_table(self) -> dict[str, list[Any]]:
        """How the fit ended, as a model file holds it; raises AttributeError where it is unknown."""
        return self.outcome_.table()

    @_outcome_table.setter
    def _outcome_table(self, ending: Ending) -> None:
        self.outcome_ = ending

    @property
    def _names(self) -> Sequence[str] | None:
        """The names of the features in `fit`; None where they had none."""
        names: Sequence[str] | None = vars(self).get("feature_names_in_", self._names_without_frame)
        return names

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        text = described(self, N_CHAR_MAX)
        is_whole = "mixture_" in vars(self) and "_parts" not in vars(self)  # parts that were set may make no mixture
        return f"{text}\n{line_of(self._reading())}" if is_whole else text

    def _reading(self) -> Reading:
        """What is known of the fit, for summaries and other reports; raises NotFittedError."""
        self._check_fitted()
        mixture, found = self.mixture_, vars(self)  # a stream that is still short finds the others with its mixture
        return Reading(
            type(self).__name__,
            mixture,
            self._n_parameters(),
            self._row_facts(),
            found.get("converged_"),
            found.get("n_iter_"),
            found.get("outcome_"),
            found.get("diagnostics_", ()),
            found.get("results_"),
            found.get("best_index_", 0),
        )

    def _row_facts(self) -> RowFacts | None:
        """What is known of the rows."""
        facts: RowFacts | None = vars(self).get("_facts")
        return facts

    def _n_parameters(self) -> int:
        """Number of free parameters, without those that the fit did not change."""
        mixture: Mixture = vars(self).get("mixture_") or self.mixture_
        n_parameters: int = vars(self).get("n_parameters_", mixture.n_parameters)
        return n_parameters

    def _check_fitted(self) -> None:
        """Raise NotFittedError before `fit`."""
        if "mixture_" not in vars(self):  # asking scikit-learn takes as long as labelling a row
            check_is_fitted(self)

    def _source(
        self,
        X: ArrayLike | Source,
        sample_weight: ArrayLike | None = None,
        X_error: ArrayLike | None = None,
    ) -> Source:
        """X checked, for a fitted estimator; raises NotFittedError, ValueError or TypeError."""
        self._check_fitted()
        return check_source(self, X, sample_weight, reset=False, may_miss=self._may_miss, X_error=X_error)

    @property
    def _may_miss(self) -> bool:
        """Whether cells of X may be missing."""
        return check_missing(getattr(self, "missing", MISSING[1])) == MISSING[0]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = getattr(self, "missing", MISSING[1]) == MISSING[0]
        return tags

    def _engine(self, source: Source | None = None) -> Engine[Any]:
        """The engine for rows of a source."""
        return choose(check_jobs(self.n_jobs)) if source is None else engine_for(source, self.n_jobs)

    def _rng(self) -> np.random.Generator:
        """A generator seeded by `random_state`."""
        return check_seed(self.random_state)


def fitted_of(estimator: Estimator) -> Fitted:
    """What the fit of an estimator found."""
    found = {name: getattr(estimator, name) for name in Fitted.__dataclass_fields__ if name != "dtype"}
    return Fitted(**found, dtype=estimator._dtype)


def details_of(estimator: Estimator, names: tuple[str, ...] | None = None, fit: FitRecord | None = None) -> Details:
    """What a file is to say of a fitted estimator beside its mixture.

    Parameters
    ----------
    estimator : fitted.
    names : of the features; those that its training data had by default.
    fit : how it went, where the caller knows.

    Raises
    ------
    ValueError : a file can't hold a parameter.
    """
    if names is None:
        names = estimator.mixture_.feature_names
    name = type(estimator).__name__
    given = {key: value for key, value in estimator.get_params(deep=False).items() if key != "callbacks"}  # functions
    parameters = {key: plain(f"{name}: {key}", value) for key, value in given.items()}
    attributes = {key: plain(key, getattr(estimator, key)) for key in estimator._attributes if hasattr(estimator, key)}
    dtype = estimator._dtype.name if estimator._dtype.name in _DTYPES else _DTYPES[-1]
    return Details(names, dtype, fit, EstimatorRecord(name, parameters, attributes))


def write_estimator(
    place: Place, estimator: Estimator, names: tuple[str, ...] | None = None, fit: FitRecord | None = None
) -> None:
    """Write a fitted estimator to a model file; parameters as for `details_of`, errors as for `save`."""
    model_file.write(place, estimator.mixture_.model, details_of(estimator, names, fit))


@contextmanager
def unchanged_on_failure(estimator: BaseEstimator) -> Iterator[None]:
    """Leave an estimator as it was where what is done to it fails."""
    before: dict[str, Any] = dict(vars(estimator))
    try:
        yield
    except BaseException:
        estimator.__dict__ = before
        raise
