"""Model files as the verbs use them."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from gaussmix.errors import listed, unknown_name
from gaussmix.estimators.gaussian_mixture import GaussianMixture
from gaussmix.estimators.regressor import GaussianMixtureRegressor
from gaussmix.formats import Details
from gaussmix.mixture import files
from gaussmix.mixture.mixture import Mixture
from gaussmix.sources.tables.inputs import STANDARD
from gaussmix.sources.tables.tables import Numbers, Table, invented_names


@dataclass(frozen=True)
class Model:
    """A mixture and what its file says of it.

    Parameters
    ----------
    name : of the file, for messages.
    mixture, details : what it holds.
    layout : version of its layout.
    """

    name: str
    mixture: Mixture
    details: Details
    layout: int

    @classmethod
    def open(cls, path: str) -> Model:
        """Read a file, or by "-" standard input; raises NotAModelFile or OSError."""
        numbers, record = files.read(sys.stdin.buffer if path == STANDARD else path)
        name = "standard input" if path == STANDARD else path
        return cls(name, Mixture(*numbers), record.details, record.layout)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the features; x1, x2 … where they have none."""
        return self.details.feature_names or invented_names(self.mixture.n_features)

    def known(self, targets: tuple[str, ...]) -> tuple[str, ...]:
        """The features that are no targets; raises ValueError where there is no such target, or nothing else."""
        for target in targets:
            if target not in self.names:
                raise unknown_name("--targets", target, self.names)
        known = tuple(name for name in self.names if name not in targets)
        if not known:
            raise ValueError(f"--targets names every feature of {self.name}: leave at least one to predict from.")
        return known

    def features(
        self,
        table: Table,
        columns: tuple[str, ...] = (),
        without: str | None = None,
        targets: tuple[str, ...] = (),
    ) -> Numbers:
        """The columns that the model reads, in its order: by name, or by place where one of them has no names.

        Parameters
        ----------
        table : the data.
        columns : which to take; by place, where they are not the model's names.
        without : a column that is no feature.
        targets : features that are not read, whether the table has them or not.

        Raises
        ------
        ValueError : one is missing or does not hold numbers, or there are too many to know which.
        """
        wanted = None if self.details.feature_names is None else self.known(targets)
        if wanted is not None and set(columns) == set(wanted):
            columns = wanted  # the user's order is no renaming
        if columns or wanted is None or not table.has_names:
            numbers = table.numeric(columns or None, without=[without] if without is not None else [])
            return self._by_place(table.name, numbers, self.known(targets))
        missing = [name for name in wanted if name not in table.names]
        if missing:
            raise ValueError(
                f"{table.name} has no column {listed(missing)}, which {self.name} needs; it has {listed(table.names)}."
            )
        return table.numeric(wanted)

    def _by_place(self, table: str, numbers: Numbers, known: tuple[str, ...]) -> Numbers:
        """Columns that stand for those known features, or for all, of which the known ones are taken."""
        if len(numbers.names) == len(known):
            return numbers
        if len(numbers.names) != self.mixture.n_features:
            beside = " beside the targets" if len(known) < len(self.names) else ""
            raise ValueError(
                f"{table} has {len(numbers.names)} numeric columns, but {self.name} has {len(known)} features{beside}."
            )
        places = [self.names.index(name) for name in known]
        names = tuple(numbers.names[place] for place in places)
        return Numbers(names, numbers.rows[:, places], numbers.notices)

    def estimator(self, jobs: int | None) -> GaussianMixture:
        """An estimator that has the mixture, to score with."""
        mixture = self.mixture
        estimator = GaussianMixture(mixture.n_components, covariance_type=mixture.family.name, n_jobs=jobs)
        estimator.set_params(**mixture.family.options)
        estimator._set_parameters((mixture.weights, mixture.means, mixture.covariances, ()))
        return estimator

    def regressor(self, targets: tuple[str, ...], jobs: int | None) -> GaussianMixtureRegressor:
        """An estimator that has the mixture, to predict features with."""
        places = [self.names.index(target) for target in targets]
        regressor = GaussianMixtureRegressor(self.mixture.n_components, targets=places, n_jobs=jobs)
        regressor._set_mixture(self.mixture, np.array(places))
        return regressor
