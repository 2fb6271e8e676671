"""The fast path of an engine: whole steps of EM, for families that describe themselves as algebra.

A step on a small table takes an engine a few microseconds, and the loop in Python tens of them. An engine may therefore
inherit from `Runner` and make the steps itself. The loop in Python (`em/loop.py`) stays the complete one: an engine
stops before every step that is unusual, and the loop makes that step. `gaussmix.testing.check_runner` holds the two to
each other. docs/develop/waist.md says what this costs and what it buys.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array, Places, Rows
from gaussmix.waist.algebra import Algebra
from gaussmix.waist.block import Block
from gaussmix.waist.moments import Scatter
from gaussmix.waist.whitening.base import Whitening


class Control(NamedTuple):
    """When to stop, and which steps to leave to the loop in Python.

    Parameters
    ----------
    ridge : (n_features,), added to every variance at each step, data units².
    tolerance : stop when the mean log-likelihood changes by less, nats per unit of row weight.
    max_steps : limit on the number of steps.
    previous : mean log-likelihood of the step that preceded this run (−inf if none); used for the first convergence
        test.
    lost_share : leave a step that would give a component less than this share of the row weight.
    noise : leave a step after which a feature without a ridge has a standard deviation below this part of its mean.
    loss : leave a step for which second moments about the anchor are more than so many times those about the new means.
    """

    ridge: Array
    tolerance: float
    max_steps: int
    previous: float
    lost_share: float
    noise: float
    loss: float


class Course(NamedTuple):
    """The mixture that some steps of EM reached, and the log-likelihoods on the way.

    Parameters
    ----------
    weights : (n_components,), after the last step.
    means : (n_components, n_features), after the last step, data units.
    covariances : after the last step, in compact form, data units².
    whitening : factors of these covariances, with the bits of the family's own; None where no M-step was made.
    log_likelihood : mean before each step, nats per unit of row weight; empty where the first step is unusual.
    """

    weights: Array
    means: Array
    covariances: Array
    whitening: Whitening | None
    log_likelihood: list[float]


class Groups(NamedTuple):
    """The rows of many tables, one after the other.

    Parameters
    ----------
    rows : (n_rows, n_features), of all groups, data units.
    row_weight : (n_rows,), below 1 and positive or 0; None where all are 1.
    first, size : (n_groups,), int64: where the rows of each group begin, and how many they are.
    total_weight : (n_groups,), sum of the row weights of each.
    unit : (n_groups,), what the weights of each group were divided by: a power of 2.
    """

    rows: Rows
    row_weight: Array | None
    first: NDArray[np.int64]
    size: NDArray[np.int64]
    total_weight: Array
    unit: Array


class Recipe(NamedTuple):
    """How to fit a mixture to a table, or to each of many: what a default fit does, as plain values.

    Parameters
    ----------
    algebra : which covariances the family makes.
    n_components, n_candidates, uniform : for `Runner.spread_centres`, in every group the same.
    max_passes, settled : of k-means; it stops when centres move by less than this part of the mean variance.
    ridge : (n_features,), data units²; None for the automatic one of each group.
    ridge_share, trimmed : of the automatic ridge; see `em.ridge`.
    smallest_spread : a group in which a column varies by less is unusual, data units.
    tolerance, max_steps, lost_share, noise, loss : see `Control`.
    """

    algebra: Algebra
    n_components: int
    n_candidates: int
    uniform: Array
    max_passes: int
    settled: float
    ridge: Array | None
    ridge_share: float
    trimmed: float
    smallest_spread: float
    tolerance: float
    max_steps: int
    lost_share: float
    noise: float
    loss: float


class Fits(NamedTuple):
    """Where EM led in each of many groups.

    Parameters
    ----------
    weights : (n_groups, n_components).
    means : (n_groups, n_components, n_features), data units.
    covariances : (n_groups, …), each in compact form, data units².
    log_likelihood : (n_groups,), mean before the last step, nats per unit of row weight.
    n_steps : (n_groups,); 0 for a group that is unusual, or does not suit the fast path: Python has to fit it, and the
        other arrays hold no numbers of it.
    has_settled : (n_groups,), whether the last step changed the log-likelihood by less than the tolerance.
    """

    weights: Array
    means: Array
    covariances: Array
    log_likelihood: Array
    n_steps: NDArray[np.int64]
    has_settled: NDArray[np.bool_]


class Runner(ABC):
    """What an engine with a fast path can do besides the `Engine` protocol."""

    @abstractmethod
    def update(self, algebra: Algebra, scatter: Scatter, current: Array | None) -> Array:
        """Make covariances of a scatter, as `Family.update` does, to rounding.

        Parameters
        ----------
        algebra : which covariances the family makes.
        scatter : mass and second sums about the new means.
        current : covariances before the step, in compact form; None at the first step.
        """

    @abstractmethod
    def spread_centres(
        self, rows: Array, weight: Array, n_components: int, n_candidates: int, uniform: Array
    ) -> Places:
        """Choose rows far from each other: greedy k-means++ (Arthur & Vassilvitskii 2007).

        Parameters
        ----------
        rows : (n_rows, n_features), distinct, data units.
        weight : (n_rows,), all positive.
        n_components : how many rows to choose.
        n_candidates : of each row but the first; the best is chosen.
        uniform : (1 + (n_components − 1) n_candidates,), drawn from [0, 1).

        Returns
        -------
        places : (n_components,), with the bits of `starts.kmeans_plus_plus`.
        """

    @abstractmethod
    def move_centres(self, block: Block, centres: Array, settled: float, max_passes: int) -> tuple[Array, int]:
        """Make passes of k-means (Lloyd 1982): move centres to the means of their nearest rows.

        Parameters
        ----------
        block : the rows.
        centres : (n_components, n_features), data units.
        settled : stop when the sum of the squared motions of all centres is at most this, data units².
        max_passes : limit on the number of passes.

        Returns
        -------
        centres : where they are then.
        n_left : passes that may still be made: 0 where they have settled, more where the next pass leaves a centre
            without rows, which is for Python.
        """

    @abstractmethod
    def begin_em(self, block: Block, facts: Any, centres: Array, algebra: Algebra, control: Control) -> Course | None:
        """Make the M-step of rows that each belong to the nearest of some centres, the first one if several are.

        Parameters
        ----------
        block, facts, algebra : as for `run_em`.
        centres : (n_components, n_features), data units.
        control : its ridge, and what to leave to Python.

        Returns
        -------
        course : of no steps; None where this M-step is unusual, or does not suit the fast path.
        """

    @abstractmethod
    def run_em(
        self, block: Block, facts: Any, start: tuple[Array, Array, Array], algebra: Algebra, control: Control
    ) -> Course | None:
        """Make steps of EM until the log-likelihood settles, time is up, or the next step is unusual.

        Parameters
        ----------
        block : all rows.
        facts : what `Engine.look` found out.
        start : weights, means and covariances in compact form.
        algebra : which covariances the family makes.
        control : when to stop.

        Returns
        -------
        course : the mixture reached and the log-likelihoods on the way; None if this problem does not suit the fast
            path. Its bits depend neither on the number of threads nor on when time is up.
        """

    @abstractmethod
    def fit_one(self, block: Block, unit: float, recipe: Recipe) -> tuple[Course, Array] | None:
        """Begin a fit and make steps of EM, as far as `run_em` goes.

        Parameters
        ----------
        block : all rows, with weights below 1.
        unit : what these were divided by: a power of 2.
        recipe : how to fit them.

        Returns
        -------
        course : with the bits of the calls one by one.
        ridge : (n_features,), data units². None for both where the table or its start is unusual, or the recipe does
            not suit the fast path.
        """

    @abstractmethod
    def fit_many(self, groups: Groups, recipe: Recipe) -> Fits | None:
        """Start and run EM in each of many groups.

        Parameters
        ----------
        groups : the rows.
        recipe : how to fit them.

        Returns
        -------
        fits : with the bits of a fit of each group alone; None if the recipe does not suit the fast path.
        """
