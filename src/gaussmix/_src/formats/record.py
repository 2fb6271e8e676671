"""Records of the contents of model files: arrays and built-in types that may not be a valid mixture."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from gaussmix._src.errors import counted
from gaussmix._src.noise_component import NoiseComponent
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.version import package_version

PathOrFile = str | os.PathLike[str] | BinaryIO
Scalar = str | int | float | bool | None
Json = Any  # a JSON value: a finite number, text, true, false, null, or a list or object of JSON values


class Damaged(Exception):
    """Error for a file that is not a model; the message is the reason, worded as the end of a sentence."""


def are_lists(items: Iterable[Any], *types: Any) -> bool:
    """Return whether every item is a list of one value of each of the `types`, in the order of `types`."""
    return all(isinstance(one, list) and len(one) == len(types) and all(map(isinstance, one, types)) for one in items)


@dataclass(frozen=True)
class FitRecord:
    """Record of the fit of a mixture."""

    n_rows: int  # number of rows of the training data
    row_weight: float  # total row weight of the training data; n_rows if the rows had no weights
    log_likelihood: float  # total log-likelihood of the training data under the mixture, in nats
    n_steps: int  # number of EM steps of the best run
    has_converged: bool  # whether the best run has converged
    # Map from names of the estimator's parameters (reg_covar, init_params, random_state, …) to built-in values.
    settings: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class EstimatorRecord:
    """Record of the estimator that fitted a mixture."""

    name: str  # name of the estimator's class
    parameters: Mapping[str, Json]  # map from the names of parameters to JSON values
    attributes: Mapping[str, Json]  # map from the names of fitted attributes (except the mixture) to JSON values


@dataclass(frozen=True)
class Details:
    """Everything that a file stores about a mixture except the arrays of the mixture."""

    # Names of the features; None if the features of the training data had no names.
    feature_names: tuple[str, ...] | None = None
    dtype: str | None = None  # data type of the training data, such as "float64"; None if unknown
    fit: FitRecord | None = None  # record of the fit of the mixture; None if no fit was recorded
    # Record of the estimator; None if the mixture was saved without an estimator.
    estimator: EstimatorRecord | None = None
    package_version: str = field(default_factory=package_version)  # version of gaussmix that wrote the file


@dataclass(frozen=True, eq=False)
class Record:
    """A mixture in the form of arrays and built-in types."""

    family: str  # name of the covariance structure
    # All arrays are float64. Covariances are in the compact form of the covariance structure, for example variances.
    weights: Array
    means: Array
    covariances: Array
    details: Details = field(default_factory=Details)  # everything that a file stores except arrays
    layout: int = 1  # version of the file layout from which the record was read
    # Map from option names of the covariance structure to values of built-in types; most structures have no options.
    family_options: Mapping[str, Scalar] = field(default_factory=dict)
    noise: NoiseComponent | None = None  # noise component; None if the mixture has no noise

    def invalid_reason(self) -> str | None:
        """Return why this record is inconsistent, as the end of a sentence; None if the record is consistent."""
        names, shape = self.details.feature_names, self.means.shape
        if names is not None and len(shape) == 2 and len(names) != shape[1]:
            return f"it names {counted(len(names), 'feature')}, but its means have {shape[1]}"
        return None
