"""What an engine is: it makes moments and densities of rows, and steps of EM. It depends on no family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._src.engines.calls import EMSettings, FitSettings, GroupFits, PackedPrior, RowGroups, RunHistory
from gaussmix._src.interfaces.algebra import Algebra
from gaussmix._src.interfaces.block import Block, RowStatistics
from gaussmix._src.interfaces.moment_spec import AssignmentRule, MomentSpec, Second
from gaussmix._src.interfaces.moments import BlockMoments, Moments
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.interfaces.spread import Spread
from gaussmix._src.interfaces.whitening.base import Whitening
from gaussmix._src.numerics.arrays import Array

# In `step` every engine sets responsibilities to 0 that are at most 2⁻⁶⁰ of their row's largest (numerics.md).
NEGLIGIBLE_NATS = 60 * 0.6931471805599453  # log 2

NOISE_LABEL = -1  # the label of rows that the background has

StateT = TypeVar("StateT")


@dataclass(frozen=True)
class PassContext:
    """What a step over one block needs to know about all rows. An engine may add its own fields.

    Parameters
    ----------
    n_rows : number of rows.
    total_spread : mean and scatter of all rows, which no E-step changes; None if no step needs them.
    """

    n_rows: int
    total_spread: Spread | None = None


class Engine(Protocol[StateT]):
    """The E-step and the sums for the M-step, over one block at a time.

    Sums are in float64, even if rows are float32. Results do not depend on the number of threads, nor on how the rows
    are cut into blocks that are nodes of the tree of leaves.
    """

    @property
    def n_threads(self) -> int:
        """How many threads a call uses."""

    @property
    def is_truncated(self) -> bool:
        """Whether a step compares each row with a few components alone."""

    @property
    def complete_engine(self) -> Engine[Any]:
        """The engine of complete rows, with as many threads."""

    def prepare(self, statistics: RowStatistics, spec: MomentSpec, find_spread: Callable[[], Spread]) -> PassContext:
        """Find out what steps over single blocks must know of all rows, before the first pass.

        Some decisions of a step depend on all rows, for example on their number. They read this context and not the
        block, because otherwise a fit would depend on how its rows are cut.

        Parameters
        ----------
        statistics : of all rows.
        spec : the second moments that the passes sum.
        find_spread : finds the mean and the covariance of all rows.

        Returns
        -------
        context : picklable.
        """

    def begin_pass(self, context: Any, parameters: Parameters | None) -> Any:
        """The context of a pass with these parameters, from the context of the pass before or of `prepare`."""

    def make_state(self, block: Block, n_components: int) -> StateT:
        """Make the state that is stored with a block between passes. It may be lost, and is then made again.

        It must not depend on the weights of the rows, which may change between passes.
        """

    def step(
        self,
        block: Block,
        state: StateT,
        parameters: Parameters | None,
        spec: MomentSpec,
        rule: AssignmentRule = AssignmentRule.SOFT,
        anchor: Array | None = None,
        context: Any = None,
    ) -> BlockMoments:
        """Share each row of a block among the components and sum moments; Bishop (2006) eq. 9.23 and 9.27.

        A block begins with a leaf, and its leaves are a node of the tree in which `leaves.Tree` adds up. An engine adds
        up the leaves of a block in the same way. The sums of all blocks are finished by `finish`.

        Parameters
        ----------
        block : rows (n_rows, n_features), their weights and what is known of their components.
        state : what `make_state` made for this block and number of components.
        parameters : of the mixture whose components share the rows; None under `AssignmentRule.ASSIGNMENT`, which reads
            `block.assignment`.
        spec : the second moments to sum.
        rule : how a row is shared.
        anchor : (n_components, n_features), the points to take the sums about, in float64; None leaves the choice
            to the engine, which returns it: the means, or others if that is cheaper. Without second moments the
            engine always chooses.
        context : what `prepare` found out, or `Moments.context` of the pass before. None if the block holds all rows.

        Returns
        -------
        partial : `log_likelihood` in nats, summed over rows; 0 under `AssignmentRule.ASSIGNMENT`. A squared distance
            that overflows counts as the largest double, so neither mass nor log-likelihood is ever NaN.
        """

    def finish(
        self, sums: BlockMoments, parameters: Parameters | None, spec: MomentSpec, context: Any = None
    ) -> Moments:
        """Make the moments that a family needs of the sums of all blocks, once for each pass.

        What would round differently for each block is done here: pooling, and whatever is multiplied by a total.

        Parameters
        ----------
        sums : of all blocks.
        parameters, spec, context : as for the steps.
        """

    def log_density(self, block: Block, parameters: Parameters) -> Array:
        """log p(x) of each row, nats, (n_rows,)."""

    def component_log_density(self, block: Block, parameters: Parameters) -> Array:
        """log p(x, k) of each row and component, nats, (n_rows, n_components)."""

    def responsibilities(self, block: Block, parameters: Parameters) -> Array:
        """p(k | x), (n_rows, n_components); each row sums to 1, less what the background has of it.

        Right also for rows far from every mean (`complete/far.py`).
        """

    def labels(self, block: Block, parameters: Parameters) -> NDArray[np.int64]:
        """The most probable component of each row, (n_rows,); the first of equals; `NOISE_LABEL` for the background."""

    def draw(
        self, n_rows: int, cumulative_weights: Array, means: Array, whitening: Whitening, random_key: int
    ) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows x = μ_k + W_k⁻¹ z, z standard normal; Bishop (2006) section 11.1.

        A row is a function of the key and the row's number (docs/develop/numerics.md says which). So a smaller draw is
        the beginning of a larger one, and rows may be drawn anywhere, in any order.

        Parameters
        ----------
        n_rows : number of rows.
        cumulative_weights : (n_components,), rising, the last above 1. A uniform number in [0, 1) belongs to the first
            component whose entry exceeds it.
        means : (n_components, n_features).
        whitening : W_k.
        random_key : 64 bits.

        Returns
        -------
        rows : (n_rows, n_features).
        labels : (n_rows,), the component of each row.
        """

    def supports_core_steps(
        self, block: Block, n_components: int, structure: Algebra, prior: PackedPrior | None, has_background: bool
    ) -> bool:
        """Whether `run_em` and `fit_many` make the usual steps on rows, with a prior, if any, and a background."""

    def run_em(
        self, block: Block, context: Any, start: tuple[Array, Array, Array], structure: Algebra, settings: EMSettings
    ) -> RunHistory:
        """Make steps of EM until the log-likelihood converges, time is up, or the next step is unusual.

        `supports_core_steps` says for which rows and mixtures.

        Parameters
        ----------
        block : all rows.
        context : what `Engine.prepare` made.
        start : weights, means and covariances in compact form.
        structure : which covariances the family makes.
        settings : when to stop.

        Returns
        -------
        history : the mixture reached and the log-likelihoods on the way. Its bits depend neither on the number of
            threads nor on when time is up.
        """

    def fit_many(self, groups: RowGroups, settings: FitSettings) -> GroupFits | None:
        """Begin a fit of each of many groups and make steps of EM, as far as `run_em` goes.

        Parameters
        ----------
        groups : the rows.
        settings : how to fit them.

        Returns
        -------
        fits : with the bits of a fit of each group alone, and of its parts one by one; None if the settings do not suit
            the fast path. A single group may end before EM does: when time is up.
        """

    def score_products(
        self, block: Block, parameters: Parameters, whitening: Array, score_form: Second
    ) -> tuple[Array, Array]:
        """Sum products of the scores of rows, as `em.curvature.scores` defines them.

        Parameters
        ----------
        block : rows.
        parameters : of the mixture.
        whitening : W, (n_components or 1, n_features or 1, n_features): matrices, or factors of each feature.
        score_form : which products of z = W (x − μ) are scores.

        Returns
        -------
        between : Σ s S_i S_iᵀ, (n_values, n_values): of each component its responsibility, the means, and products;
            where there is a single W, the sums of the products come last.
        within : Σ s γ_ik c_ik c_ikᵀ, (n_components, n_own, n_own).
        """
