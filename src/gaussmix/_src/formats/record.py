"""Records of the contents of a model file, as arrays and built-in types that are not checked to be a mixture."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from gaussmix._src.background import Background
from gaussmix._src.errors import counted
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.version import package_version

PathOrFile = str | os.PathLike[str] | BinaryIO
Scalar = str | int | float | bool | None
Json = Any  # a JSON value: a finite number, text, true, false, null, or a list or object of JSON values


class Damaged(Exception):
    """Error whose message is the reason why a file is not a model, phrased as the end of a sentence."""


def are_lists(items: Iterable[Any], *types: Any) -> bool:
    """Return whether every item is a list with one value of each given type, in the order of `types`."""
    return all(isinstance(one, list) and len(one) == len(types) and all(map(isinstance, one, types)) for one in items)


@dataclass(frozen=True)
class FitRecord:
    """A record of how a mixture was fitted."""

    n_rows: int  # number of rows of the training data
    row_weight: float  # total weight of the rows of the training data; n_rows if rows had no weights
    log_likelihood: float  # total log-likelihood of the training data under the mixture, in nats
    n_steps: int  # number of EM steps of the best run, which is the result
    has_converged: bool  # whether the best run, which is the result, has converged
    # The estimator's parameters by name (reg_covar, init_params, random_state, …), as built-in types.
    settings: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class EstimatorRecord:
    """A record of the estimator that fitted a mixture."""

    name: str  # name of the estimator's class
    parameters: Mapping[str, Json]  # parameters by name, as JSON values
    attributes: Mapping[str, Json]  # fitted attributes by name, as JSON values, without the mixture


@dataclass(frozen=True)
class Details:
    """Everything that a file stores about a mixture, except its arrays."""

    # One name for each feature, in order; None if the features of the training data had no names.
    feature_names: tuple[str, ...] | None = None
    dtype: str | None = None  # type of the training data, such as "float64"; None if unknown
    fit: FitRecord | None = None  # record of the fit; None if no fit was recorded
    # Parameters and attributes of the estimator; None if only a mixture was saved.
    estimator: EstimatorRecord | None = None
    package_version: str = field(default_factory=package_version)  # version of gaussmix that wrote the file


@dataclass(frozen=True, eq=False)
class Record:
    """A mixture as arrays and built-in types."""

    family: str  # name of the covariance structure
    # All arrays are float64. The covariances have the compact form of the covariance structure, such as variances only.
    weights: Array
    means: Array
    covariances: Array
    details: Details = field(default_factory=Details)  # everything that the file stores except the arrays
    layout: int = 1  # version of the file layout from which the record was read
    # Options of the covariance structure, as built-in types; empty for most structures.
    family_options: Mapping[str, Scalar] = field(default_factory=dict)
    noise: Background | None = None  # noise component; None if the mixture has no noise

    def invalid_reason(self) -> str | None:
        """Return the reason why the record is inconsistent, as the end of a sentence; None if it is consistent."""
        names, shape = self.details.feature_names, self.means.shape
        if names is not None and len(shape) == 2 and len(names) != shape[1]:
            return f"it names {counted(len(names), 'feature')}, but its means have {shape[1]}"
        return None
