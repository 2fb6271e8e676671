"""What an estimator keeps: itself in a file, and itself as it was where a fit fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from gaussmix.estimators.files import FOUND, Reader, details_of, restored
from gaussmix.formats import FitRecord, Place
from gaussmix.mixture import files
from gaussmix.mixture.mixture import Mixture


class Saved:
    """An estimator whose fit leaves a mixture, and attributes that a file can hold."""

    mixture_: Mixture
    n_features_in_: int
    _attributes: ClassVar[Mapping[str, Reader]] = FOUND  # what `fit` finds beside the mixture

    def save(self, path: Place) -> None:
        """Write the fitted estimator to a model file, which appears whole or not at all.

        The file holds the mixture, the parameters, what `fit` found, and the names and type of the features.

        Parameters
        ----------
        path : where, "….gmm" by custom; a file that is there is replaced. Or a binary file open for writing.

        Raises
        ------
        NotFittedError : before `fit`.
        ValueError : a parameter is a function or another object that no file can hold.
        OSError : the file can't be written.
        """
        check_is_fitted(self)
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
        ValueError : it holds a mixture alone, or another estimator.
        OSError : there is no such file, or it can't be read.
        """
        estimator: Self = restored(cls, path)
        return estimator

    def _woken(self, mixture: Mixture) -> None:
        """Take the mixture of a file; the other attributes are there already."""
        self.mixture_, self.n_features_in_ = mixture, mixture.n_features
        if mixture.feature_names is not None:
            self.feature_names_in_ = np.asarray(mixture.feature_names, dtype=object)


@contextmanager
def unchanged_on_failure(estimator: BaseEstimator) -> Iterator[None]:
    """Leave an estimator as it was where what is done to it fails."""
    before: dict[str, Any] = dict(vars(estimator))
    try:
        yield
    except BaseException:
        estimator.__dict__ = before
        raise


def write_estimator(
    place: Place, estimator: Any, names: tuple[str, ...] | None = None, fit: FitRecord | None = None
) -> None:
    """Write a fitted estimator to a model file; `names` and `fit` as for `details_of`, errors as of `Saved.save`."""
    mixture, details = estimator.mixture_, details_of(estimator, names, fit)
    files.write(place, (mixture.weights, mixture.means, mixture.covariances, mixture.family), details)
