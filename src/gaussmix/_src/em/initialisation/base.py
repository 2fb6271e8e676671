"""Initialisation: the assignment of rows to components for the first M-step, and a registry of the methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.initialisation.sample import DistinctRows
from gaussmix._src.engines.base import Engine
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.moment_spec import AssignmentRule
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.interfaces.whitening.diagonal import DiagonalWhitening, SphericalWhitening
from gaussmix._src.numerics.arrays import Array


@dataclass(frozen=True, eq=False)
class Partition:
    """Assignment of rows to components, from which the first M-step computes parameters.

    Parameters
    ----------
    parameters : parameters that determine the assignment if `rule` is `AssignmentRule.HARD`: each row is assigned to
        the most probable component.
    rule : rule that assigns rows. With `AssignmentRule.ASSIGNMENT`, the assignment is read from `responsibilities` or,
        if `responsibilities` is None, from `Block.assignment`.
    responsibilities : picklable function that computes responsibilities (n_rows, n_components) of a block. The process
        that holds the rows calls this function.
    search_rows : rows on which `em.search.split_and_merge` improves the first model; None if there is no search.
        Missing values are replaced by conditional means under the first model.
    search_seed : random seed of the split-and-merge search.
    unit : scale that divides features before distances are computed, (n_features,), in data units; None means 1.
    """

    parameters: Parameters | None = None
    rule: AssignmentRule = AssignmentRule.ASSIGNMENT
    responsibilities: Callable[[Block], Array] | None = None
    search_rows: DistinctRows | None = None
    search_seed: int = 0
    unit: Array | None = None

    @property
    def with_scaled_spheres(self) -> Partition:
        """Return the partition with spherical components as wide as the typical distance of centres from their median.

        The assignment adds log densities of labels, measurement errors and missing values to the squared distances, and
        trimming compares sums of densities. Therefore, with spherical components of width 1, the result would depend on
        the units of the features. If all centres coincide, the width of the components does not change.
        """
        parameters, centres = self.parameters, self.centres
        if centres is not None and (centres != centres[0]).any():
            parameters = sphere_parameters(centres, typical_centre_distance(centres, self.unit), self.unit)
        # Only the function `OutlierResponsibilities` has `with_scaled_spheres`.
        responsibilities = getattr(self.responsibilities, "with_scaled_spheres", self.responsibilities)
        return replace(self, parameters=parameters, responsibilities=responsibilities)

    @property
    def centres(self) -> Array | None:
        """Return centres (n_components, n_features) if each row is assigned to the nearest centre; otherwise None."""
        if self.rule is not AssignmentRule.HARD or self.parameters is None:
            return None
        is_nearest = self.unit is not None or isinstance(self.parameters.whitening, SphericalWhitening)
        return self.parameters.means if is_nearest else None

    def hard_assignment(self, block: Block | None) -> Array | NDArray[np.int32] | None:
        """Return centres or labels (n_rows,) if the partition assigns each row to one component; otherwise None."""
        centres, values = self.centres, getattr(self.responsibilities, "row_labels", None)
        return centres if block is None or values is None else values(block)


class Start(Protocol):
    """Function that makes a partition from a sample. The result must not depend on the order of the rows."""

    def __call__(
        self, sample: DistinctRows, engine: Engine[Any], n_components: int, rng: np.random.Generator
    ) -> Partition: ...


# `STARTS` maps the name of each initialisation to the module and function of the initialisation.
STARTS = {
    "hierarchical": "hierarchical.hierarchical",
    "k-means++": "kmeans.kmeans_plus_plus",
    "kmeans": "kmeans.kmeans",
    "search": "kmeans.kmeans_and_search",
    "random_from_data": "random.random_centres",
    "random": "random.random_responsibilities",
    "tree": "tree.tree",
}
StartName = Literal["auto", "hierarchical", "k-means++", "kmeans", "search", "random_from_data", "random", "tree"]
# Types of `init_params`: a name, labels or responsibilities of the rows, or a callable of (X, n_components, rng).
Initialisation = (
    StartName | list[Any] | tuple[Any, ...] | NDArray[Any] | Callable[[NDArray[Any], int, np.random.Generator], Any]
)
AUTO: Final = "auto"  # selects "search", or another initialisation if a split-and-merge search is not worthwhile
SCALED_KMEANS: Final = "k-means of scaled columns"  # initialisation by "auto" if "auto" does not run a search
DENSE_SEARCH: Final = "search of dense rows"  # second initialisation by "auto" with a noise component
SEARCHES = "search", DENSE_SEARCH  # initialisations that request a split-and-merge search
_UNLISTED_STARTS = {SCALED_KMEANS: STARTS["kmeans"], DENSE_SEARCH: "clutter.search_dense_rows"}
DETERMINISTIC_STARTS = frozenset({"hierarchical", "tree"})  # initialisations for which one run is enough


def load_start(name: str) -> Start:
    """Return the initialisation with the given name, and import the initialisation's module at the first use."""
    module, _, function = (_UNLISTED_STARTS.get(name) or STARTS[name]).partition(".")
    start: Start = getattr(import_module(f"gaussmix._src.em.initialisation.{module}"), function)
    return start


def repeat_starts(init_params: Any, names: Sequence[str], n_init: int) -> list[Any]:
    """Return one initialisation for each run: `n_init` copies of each name in `names`, or of a callable `init_params`.

    Labels, responsibilities and deterministic initialisations are used once, because they always give the same result.
    """
    if not names:
        return [init_params] * (n_init if callable(init_params) else 1)
    return [name for name in names for _ in range(1 if name in DETERMINISTIC_STARTS else n_init)]


def nearest_centre(centres: Array, unit: Array | None = None) -> Partition:
    """Return the partition that assigns each row to the component with the nearest centre.

    Parameters
    ----------
    centres : one centre for each component, (n_components, n_features), in data units.
    unit : numbers by which features are divided before distances are computed, (n_features,); None for no division.
    """
    return Partition(sphere_parameters(centres, unit=unit), AssignmentRule.HARD, unit=unit)


def typical_centre_distance(centres: Array, unit: Array | None = None) -> float:
    """Return the typical distance of centres (n_components, n_features) from their median, divided by √n_features.

    If means were used, a centre on an outlier could make components so wide that most distances are negligible compared
    with the log densities of labels, measurement errors and missing values. If all centres coincide, return 1.
    """
    offsets = centres - np.median(centres, axis=0)
    squares = ((offsets if unit is None else offsets / unit) ** 2).mean(axis=1)
    return float(np.median(squares) or squares.max()) ** 0.5 or 1.0


def sphere_parameters(centres: Array, width: float = 1.0, unit: Array | None = None) -> Parameters:
    """Return parameters with log p(x, k) = −½ ‖x − c_k‖² / width² for complete rows, where c_k are the centres.

    If `unit` (n_features,), in data units, is given, x and c_k are divided by `unit` before distances are computed.
    """
    whitening: Whitening = SphericalWhitening(np.full(1, 1.0 / width), np.zeros(1))
    if unit is not None:
        whitening = DiagonalWhitening(1.0 / width / unit[None], np.zeros(1))
    return Parameters(np.zeros(len(centres)), centres, whitening)
