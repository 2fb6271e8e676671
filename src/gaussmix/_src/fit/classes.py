"""Mixtures of classes, fitted to rows of known and of unknown class.

mclust calls one component for each class EDDA, and a mixture for each class MclustDA; Fraley & Raftery (2002), JASA 97,
section 4; Scrucca et al. (2023), chapter 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.em.initialisation.base import Partition
from gaussmix._src.em.initialisation.initial import InitialMoments
from gaussmix._src.em.initialisation.user_labels import UserLabels
from gaussmix._src.em.objective.stopping import StopRule
from gaussmix._src.em.objective.trace import EMState
from gaussmix._src.em.step.accumulate import StepTask
from gaussmix._src.engines.base import Engine
from gaussmix._src.errors import SingularCovarianceError
from gaussmix._src.families.base import Family
from gaussmix._src.fit.features.base import FitOptions
from gaussmix._src.fit.fit import fit
from gaussmix._src.fit.plan import ModelStart, Plan, SharedStarts
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import MomentSpec, Second
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.diagonal import DiagonalWhitening
from gaussmix._src.mixture.class_mixtures import ClassMixtures
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.base import Source

EmFit = tuple[EMState, Problem, Plan]  # the end of EM, what was fitted, and how


@dataclass(frozen=True, eq=False)
class ClassFit:
    """The mixtures of the classes, and how they were fitted.

    Parameters
    ----------
    classes : the mixtures.
    log_likelihood : Σ s log p(x, c) over rows of known class, Σ s log p(x) over others; nats, a total.
    n_parameters : free ones, the classes' probabilities among them.
    structures : the name of the structure of each class.
    n_steps : EM steps, the most that a class took.
    em_fit : the end of EM, what was fitted, and how; None if EM made no step.
    problem : the problem that the fit of all classes solved; None if each class was fitted separately.
    """

    classes: ClassMixtures
    log_likelihood: float
    n_parameters: int
    structures: list[str]
    n_steps: int
    em_fit: EmFit | None = None
    problem: Problem | None = None

    def with_prior(self, prior: Array, row_weight: float) -> ClassFit:
        """The fit with given probabilities (n_classes,) of the classes; all rows must be of known class."""
        change = row_weight * float(self.classes.prior @ (np.log(prior) - np.log(self.classes.prior)))
        log_likelihood, n_parameters = self.log_likelihood + change, self.n_parameters - len(prior) + 1
        classes = self.classes.with_prior(prior)
        return replace(self, classes=classes, log_likelihood=log_likelihood, n_parameters=n_parameters)

    def bic(self, row_weight: float) -> float:
        """−2 log L + p log Σs; lower is better. mclust's sign is opposite, and it counts no class probabilities."""
        return -2 * self.log_likelihood + self.n_parameters * float(np.log(row_weight))


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows with their classes, as far as they are known.

    Parameters
    ----------
    data : the rows; `Block.assignment` is the class of each, in 0 … n_classes − 1, and −1 where it is not known.
    n_classes : at least 2.
    engine : sums over them.
    options : what the fits use besides.
    """

    data: TrainingData
    n_classes: int
    engine: Engine[Any]
    options: FitOptions = ()

    @property
    def class_weights(self) -> Array:
        """Weight of the rows that are known to be of each class, (n_classes,)."""
        return self._class_totals[0]

    @property
    def is_fully_labelled(self) -> bool:
        """Every row has a class."""
        return int(self._class_totals[1].sum()) == self.data.raw_source.n_rows

    @cached_property
    def _class_totals(self) -> tuple[Array, Array]:
        """Weight and number of the rows of each class, (n_classes,)."""
        weights, n_rows = self.data.raw_source.sum_of(partial(count_classes, n_classes=self.n_classes))
        return weights, n_rows

    def class_rows(self, index: int) -> Source:
        """The rows of a class."""
        n_rows = int(self._class_totals[1][index])
        return self.data.raw_source.changed(partial(_rows_of_class, index=index), n_rows)

    def fit_one_component_each(self, families: Sequence[Family], ridge: float | None, stopping: StopRule) -> ClassFit:
        """The fit with a component for each class and the structure of lowest BIC; of equals the first.

        Raises
        ------
        SingularCovarianceError : no family has covariances; it lists the classes that have too few distinct rows.
        """
        start = Partition(responsibilities=None if self.is_fully_labelled else self._initial_responsibilities())
        shared, class_index, fits = SharedStarts(), np.arange(self.n_classes), list[ClassFit]()
        failure: SingularCovarianceError | None = None
        for family in families:
            is_closed = self.is_fully_labelled and not family.is_step and not self.data.raw_source.may_miss
            how = replace(stopping, max_steps=0) if is_closed else stopping
            try:
                plan = Plan([start], _unused_generator(), how, shared_starts=shared)
                fitted = self._fit(family, class_index, ridge, plan)
            except SingularCovarianceError as error:
                failure = error
                continue
            model, names = fitted[0].model, [family.name] * self.n_classes
            classes = ClassMixtures(Mixture._from_model(model), class_index)
            fits.append(self._make_class_fit(classes, model.n_parameters, names, 1, fitted))
        if not fits:
            assert failure is not None, "at least one family"
            raise failure
        return min(fits, key=lambda fit: fit.bic(self.data.raw_source.row_totals.total_weight))

    def fit_several_components_each(
        self, mixtures: Sequence[Mixture], n_steps: int, ridge: float | None, stopping: StopRule
    ) -> ClassFit:
        """The fit from a mixture of the rows of each class; EM shares rows of unknown class among the classes."""
        classes, fitted = ClassMixtures.from_mixtures(mixtures, self.class_weights / self.class_weights.sum()), None
        size = sum(mixture.n_parameters for mixture in mixtures) + len(mixtures) - 1
        if not self.is_fully_labelled:
            model = classes.mixture._model
            plan = Plan([ModelStart(model)], _unused_generator(), stopping)
            fitted = self._fit(model.family, classes.component_class, ridge, plan)
            classes = replace(classes, mixture=Mixture._from_model(fitted[0].model))
        return self._make_class_fit(classes, size, [mixture.family.name for mixture in mixtures], n_steps, fitted)

    def _fit(self, family: Family, component_class: NDArray[np.intp], ridge: float | None, plan: Plan) -> EmFit:
        problem = Problem(self._labelled_data(component_class), family, len(component_class), self.engine, ridge)
        for option in self.options:
            plan = option.adapt_plan(plan, problem)
        result = fit(problem, plan, self.options)
        return result.final_state, result.problem, plan

    def _labelled_data(self, component_class: NDArray[np.intp]) -> TrainingData:
        """The rows, with the components that a row of known class may have."""
        groups = [np.flatnonzero(component_class == index).tolist() for index in range(self.n_classes)]
        return replace(self.data, labels=UserLabels(groups))

    def _initial_responsibilities(self) -> Callable[[Block], Array]:
        """Makes responsibilities (n_rows, n_classes): 1 for a known class, else by distance in standard deviations."""
        first = InitialMoments(self.data.make_source(), self.engine, self.n_classes, Partition())
        moments, means = first.sum_about_means(MomentSpec(Second.DIAGONAL, is_pooled=True))
        assert moments.second is not None
        known = moments.mass.sum()
        variances = moments.second / known + self.data.default_ridge
        nearby = Parameters.from_mixture(moments.mass / known, means, DiagonalWhitening.from_variances(variances[None]))
        return partial(_responsibilities, engine=self.engine, parameters=nearby)

    def _make_class_fit(
        self, classes: ClassMixtures, n_parameters: int, structures: list[str], n_steps: int, em_fit: EmFit | None
    ) -> ClassFit:
        """The mixtures of the classes, with their likelihood; the run counts if it made steps."""
        mixture = classes.mixture
        source = self._labelled_data(classes.component_class).labelled_source(mixture.n_components)
        task = StepTask(self.engine, mixture.n_components, mixture.parameters, MomentSpec(Second.NONE))
        log_likelihood = task.sum_moments(source).log_likelihood * self.data.weight_unit
        if em_fit is None:
            return ClassFit(classes, log_likelihood, n_parameters, structures, n_steps)
        has_steps, n_steps = em_fit[0].trace.n_steps > 0, em_fit[0].trace.n_steps or n_steps
        what = classes, log_likelihood, n_parameters, structures, n_steps
        return ClassFit(*what, em_fit if has_steps else None, em_fit[1])


def _unused_generator() -> np.random.Generator:
    """A generator for plans whose starts draw nothing."""
    return np.random.default_rng(0)


def _responsibilities(block: Block, engine: Engine[Any], parameters: Parameters) -> Array:
    """Responsibilities of rows of known class, which have one component, and of others as parameters say."""
    responsibilities, log_prior = engine.responsibilities(block, parameters), block.row_log_prior(len(parameters.means))
    assert log_prior is not None, "some rows have a known class"
    is_possible = np.isfinite(log_prior)
    known = is_possible.sum(axis=1) == 1
    responsibilities[known] = is_possible[known]
    return responsibilities


def count_classes(block: Block, n_classes: int, labels: Callable[[Block], NDArray[Any]] | None = None) -> Sums:
    """The weights and the numbers of rows by `Block.assignment`, (n_classes,) each, where this is not −1.

    With labels of rows, these count by 0 where the labels are wrong and by 1 where they are right.
    """
    assert block.assignment is not None, "rows have labels"
    known = block.assignment >= 0
    class_index = (block.assignment if labels is None else (block.assignment == labels(block)).astype(np.int32))[known]
    counts = np.bincount(class_index, minlength=n_classes).astype(np.float64)
    return Sums((np.bincount(class_index, block.weight[known], n_classes), counts))


def _rows_of_class(block: Block, index: int) -> Iterable[Block]:
    indices = np.flatnonzero(block.assignment == index)
    return [replace(block.take(indices, block.first_row), assignment=None)] if indices.size else []
