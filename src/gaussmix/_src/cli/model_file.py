"""Read and write model files for the subcommands of the command line."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from pyarrow import types

from gaussmix._src.errors import counted, invented_names, listed, unknown_name
from gaussmix._src.estimators.base import write_estimator
from gaussmix._src.estimators.bayesian_gaussian_mixture import BayesianGaussianMixture
from gaussmix._src.estimators.gaussian_mixture import GaussianMixture, as_estimator
from gaussmix._src.estimators.gaussian_mixture_ic import GaussianMixtureIC, as_single
from gaussmix._src.formats import mixtures_file, model_file
from gaussmix._src.formats.files import describe_file, not_usable
from gaussmix._src.formats.record import Damaged, Details, FitRecord
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.mixtures import Mixtures
from gaussmix._src.sources.tables import format_by_name
from gaussmix._src.sources.tables.base import STANDARD, Table
from gaussmix._src.validation.parameters import MISSING
from gaussmix._src.value import Value

# These parameters are not stored as settings, because n_components is stored in the mixture, n_jobs does not change
# results, and the values of label_components and callbacks cannot be written to a file.
_OWN_PARAMETERS = ("n_components", "n_jobs", "label_components", "callbacks")


def path_or_contents(path: str) -> str | BytesIO:
    """Return the path; for standard input ("-") or a pipe, which can be read only once, return its contents."""
    if path != STANDARD and not Path(path).is_fifo():
        return path
    contents: Any = BytesIO(sys.stdin.buffer.read() if path == STANDARD else Path(path).read_bytes())
    contents.name = "standard input" if path == STANDARD else path  # for messages
    return contents


@dataclass(frozen=True)
class ModelFile:
    """Contents of a model file.

    Parameters
    ----------
    name : name of the file, as shown in messages.
    mixture, details : the mixture, and the details of the fit. For a Bayesian fit, the mixture does not contain the
        empty components.
    layout : version of the file's layout.
    posterior : the estimator of a Bayesian fit; None if the fit is not Bayesian.
    """

    name: str
    mixture: Mixture
    details: Details
    layout: int
    posterior: BayesianGaussianMixture | None = None

    @classmethod
    def open(cls, path: str | BytesIO) -> ModelFile:
        """Read a model file, a pipe, or standard input if `path` is "-"; raise InvalidModelFileError or OSError."""
        source = path_or_contents(path) if isinstance(path, str) else path
        name = _name_of_model(source)
        model, record = model_file.read(source)
        mixture, saved, posterior = Mixture._from_model(model), record.details.estimator, None
        if saved is not None and saved.name == BayesianGaussianMixture.__name__:
            try:
                posterior = BayesianGaussianMixture._restored(saved, model, None, record.details.dtype)
            except Damaged as damage:
                raise not_usable(name, str(damage)) from None
            mixture = posterior._exported()
        return cls(name, mixture, record.details, record.layout, posterior)

    def estimator(self, jobs: int | None) -> GaussianMixture | BayesianGaussianMixture:
        """Return an estimator that labels and scores rows; columns must be in the order of the model's features."""
        if self.posterior is None:
            return as_estimator(self.mixture.with_feature_names(None), jobs)
        self.posterior.set_params(n_jobs=jobs, missing=MISSING[0])
        return self.posterior

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the features, or x0, x1, … if the model has no names."""
        return self.details.feature_names or invented_names(self.mixture.n_features)

    @property
    def n_parameters(self) -> int:
        """Return the number of free parameters, not counting empty components, and weights that are fixed as equal."""
        estimator = self.details.estimator
        n = None if estimator is None or self.posterior is not None else estimator.attributes.get("n_parameters_")
        return n if isinstance(n, int) else self.mixture.n_parameters

    def match_columns(
        self, table: Table, columns: tuple[str, ...], without: Collection[str] = (), targets: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """Return the columns for all features of the model except `targets`, in the order of the model's features.

        Columns are matched with features by name. If the table or the model has no names, or if `columns` differ from
        the model's names, columns are matched by position, and the columns `without` are skipped. Raises ValueError if
        a column is missing or not numeric, the number of columns is wrong, or a target is not a feature of the model.
        """
        inputs = self._input_features(targets)
        wanted = None if self.details.feature_names is None else inputs
        if wanted is not None and set(columns) in (set(wanted), set(self.names)):
            columns = wanted  # if names differ only in order, columns are matched by name
        if columns or wanted is None or not table.has_names:
            candidates = columns or table.numeric_names(without)
            matched = self._by_position(table.name, candidates, inputs)
        else:
            missing = [name for name in wanted if name not in table.column_indices]
            if missing:
                columns_text = f"column{'s' * (len(missing) > 1)} {listed(missing)}"
                raise ValueError(
                    f"{table.name} has no {columns_text}, which {self.name} needs; the columns are "
                    f"{listed(table.names)}."
                )
            matched = wanted
        table.check_numeric([name for name in matched if not types.is_null(table.schema.field(name).type)])
        return matched

    def _input_features(self, targets: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the features that are not targets."""
        for target in targets:
            if target not in self.names:
                raise unknown_name("targets", target, self.names)
        inputs = tuple(name for name in self.names if name not in targets)
        if not inputs:
            raise ValueError(f"--targets contains every feature of {self.name}: leave at least one to predict from.")
        return inputs

    def _by_position(self, table: str, columns: tuple[str, ...], inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Return the table's columns for the input features, matched by position.

        The columns may be all features of the model, or only the input features.
        """
        if len(columns) == len(inputs):
            return columns
        if len(columns) != self.mixture.n_features:
            more = " in addition to the targets" if len(inputs) < len(self.names) else ""
            text = counted(len(columns), "numeric column")
            raise ValueError(f"{table} has {text}, but {self.name} has {len(inputs)} features{more}.")
        return tuple(columns[self.names.index(name)] for name in inputs)


@dataclass(frozen=True, eq=False)
class MixturesFile:
    """Contents of a file with the mixtures of many groups, of which at least one group has a mixture.

    Parameters
    ----------
    name : name of the file, as shown in messages.
    mixtures : the mixtures, which all have the same features.
    keys : dictionary that maps the text of a key to the key, for each group that has a mixture.
    """

    name: str
    mixtures: Mixtures
    keys: dict[str, Any]

    @classmethod
    def open(cls, path: str) -> MixturesFile:
        """Read a file, a pipe, or standard input if `path` is "-".

        Raises InvalidModelFileError or OSError, and ValueError if no group has a mixture or if two keys have the same
        text.
        """
        source = path_or_contents(path)
        name, mixtures = _name_of_model(source), Mixtures.load(source)
        keys = dict[str, Any]()
        for key in mixtures.keys:
            other = keys.setdefault(key_text(key), key)
            if other is not key:
                raise ValueError(f"{name} has the keys {other!r} and {key!r}, which a table can't tell apart.")
        keys = {text: key for text, key in keys.items() if key not in mixtures.errors}
        if not keys:
            raise ValueError(f"No group of {name} has a mixture.")
        return cls(name, mixtures, keys)

    @property
    def largest(self) -> ModelFile:
        """Return the model of a group with the most components; the features of all groups are the same."""
        n_components = dict(zip(self.mixtures.keys, self.mixtures.n_components, strict=True))
        return self.model(max(self.keys, key=lambda text: n_components[self.keys[text]]))

    def model(self, text: str) -> ModelFile:
        """Return the model of the group whose key has this text."""
        mixture = self.mixtures.get_mixture(self.keys[text]).with_feature_names(None)
        return ModelFile(self.name, mixture, Details(self.mixtures.feature_names), mixtures_file.MIXTURES_VERSION)


def key_text(key: Any) -> str:
    """Return the text of a group's key, which is the same for the numbers 2 and 2.0 as for the text "2"."""
    return str(int(key)) if isinstance(key, float) and key.is_integer() else str(key)


def _name_of_model(source: str | BytesIO) -> str:
    """Return the name of a model's file for messages; raise ValueError if the file is a table by its extension."""
    name = describe_file(source)
    if format_by_name(name) is not None:
        raise ValueError(f"{name} is a table, not a model. If the command needs both, pass the model first.")
    return name


def write_selection(
    file: BinaryIO, selection: GaussianMixtureIC, names: tuple[str, ...] | None, n_rows: int, row_weight: float
) -> None:
    """Write the model chosen by a model selection as an equivalent `GaussianMixture`, with a record of the fit."""
    single = as_single(selection)
    shared = selection.get_params(deep=False).keys() - _OWN_PARAMETERS
    settings = {key: value for key, value in single.get_params(deep=False).items() if key in shared}
    for key, value in settings.items():  # lists and objects such as priors become text that a file can store
        if isinstance(value, list | Value):
            settings[key] = ",".join(value) if isinstance(value, list) else repr(value)
    log_likelihood = selection.results_["log_likelihood"][selection.best_index_]
    fit = FitRecord(n_rows, row_weight, log_likelihood, selection.n_iter_, selection.converged_, settings)
    write_estimator(file, single, names, fit)
