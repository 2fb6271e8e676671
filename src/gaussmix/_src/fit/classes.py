"""Fit one mixture per class to rows; the class must be known for at least some of the rows.

In mclust, a model with one component per class is called EDDA, and a model with one mixture per class MclustDA; Fraley
& Raftery (2002), JASA 97, section 4; Scrucca and others (2023), chapter 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

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
from gaussmix._src.fit.fit import fit
from gaussmix._src.fit.options.base import FitOptions
from gaussmix._src.fit.plan import ModelStart, Plan, SharedStarts
from gaussmix._src.fit.problem import Problem, TrainingData
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.moment_spec import MomentSpec, Second
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.whitening.diagonal import DiagonalWhitening
from gaussmix._src.mixture.class_mixtures import ClassMixtures
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.numerics.arrays import Array, Indices
from gaussmix._src.numerics.threads import cached_property
from gaussmix._src.sources.base import Source


class EmFit(NamedTuple):
    """The final state of EM for all classes together, the problem that was solved, and the settings of the fit."""

    final_state: EMState
    problem: Problem
    plan: Plan


@dataclass(frozen=True, eq=False)
class ClassFit:
    """The fitted mixtures of all classes, with results of the fit.

    Parameters
    ----------
    classes : mixtures of all classes, with the class probabilities.
    log_likelihood : Σ s log p(x, c) over the rows x of known class c plus Σ s log p(x) over the other rows, for row
        weights s, in nats.
    n_parameters : number of free parameters, including the class probabilities.
    structures : covariance structure of each class.
    n_steps : number of EM steps; if each class was fitted separately, the largest number of steps for a class.
    em_fit : final state of EM, the problem and the settings of the fit; None if EM took no step.
    problem : problem that the joint fit of all classes solved; None if each class was fitted separately.
    """

    classes: ClassMixtures
    log_likelihood: float
    n_parameters: int
    structures: list[Family]
    n_steps: int
    em_fit: EmFit | None = None
    problem: Problem | None = None

    def with_prior(self, prior: Array, row_weight: float) -> ClassFit:
        """Return this fit with the class probabilities `prior` (n_classes,); every row must have a known class."""
        change = row_weight * float(self.classes.prior @ (np.log(prior) - np.log(self.classes.prior)))
        log_likelihood, n_parameters = self.log_likelihood + change, self.n_parameters - len(prior) + 1
        classes = self.classes.with_prior(prior)
        return replace(self, classes=classes, log_likelihood=log_likelihood, n_parameters=n_parameters)

    def bic(self, row_weight: float) -> float:
        """Return −2 log L + p log Σs; lower is better. mclust reports the opposite sign and counts p differently."""
        return -2 * self.log_likelihood + self.n_parameters * float(np.log(row_weight))


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows whose class is known for all or some of the rows.

    Parameters
    ----------
    data : rows in blocks; `assignment` of a block is the class of each row: 0 … n_classes − 1, or −1 if unknown.
    n_classes : number of classes (at least 2).
    engine : engine that sums over the rows.
    options : fit options, such as priors.
    """

    data: TrainingData
    n_classes: int
    engine: Engine[Any]
    options: FitOptions = ()

    @property
    def class_weights(self) -> Array:
        """Return the total weight of the rows that are known to be of each class, (n_classes,)."""
        return self._class_totals[0]

    @property
    def is_fully_labelled(self) -> bool:
        """Return whether every row has a known class."""
        return int(self._class_totals[1].sum()) == self.data.raw_source.n_rows

    @cached_property
    def _class_totals(self) -> tuple[Array, Array]:
        """Compute the total weight and the number of the rows known to be of each class, (n_classes,) each."""
        weights, n_rows = self.data.raw_source.sum_of(partial(count_classes, n_classes=self.n_classes))
        return weights, n_rows

    def class_rows(self, index: int) -> Source:
        """Return the rows that are known to be of the class `index`."""
        n_rows = int(self._class_totals[1][index])
        return self.data.raw_source.changed(partial(_rows_of_class, index=index), n_rows)

    def class_indices(self, index: int) -> Indices:
        """Return the indices in X of the rows of the class `index`."""
        return np.flatnonzero(self.data.raw_source.each_row(attrgetter("assignment")) == index)

    def fit_one_component_each(self, families: Sequence[Family], ridge: float | None, stopping: StopRule) -> ClassFit:
        """Fit one component per class with each structure; return the fit of lowest BIC (the first if tied).

        Raises
        ------
        SingularCovarianceError : covariances are singular with every structure; the error lists the classes with too
            few distinct rows.
        """
        start = Partition(responsibilities=None if self.is_fully_labelled else self._initial_responsibilities())
        shared, class_index, fits = SharedStarts(), np.arange(self.n_classes), list[ClassFit]()
        failure: SingularCovarianceError | None = None
        for family in families:
            is_closed = self.is_fully_labelled and not family.is_step and not self.data.raw_source.may_miss
            stop_rule = replace(stopping, max_steps=0) if is_closed else stopping
            try:
                plan = Plan([start], _unused_generator(), stop_rule, shared_starts=shared)
                fitted = self._fit(family, class_index, ridge, plan)
            except SingularCovarianceError as error:
                failure = error
                continue
            model, structures = fitted.final_state.model, [family] * self.n_classes
            classes = ClassMixtures(Mixture._from_model(model), class_index)
            fits.append(self._make_class_fit(classes, model.n_parameters, structures, 1, fitted))
        if not fits:
            assert failure is not None, "at least one structure was tried"
            raise failure
        return min(fits, key=lambda fit: fit.bic(self.data.raw_source.row_totals.total_weight))

    def fit_several_components_each(
        self, mixtures: Sequence[Mixture], n_steps: int, ridge: float | None, stopping: StopRule
    ) -> ClassFit:
        """Fit one mixture per class; EM starts from `mixtures` and also uses the rows of unknown class."""
        classes, fitted = ClassMixtures.from_mixtures(mixtures, self.class_weights / self.class_weights.sum()), None
        size = sum(mixture.n_parameters for mixture in mixtures) + len(mixtures) - 1
        if not self.is_fully_labelled:
            model = classes.mixture._model
            plan = Plan([ModelStart(model)], _unused_generator(), stopping)
            fitted = self._fit(model.family, classes.component_class, ridge, plan)
            classes = replace(classes, mixture=Mixture._from_model(fitted.final_state.model))
        return self._make_class_fit(classes, size, [mixture.family for mixture in mixtures], n_steps, fitted)

    def _fit(self, family: Family, component_class: NDArray[np.intp], ridge: float | None, plan: Plan) -> EmFit:
        problem = Problem(self._labelled_data(component_class), family, len(component_class), self.engine, ridge)
        for option in self.options:
            plan = option.adapt_plan(plan, problem)
        result = fit(problem, plan, self.options)
        return EmFit(result.final_state, result.problem, plan)

    def _labelled_data(self, component_class: NDArray[np.intp]) -> TrainingData:
        """Return the rows with labels: each row of known class may belong only to components of this class."""
        groups = [np.flatnonzero(component_class == index).tolist() for index in range(self.n_classes)]
        return replace(self.data, labels=UserLabels(groups))

    def _initial_responsibilities(self) -> Callable[[Block], Array]:
        """Return a function that computes the initial responsibilities of a block of rows.

        For rows of known class, the responsibility of this class is 1. For rows of unknown class, responsibilities are
        posterior probabilities under normal distributions about the class means.
        """
        first = InitialMoments(self.data.make_source(), self.engine, self.n_classes, Partition())
        moments, means = first.sum_about_means(MomentSpec(Second.DIAGONAL, is_pooled=True))
        assert moments.second is not None
        known = moments.mass.sum()
        whitening = DiagonalWhitening.from_variances((moments.second / known + self.data.default_ridge)[None])
        parameters = Parameters.from_mixture(moments.mass / known, means, whitening)
        return partial(_responsibilities, engine=self.engine, parameters=parameters)

    def _make_class_fit(
        self, classes: ClassMixtures, n_parameters: int, structures: list[Family], n_steps: int, em_fit: EmFit | None
    ) -> ClassFit:
        """Return the fitted classes with their likelihood. If `em_fit` took steps, their number replaces `n_steps`."""
        mixture = classes.mixture
        source = self._labelled_data(classes.component_class).labelled_source(mixture.n_components)
        task = StepTask(self.engine, mixture.n_components, mixture.parameters, MomentSpec(Second.NONE))
        log_likelihood = task.sum_moments(source).log_likelihood * self.data.weight_unit
        if em_fit is None:
            return ClassFit(classes, log_likelihood, n_parameters, structures, n_steps)
        n_em_steps = em_fit.final_state.trace.n_steps
        what = classes, log_likelihood, n_parameters, structures, n_em_steps or n_steps
        return ClassFit(*what, em_fit if n_em_steps else None, em_fit.problem)


