"""Define the problem that a fit solves: the rows, the size and structure of the mixture, and the objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em import initialisation
from gaussmix._src.em.collapse.remedies import Remedy
from gaussmix._src.em.initialisation.sample import DistinctRows, automatic_ridge, distinct_rows
from gaussmix._src.em.objective.objective import Objective
from gaussmix._src.engines import make_engine
from gaussmix._src.engines.base import Engine
from gaussmix._src.families.base import Family
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import LEAF_ROWS
from gaussmix._src.interfaces.moment_spec import Second
from gaussmix._src.model import Model, free_parameters
from gaussmix._src.noise_component import NoiseComponent
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.rows import unit_of_weights
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.base import Assignment, Source

if TYPE_CHECKING:
    from gaussmix._src.em.initialisation.user_labels import UserLabels
    from gaussmix._src.em.priors.terms import OverallMoments, PriorTerms
    from gaussmix._src.em.trimming.trimming import RowTrimming

SUBSAMPLE_GROWTH = 4  # ratio of the size of a subsample to the size of the previous subsample
MIN_SUBSAMPLE_VALUES, MIN_SUBSAMPLE_ROWS_PER_FEATURE = 2**16, 20  # EM on smaller subsamples would save no time


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The rows of a fit, with options and statistics that all candidates of a model selection share.

    Parameters
    ----------
    raw_source : the rows, with the weights that the user passed.
    labels : known components of rows; None if there are no labels.
    noise : noise component with its initial weight; None if the mixture has no noise component.
    trimming : rule that leaves out outliers; None if no rows are left out.
    """

    raw_source: Source
    labels: UserLabels | None = None
    noise: NoiseComponent | None = None
    trimming: RowTrimming | None = None
    _overall_moments: dict[bool, OverallMoments] = field(default_factory=dict, init=False)  # key: `is_matrix`

    @cached_property
    def weight_unit(self) -> float:
        """Return the power of 2 by which row weights are divided, so that weighted squares can't over- or underflow."""
        largest = self.raw_source.row_totals.largest_weight
        return 1.0 if largest is None else unit_of_weights(largest)

    @cached_property
    def _scaled_source(self) -> Source:
        """Return the rows with weights divided by a power of 2, which leaves the fit bit-identical."""
        return self.raw_source.reweighted(1 / self.weight_unit)

    def make_source(self, assignment: Assignment | None = None) -> Source:
        """Return the rows for one fit, with scaled weights, and without block states that other fits stored."""
        rows = self.raw_source if self.weight_unit == 1.0 else self._scaled_source
        return rows.without_states() if assignment is None else rows.with_assignment(assignment)

    def labelled_source(self, n_components: int) -> Source:
        """Return the rows for a fit with `n_components` components, including labels of known components, if any."""
        rows = self.make_source()
        if self.labels is None:
            return rows
        return rows.with_log_prior(*self.labels.log_prior(n_components, self.noise is not None))

    def trim_source(self, source: Source) -> Source:
        """Return a source of the rows of `source` without the trimmed rows."""
        return source if self.trimming is None else self.trimming.trim_source(source)

    @cached_property
    def sample(self) -> DistinctRows:
        """Return the sample of rows that initialisations and the automatic ridge use."""
        return distinct_rows(self.make_source())

    @cached_property
    def _imputed_sample(self) -> DistinctRows:
        return self._impute(self.sample)

    def imputed_sample(self, n_rows: int) -> DistinctRows:
        """Return `sample`, or a sample of `n_rows` if larger, with estimates of missing values if they are many."""
        return self._imputed_sample if n_rows <= LEAF_ROWS else self._impute(distinct_rows(self.make_source(), n_rows))

    def _impute(self, sample: DistinctRows) -> DistinctRows:
        if not (self.raw_source.may_miss and np.isnan(sample.clustered_rows.rows).any()):
            return sample
        engine, objective = make_engine(1, is_incomplete=True), Objective(self.default_ridge)
        return initialisation.imputation.estimate_missing_values(sample, engine, objective)

    @cached_property
    def condensed_rows(self) -> DistinctRows | None:
        """Return weighted rows that represent all rows if X is one complete feature without X_error; otherwise None."""
        source = self.raw_source
        if source.n_features > 1 or source.is_incomplete:
            return None
        subset = initialisation.condensation.condense_rows(self.sample)
        return subset.with_total_weight(source.row_totals.total_weight / self.weight_unit)

    def draw_subsamples(self, rng: np.random.Generator) -> Iterator[DistinctRows]:
        """Yield subsamples of increasing size, each with a total weight in proportion to its number of rows.

        Nothing is yielded if there are few rows, or if rows have measurement errors.
        """
        source, d = self.raw_source, self.raw_source.n_features
        min_size = max(-(-MIN_SUBSAMPLE_VALUES // d), MIN_SUBSAMPLE_ROWS_PER_FEATURE * d)
        sizes = [min(source.n_rows // SUBSAMPLE_GROWTH, LEAF_ROWS)]
        while sizes[-1] // SUBSAMPLE_GROWTH >= min_size:
            sizes.append(sizes[-1] // SUBSAMPLE_GROWTH)
        for size in reversed(sizes):
            if size >= min_size and not source.has_errors:
                weight = self.fraction_of_rows(size) * source.row_totals.total_weight / self.weight_unit
                yield self.sample.subsample(size, rng).with_total_weight(weight)

    def fraction_of_rows(self, n_rows: int) -> float:
        """Return the fraction of the rows of positive weight that a sample of `n_rows` rows represents."""
        return min(1.0, n_rows / self.raw_source.row_totals.n_positive)

    @cached_property
    def default_ridge(self) -> Array:
        """Return the automatic ridge (n_features,), which depends on row weights, because weights are row counts."""
        sample = self.sample
        if self.weight_unit != 1.0:
            sample = replace(sample, weight=sample.weight * self.weight_unit)
        return automatic_ridge(sample, 0.0 if self.trimming is None else self.trimming.fraction)

    def likelihood_objective(self, ridge: float | None) -> Objective:
        """Return the likelihood with `ridge` (None for the automatic ridge) on each variance, in squared data units."""
        return Objective(self.default_ridge if ridge is None else np.full(self.raw_source.n_features, ridge))

    def posterior_objective(self, terms: PriorTerms, problem: Problem) -> Objective:
        """Return the objective of EM with priors: the posterior density, with the priors and restrictions `terms`."""
        is_matrix = problem.family.kind.second is Second.FULL
        if terms.needs_moments and is_matrix not in self._overall_moments:
            rows = self.make_source(), self.weight_unit, problem.engine
            self._overall_moments[is_matrix] = terms.row_moments(*rows, is_matrix=is_matrix)
        plain, moments = self.likelihood_objective(problem.ridge), self._overall_moments.get(is_matrix)
        if moments is not None:  # a copy, because a reference cycle would keep the rows in memory
            moments = replace(moments, automatic_ridge=lambda: self.default_ridge)
        return terms.make_objective(plain.ridge, self.weight_unit, problem.n_components, problem.family, moments)

    def select_rows(self, is_selected: Callable[[Block], NDArray[np.bool_]], n_rows: int) -> TrainingData:
        """Return the data of the rows that a picklable function selects in each block; `n_rows` is their number."""
        labels = self.labels
        if labels is not None and (labels.label_indices is not None or labels.plausibilities is not None):
            labels = labels.take(self.raw_source.each_row(is_selected))
        return replace(self, raw_source=self.raw_source.part(is_selected, n_rows), labels=labels)


@dataclass(frozen=True, eq=False)
class Problem:
    """A problem that a fit solves: rows, mixture size and structure, objective, remedy for degenerate components.

    Parameters
    ----------
    data : rows to fit, with labels, noise and trimming.
    family, n_components : covariance structure and number of components of the mixture.
    engine : engine that sums over the rows.
    ridge : number that is added to each variance, in squared units of the data; None for the automatic ridge.
    remedy : treatment of components that collapse or become empty.
    terms : priors and fixed parameters; None if there are none.
    """

    data: TrainingData
    family: Family
    n_components: int
    engine: Engine[Any]
    ridge: float | None
    remedy: Remedy = Remedy.FREEZE
    terms: PriorTerms | None = None

    @cached_property
    def source(self) -> Source:
        """Return the rows with labels and trimming; the block states of this source belong to this fit only."""
        data = self.data
        source = data.make_source() if data.labels is None else data.labelled_source(self.n_components)
        return source if data.trimming is None else data.trim_source(source)

    @cached_property
    def objective(self) -> Objective:
        """Return the objective that EM maximises in this problem."""
        data, terms = self.data, self.terms
        return data.likelihood_objective(self.ridge) if terms is None else data.posterior_objective(terms, self)

    @property
    def n_parameters(self) -> int:
        """Return the number of free parameters of the mixture, including parameters that the fit keeps fixed."""
        has_noise = self.data.noise is not None
        return free_parameters(self.family, self.n_components, self.source.n_features, has_noise=has_noise)

    def can_continue_from(self, model: Model) -> bool:
        """Return whether EM can continue from a model: its size and structure must be the same as in this problem."""
        is_alike = model.family == self.family and (model.noise is None) == (self.data.noise is None)
        return is_alike and model.means.shape == (self.n_components, self.source.n_features)

    def adopt_model(self, model: Model) -> Model:
        """Return the model of another fit, but with the noise density of this problem."""
        noise = self.data.noise
        if noise is None or model.noise is None:
            return model
        return replace(model, noise=noise.with_weight(model.noise.weight))
