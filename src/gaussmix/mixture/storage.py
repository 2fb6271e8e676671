"""A mixture to a file or a dictionary and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from gaussmix.formats import Details, Place
from gaussmix.mixture import files
from gaussmix.mixture.values import Values


class Storage(Values):
    """Files and dictionaries."""

    def save(self, path: Place) -> None:
        """Write the mixture to a model file, which appears whole or not at all.

        Parameters
        ----------
        path : where, "….gmm" by custom; a file that is there is replaced. Or a binary file open for writing.

        Raises
        ------
        ValueError : this is no mixture: weights that don't sum to 1, covariances that are not positive definite …
        OSError : the file can't be written.
        """
        files.write(path, self._numbers, Details(self.feature_names))

    @classmethod
    def load(cls, path: Place) -> Self:
        """Read a mixture from a model file, bit for bit as it was saved; nothing in the file is run.

        Parameters
        ----------
        path : of a file written by this or an earlier version, by `save` here or of an estimator, or by the command
            line. Or a binary file open for reading.

        Raises
        ------
        NotAModelFile : the file is damaged, truncated, of a later layout or something else; the message says which.
        OSError : there is no such file, or it can't be read.
        """
        numbers, record = files.read(path)
        return cls(*numbers, record.details.feature_names)

    def to_dict(self) -> dict[str, Any]:
        """The mixture as a dictionary of plain values, for JSON; `from_dict` brings it back bit for bit.

        Raises
        ------
        ValueError : this is no mixture, as for `save`.
        """
        return files.to_dict(self._numbers, self.feature_names)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The mixture of a dictionary that `to_dict` made.

        Parameters
        ----------
        values : "format", "version", "family", "weights", "means" and "covariances"; "feature_names" where
            there are some; other keys are ignored.

        Raises
        ------
        ValueError : the values make no mixture; the message says why.
        """
        numbers, names = files.from_dict(values)
        return cls(*numbers, names)