def _unused_generator() -> np.random.Generator:
    """Return a random generator for fits whose initialisations draw no random numbers."""
    return np.random.default_rng(0)


def _responsibilities(block: Block, engine: Engine[Any], parameters: Parameters) -> Array:
    """Compute responsibilities: 0 or 1 for rows with only one possible component; otherwise posterior probabilities."""
    responsibilities, log_prior = engine.responsibilities(block, parameters), block.row_log_prior(len(parameters.means))
    assert log_prior is not None, "some rows have a known class"
    is_possible = np.isfinite(log_prior)
    known = is_possible.sum(axis=1) == 1
    responsibilities[known] = is_possible[known]
    return responsibilities


def count_classes(block: Block, n_classes: int, labels: Callable[[Block], NDArray[Any]] | None = None) -> Sums:
    """Return the sum of the weights and the number of the rows of each known class in a block, (n_classes,) each.

    If `labels`, a function that predicts labels, is given, rows are not grouped by class but by whether the predicted
    label is wrong (0) or right (1).
    """
    assert block.assignment is not None, "callers pass only rows with labels"
    known = block.assignment >= 0
    class_index = (block.assignment if labels is None else (block.assignment == labels(block)).astype(np.int32))[known]
    counts = np.bincount(class_index, minlength=n_classes).astype(np.float64)
    return Sums((np.bincount(class_index, block.weight[known], n_classes), counts))


def _rows_of_class(block: Block, index: int) -> Iterable[Block]:
    indices = np.flatnonzero(block.assignment == index)
    return [replace(block.take(indices, block.first_row), assignment=None)] if indices.size else []
