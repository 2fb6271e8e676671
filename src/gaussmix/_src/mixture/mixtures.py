"""The public class `Mixtures`, which stores the mixtures of many groups in common arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from gaussmix._src import numerics
from gaussmix._src.errors import ParameterTypeError, counted, invented_names
from gaussmix._src.families.base import Family
from gaussmix._src.formats import mixtures_file
from gaussmix._src.formats.mixtures_file import GROUP_TENSORS, MixturesRecord, group_arrays
from gaussmix._src.formats.record import PathOrFile
from gaussmix._src.mixture.features import as_block
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.model import Model
from gaussmix._src.numerics.arrays import Array, Rows, frozen
from gaussmix._src.numerics.cells import rows_by_key
from gaussmix._src.numerics.threads import cached_property


@dataclass(frozen=True, eq=False, repr=False)
class Mixtures(Sequence[Mixture]):
    """The mixtures of many groups, which `gaussmix.fit_many` returns; `mixtures["a"]` is the mixture of group "a".

    Parameters
    ----------
    keys : keys of the groups, in the order of the first axis of the arrays below.
    weights : weights of the components, (n_groups, n_components). If a group has no mixture, its weights, means and
        covariances are NaN. If a group has fewer components than another, the values of the missing components are NaN.
    means : means of the components, (n_groups, n_components, n_features), in data units.
    covariances : covariances of the components, (n_groups, …), in data units². The covariances of one group have the
        shape of `Mixture.covariances`.
    family : covariance structure of all mixtures.
    converged : whether the fit of each group converged, (n_groups,).
    n_iter : number of EM steps of each group, (n_groups,).
    lower_bound : mean log-likelihood per row in each group at the last EM step, (n_groups,), in nats.
    errors : dictionary that maps the key of each group without a mixture to the reason.
    notes : dictionary that maps the key of each group whose fit gave warnings to the texts of these warnings.
    feature_names : names of the features of all groups; None if the features have no names.

    Notes
    -----
    An integer in brackets is the index of a group, so that ``mixtures[0]`` is the mixture of the first group. If the
    keys are integers, use `get_mixture` to access a mixture by its key. ``key in mixtures`` is True if a group has this
    key. If a group has no mixture, indexing and `get_mixture` raise ValueError with the reason in `errors`, and `items`
    leaves the group out.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import fit_many
    >>> rows = np.random.default_rng(0).normal(size=(60, 2))
    >>> mixtures = fit_many({"a": rows[:30], "b": rows[30:]}, random_state=0)
    >>> mixtures.keys
    ('a', 'b')
    >>> mixtures["b"] == mixtures.get_mixture("b") == mixtures[1]
    True
    """

    keys: tuple[Any, ...]
    weights: Array
    means: Array
    covariances: Array
    family: Family
    converged: NDArray[np.bool_]
    n_iter: NDArray[np.int64]
    lower_bound: Array
    errors: Mapping[Any, str]
    notes: Mapping[Any, Sequence[str]]
    feature_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for array in (self.weights, self.means, self.covariances, self.lower_bound):
            frozen(array)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name[0] == "_" or not hasattr(Mixture, name):
                return object.__getattribute__(self, name)  # raises the usual AttributeError of Python
            raise AttributeError(f"Mixtures has no {name}. Use get_mixture(key).{name}.", name=name, obj=None)

    def __len__(self) -> int:
        return len(self.keys)

    def __eq__(self, other: object) -> bool:
        """Return whether all fields are equal, where NaN is equal to NaN."""
        if not isinstance(other, Mixtures):
            return NotImplemented
        pairs = ((getattr(self, name), getattr(other, name)) for name in GROUP_TENSORS)
        return self._plain() == other._plain() and all(np.array_equal(*pair, equal_nan=True) for pair in pairs)

    def _plain(self) -> tuple[Any, ...]:
        notes = {key: [*texts] for key, texts in self.notes.items()}
        return self.keys, self.family, self.errors, notes, self.feature_names

    def __hash__(self) -> int:
        return hash((self.keys, self.family.name, self.feature_names, self.means.shape))

    @overload
    def __getitem__(self, i: int) -> Mixture: ...
    @overload
    def __getitem__(self, i: slice) -> list[Mixture]: ...
    @overload
    def __getitem__(self, i: Any) -> Mixture: ...
    def __getitem__(self, i: Any) -> Mixture | list[Mixture]:
        if isinstance(i, slice):
            return [self[nth] for nth in range(*i.indices(len(self)))]
        if isinstance(i, bool) or not hasattr(i, "__index__"):
            return self.get_mixture(i)
        try:
            key = self.keys[nth := range(len(self))[index(i)]]
        except IndexError:
            size = counted(len(self), "group")
            raise IndexError(f"Index {i} is out of range for {size}. For keys, use get_mixture(key).") from None
        if key in self.errors:
            raise ValueError(self._why_no_mixture(key))
        arrays = group_arrays(nth, self.weights, self.means, self.covariances, self.family)
        model = Model.from_arrays(*arrays, self.family)
        return Mixture._from_model(model, self.feature_names)

    def __contains__(self, value: object) -> bool:
        """Return whether `value` is the key or the mixture of a group."""
        if isinstance(value, Mixture):
            return any(mixture == value for _, mixture in self.items())
        return value in self._positions

    def __repr__(self) -> str:
        _, largest, n_features = self.means.shape
        smallest = self.n_components[self.n_components > 0].min(initial=largest)
        counts = f"{largest}" if smallest == largest else f"{smallest}–{largest}"
        size = f"K={counts}, {counted(n_features, 'feature')}, {self.family.name!r}"
        return f"<Mixtures of {counted(len(self), 'group')}: {size}; {len(self.errors):,} without a mixture>"

    @property
    def n_components(self) -> NDArray[np.int64]:
        """Number of components of each group, (n_groups,); 0 if the group has no mixture."""
        return np.count_nonzero(~np.isnan(self.weights), axis=1)

    def get_mixture(self, key: Any) -> Mixture:
        """Return the mixture of a group.

        Parameters
        ----------
        key : key of the group.

        Raises
        ------
        KeyError : no group has this key.
        ValueError : the group has no mixture; the message gives the reason.
        """
        try:
            nth = self._positions[key]
        except KeyError:
            raise KeyError(self._why_no_mixture(key)) from None
        return self[nth]

    def items(self) -> Iterator[tuple[Any, Mixture]]:
        """Return an iterator over pairs of key and mixture, for all groups that have a mixture."""
        return ((key, self[nth]) for nth, key in enumerate(self.keys) if key not in self.errors)

    def predict(self, frame: Any, by: Any = None) -> NDArray[np.int64]:
        """Return the index of the most probable component of each row, under the mixture of the row's group.

        Parameters
        ----------
        frame : data frame (pandas, polars or Arrow) with a column for each feature, in data units, and a column of
            group keys. If the mixtures have feature names, other columns are ignored.
        by : name of the column that contains the key of each row's group. You must set this parameter.

        Returns
        -------
        labels : component indices, (n_rows,).

        Raises
        ------
        ValueError : a column does not exist, a feature contains text, a value is missing or infinite, or a group has
            no mixture. The message names the column or the row.
        TypeError : `frame` is not a data frame, `by` is not set, or a column contains other objects than numbers.

        Examples
        --------
        >>> import pandas as pd
        >>> from gaussmix import fit_many
        >>> frame = pd.DataFrame({"sensor": ["a", "b"] * 4, "x": [0.0, 5.0, 0.1, 5.1, 1.0, 7.0, 1.1, 7.1]})
        >>> mixtures = fit_many(frame, 2, by="sensor", random_state=0)
        >>> labels = mixtures.predict(frame, by="sensor")
        >>> (labels == mixtures["b"].predict(frame[["x"]]))[1::2]
        array([ True,  True,  True,  True])
        """
        return self._evaluate_groups(frame, by, Mixture.predict, np.dtype(np.int64))

    def log_density(self, frame: Any, by: Any = None) -> Array:
        """Return log p(x) of each row under the mixture of the row's group, (n_rows,), in nats.

        The parameters and the errors are the same as in `predict`.
        """
        return self._evaluate_groups(frame, by, Mixture.log_density, np.dtype(np.float64))

    def _evaluate_groups(
        self, table: Any, by: Any, evaluate: Callable[[Mixture, Rows], NDArray[Any]], dtype: np.dtype[Any]
    ) -> NDArray[Any]:
        """Apply `evaluate` to the rows of each group, and return its results in the order of the rows of the table."""
        frame = numerics.frames.Frame.from_table(table)
        if frame is None or by is None:
            raise ParameterTypeError(
                "Pass a data frame and by=, the name of its column of keys. For the rows of one group, use "
                f"get_mixture(key).{evaluate.__name__}."
            )
        indices, names = rows_by_key(frame, by), self.feature_names
        unknown = next((key for key in indices if key not in self._positions or key in self.errors), None)
        if unknown is not None:
            raise ValueError(f"Row {indices[unknown][0]} cannot be evaluated. {self._why_no_mixture(unknown)}")
        absent = [name for name in names or () if name not in frame.names]
        if absent:
            raise ValueError(f"The data frame has no column {absent[0]!r}, which the mixtures need.")
        features = names or tuple(name for name in frame.names if name != by)
        rows = as_block(frame.only(features), self.means.shape[2], features, "The data frame").rows
        result = np.empty(len(rows), dtype)
        for key, own in indices.items():
            result[own] = evaluate(self.get_mixture(key), rows[own])
        return result

    def tidy(self) -> Any:
        """Return a data frame with a row for each component of each group that has a mixture.

        Returns
        -------
        frame : a data frame from the first of pandas, polars and pyarrow that is installed. Columns: "group" (the key,
            as text if the keys have several types), "component", "weight", and ``mean_x`` and ``sd_x`` for each feature
            x, in data units.

        Raises
        ------
        ImportError : neither pandas, polars nor pyarrow is installed.

        Examples
        --------
        >>> from gaussmix import fit_many
        >>> fit_many({"a": [[0.0], [2.0]], "b": [[4.0], [8.0]]}).tidy().round(3)
          group  component  weight  mean_x0  sd_x0
        0     a          0     1.0      1.0    1.0
        1     b          0     1.0      6.0    2.0
        """
        groups, components = np.nonzero(~np.isnan(self.weights))
        keys = [self.keys[nth] for nth in groups]
        if len({type(key) for key in keys}) > 1:
            keys = [str(key) for key in keys]
        means, n_features = self.means[groups, components], self.means.shape[2]
        variances = [mixture._model.covariances.variances() for _, mixture in self.items()]
        deviations = np.sqrt(np.concatenate([np.empty((0, n_features)), *variances]))
        columns: dict[str, Any] = {"group": keys, "component": components, "weight": self.weights[groups, components]}
        for j, name in enumerate(self.feature_names or invented_names(n_features)):
            columns |= {f"mean_{name}": means[:, j], f"sd_{name}": deviations[:, j]}
        return numerics.frames.made_frame(columns)

    def save(self, path: PathOrFile) -> None:
        """Write the mixtures and all other fields to one file. If writing fails, no partial file remains.

        Parameters
        ----------
        path : path of the file, usually "….gmm", or a file opened for writing in binary mode. An existing file is
            replaced.

        Raises
        ------
        TypeError : `path` is neither a path nor a file opened in binary mode.
        ValueError : a key is neither a string nor a finite number, or the covariance structure is not registered.
        OSError : the file cannot be written.
        """
        arrays = {name: np.asarray(getattr(self, name), np.float64) for name in GROUP_TENSORS}
        errors = {self._positions[key]: sentence for key, sentence in self.errors.items()}
        notes = {self._positions[key]: sentences for key, sentences in self.notes.items()}
        mixtures_file.write(path, MixturesRecord(self.family, arrays, self.keys, errors, notes, self.feature_names))

    @classmethod
    def load(cls, path: PathOrFile) -> Mixtures:
        """Read mixtures from a file, exactly as they were saved. No code from the file is executed.

        The file must have been written by `save` or the command line. The parameter and the errors are the same as in
        `Mixture.load`.
        """
        record = mixtures_file.read(path)
        kinds: dict[str, Any] = dict.fromkeys(GROUP_TENSORS, np.float64) | {"converged": np.bool_, "n_iter": np.int64}
        arrays: dict[str, Any] = {name: record.tensors[name].astype(kind, copy=False) for name, kind in kinds.items()}
        errors = {record.keys[nth]: sentence for nth, sentence in record.errors.items()}
        notes = {record.keys[nth]: sentences for nth, sentences in record.notes.items()}
        more: dict[str, Any] = {"errors": errors, "notes": notes, "feature_names": record.feature_names}
        return cls(tuple(record.keys), family=record.family, **arrays, **more)

    def _why_no_mixture(self, key: Any) -> str:
        if key in self.errors:
            return f"Group {key!r} has no mixture: {self.errors[key]}"
        return f"No group has the key {key!r:.60}. The first key is {self.keys[0]!r:.60}."

    @cached_property
    def _positions(self) -> dict[Any, int]:
        return {key: nth for nth, key in enumerate(self.keys)}


Mixtures.__module__ = "gaussmix"  # the public module that exports Mixtures
