"""What is to be fitted: the rows, and a mixture of a structure and a size to raise the objective with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.background import Background
from gaussmix._src.em import initialisation
from gaussmix._src.em.collapse.remedies import Remedy
from gaussmix._src.em.initialisation.sample import Distinct, automatic_ridge, column_units, distinct_rows
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.engines.base import Engine
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.model import Model, free_parameters
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.rows import unit_of_weights
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.base import Assignment, Source

if TYPE_CHECKING:
    from gaussmix._src.em.initialisation.user_labels import UserLabels
    from gaussmix._src.em.priors.terms import OverallMoments, Terms
    from gaussmix._src.em.trimming.trimming import Trim

PART_GROWTH = 4  # times the rows of a part has the next one
MIN_PART_VALUES, MIN_PART_ROWS_PER_FEATURE = 2**16, 20  # of a part: smaller ones save nothing


@dataclass(frozen=True, eq=False)
class Data:
    """The rows, and facts about them that all mixtures share.

    Parameters
    ----------
    original : the rows, with the weights that the user gave.
    labels : known components of rows; None if there is none.
    noise : the background with its initial weight; None if there is none.
    trim : leaves out rows; None if it leaves out none.
    """

    original: Source
    labels: UserLabels | None = None
    noise: Background | None = None
    trim: Trim | None = None
    _moments: dict[bool, OverallMoments] = field(default_factory=dict, init=False)  # by whether they have matrices

    @cached_property
    def unit(self) -> float:
        """The power of 2 that weights are divided by, so that weighted squares neither overflow nor vanish."""
        largest = self.original.profile.largest_weight
        return 1.0 if largest is None else unit_of_weights(largest)

    @cached_property
    def _reduced(self) -> Source:
        """The rows with weights below 1, which changes no bit of a fit."""
        return self.original.reweighted(1 / self.unit)

    def source(self, assignment: Assignment | None = None) -> Source:
        """The rows for one fit: weights below 1, and states of their own."""
        rows = self.original if self.unit == 1.0 else self._reduced
        return rows.fresh() if assignment is None else rows.with_assignment(assignment)

    def labelled(self, n_components: int) -> Source:
        """The same with the known components of rows, for a fit of so many components."""
        if self.labels is None:
            return self.source()
        rows = self.original if self.unit == 1.0 else self._reduced
        return rows.with_log_prior(*self.labels.log_prior(n_components, self.noise is not None))

    def trimmed(self, source: Source) -> Source:
        """A source of these rows, without those that the fit leaves out."""
        return source if self.trim is None else self.trim.source(source)

    @cached_property
    def sample(self) -> Distinct:
        """Rows for starts and for the automatic ridge."""
        return distinct_rows(self.source())

    @cached_property
    def scaled_sample(self) -> Distinct:
        """The same, with a unit of its own for each column."""
        return replace(self.sample, unit=column_units(self.ridge))

    @cached_property
    def condensed(self) -> Distinct | None:
        """Few rows of one feature that stand for all, with their weights; None where rows are more than numbers."""
        source = self.original
        if source.n_features > 1 or source.is_incomplete:
            return None
        subset = initialisation.condensed.condensed(self.sample)
        total = source.profile.total_weight / self.unit
        return replace(subset, weight=subset.weight * (total / subset.weight.sum()))

    def parts(self, rng: np.random.Generator) -> Iterator[Distinct]:
        """Parts of the sample, each with more rows than the one before, and weights that sum to a part of all weight.

        There is none where rows are few, or have errors.
        """
        source, d = self.original, self.original.n_features
        min_size = max(-(-MIN_PART_VALUES // d), MIN_PART_ROWS_PER_FEATURE * d)
        sizes = [min(source.n_rows // PART_GROWTH, LEAF_ROWS)]
        while sizes[-1] // PART_GROWTH >= min_size:
            sizes.append(sizes[-1] // PART_GROWTH)
        for size in reversed(sizes):
            if size >= min_size and not source.has_errors:
                subset = self.sample.part(size, rng)
                weight = size / source.n_rows * source.profile.total_weight / self.unit
                yield replace(subset, weight=subset.weight * (weight / subset.weight.sum()))

    @cached_property
    def ridge(self) -> Array:
        """The automatic ridge, (n_features,), of the weights as they were given: it counts rows."""
        sample = self.sample
        if self.unit != 1.0:
            sample = replace(sample, weight=sample.weight * self.unit)
        return automatic_ridge(sample, 0.0 if self.trim is None else self.trim.fraction)

    def objective(self, ridge: float | None) -> Objective:
        """Maximum likelihood with this ridge on every variance, data units²; None for the automatic one."""
        return Objective(self.ridge if ridge is None else np.full(self.original.n_features, ridge))

    def restricted(self, terms: Terms, problem: Problem) -> Objective:
        """What EM raises: `objective`, or with the prior and the fixed parameters of `terms` the posterior density."""
        is_matrix = problem.family.kind.second is Second.FULL
        if terms.needs_moments and is_matrix not in self._moments:
            self._moments[is_matrix] = terms.moments(self.source(), self.unit, problem.engine, is_matrix=is_matrix)
        plain, moments = self.objective(problem.ridge), self._moments.get(is_matrix)
        if moments is not None:  # not in `_moments`, because a cycle would keep the rows
            moments = replace(moments, automatic_ridge=lambda: self.ridge)
        return terms.objective(plain.ridge, self.unit, problem.n_components, problem.family, moments)

    def part(self, choose: Callable[[Block], NDArray[np.bool_]], n_rows: int) -> Data:
        """The `n_rows` rows for which a picklable function of their block is true."""
        labels = self.labels
        if labels is not None and (labels.indices is not None or labels.table is not None):
            labels = labels.part(self.original.each_row(choose))
        return replace(self, original=self.original.part(choose, n_rows), labels=labels)


@dataclass(frozen=True, eq=False)
class Problem:
    """A mixture to fit to rows: what EM maximises, and what it does with a degenerate component.

    Parameters
    ----------
    data : the rows.
    family, n_components : the structure of the covariances and the number of components.
    engine : sums over the rows.
    ridge : added to each variance, data units²; None for the automatic one.
    remedy : for a degenerate component.
    terms : priors and fixed parameters; None if there is none.
    """

    data: Data
    family: Family
    n_components: int
    engine: Engine[Any]
    ridge: float | None
    remedy: Remedy = Remedy.FREEZE
    terms: Terms | None = None

    @cached_property
    def source(self) -> Source:
        """The rows with the states of this fit."""
        data = self.data
        source = data.source() if data.labels is None else data.labelled(self.n_components)
        return source if data.trim is None else data.trimmed(source)

    @cached_property
    def objective(self) -> Objective:
        """What EM maximises."""
        terms = self.terms
        return self.data.objective(self.ridge) if terms is None else self.data.restricted(terms, self)

    @property
    def n_parameters(self) -> int:
        """Number of free parameters of the mixture, with those that the fit keeps fixed."""
        has_noise = self.data.noise is not None
        return free_parameters(self.family, self.n_components, self.source.n_features, has_noise=has_noise)

    def continues(self, model: Model) -> bool:
        """Whether EM can continue from a model: it has the size and the structure of this problem."""
        is_alike = model.family == self.family and (model.noise is None) == (self.data.noise is None)
        return is_alike and model.means.shape == (self.n_components, self.source.n_features)

    def adopt(self, model: Model) -> Model:
        """The model of another fit, with noise in the volume of these rows."""
        noise = self.data.noise
        if noise is None or model.noise is None:
            return model
        return replace(model, noise=noise.weighing(model.noise.weight))
