"""The interface of engines. An engine computes moments and densities of rows, for any covariance structure."""

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

# `step` sets a responsibility to 0 if it is at most 2⁻⁶⁰ times the row's largest responsibility (numerics.md).
NEGLIGIBLE_NATS = 60 * 0.6931471805599453  # 60 times log 2, so that exp(−NEGLIGIBLE_NATS) is 2⁻⁶⁰

NOISE_LABEL = -1  # label of rows that belong to the noise component

StateT = TypeVar("StateT")


@dataclass(frozen=True)
class PassContext:
    """Statistics of all rows, which a step over one block needs. Engines may define subclasses with more fields.

    Parameters
    ----------
    n_rows : number of rows.
    total_spread : mean and scatter matrix of all rows, the same in every step; None if no step needs the scatter.
    """

    n_rows: int
    total_spread: Spread | None = None


class Engine(Protocol[StateT]):
    """Object that computes the E-step, and the sums that the M-step needs, for one block of rows at a time.

    Sums are in float64, even if rows are float32. Results depend neither on the number of threads nor on the division
    of the rows into blocks, as long as each block is a node of the summation tree (`interfaces.leaves.Tree`).
    """

    @property
    def n_threads(self) -> int:
        """Return the largest number of threads that a call may use."""

    @property
    def is_incomplete(self) -> bool:
        """Return whether rows may have missing values or measurement errors."""

    @property
    def is_truncated(self) -> bool:
        """Return whether an E-step compares each row with only a few candidate components."""

    @property
    def complete_engine(self) -> Engine[Any]:
        """Return the engine for complete rows, with the same number of threads as this engine."""

    def prepare(self, statistics: RowStatistics, spec: MomentSpec, find_spread: Callable[[], Spread]) -> PassContext:
        """Collect, before the first pass, the statistics of all rows that a step over a single block needs.

        Some decisions of a step depend on statistics of all rows. A step reads these statistics from the context, so
        that a fit does not depend on the division of the rows into blocks.

        Parameters
        ----------
        statistics : number and total weight of all rows.
        spec : specification of the second moments that the following passes sum.
        find_spread : function that computes the mean and scatter of all rows.

        Returns
        -------
        context : the collected statistics, as a picklable object.
        """

    def begin_pass(self, context: Any, parameters: Parameters | None) -> Any:
        """Return the context for a pass with these parameters, given the context from `prepare` or the last pass."""

    def make_state(self, block: Block, n_components: int) -> StateT:
        """Make the block state that a source stores between passes. If the block state is lost, it is made again.

        The state must not depend on the row weights, because row weights may change between passes.
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
        """Compute the responsibilities of a block's rows and sum moments (Bishop 2006, eq. 9.23 and 9.27).

        A block must begin at the first row of a leaf (65,520 rows), and its leaves must form one node of `leaves.Tree`.
        An engine adds the sums of the leaves in the order of `leaves.Tree`. At the end of the pass, `finish` turns the
        total of all blocks into moments.

        Parameters
        ----------
        block : rows (n_rows, n_features) with weights, and with prior information about the component of each row.
        state : the state that `make_state` returned for this block and number of components.
        parameters : current parameters of the mixture; None under `AssignmentRule.ASSIGNMENT`, because the
            responsibilities are then read from `block.assignment`.
        spec : specification of the second moments to sum.
        rule : rule that assigns rows to components.
        anchor : reference points that are subtracted from the rows before moments are summed, (n_components,
            n_features), float64. If `anchor` is None or no second moments are needed, the engine chooses the points.
        context : result of `begin_pass`; may be None if the block contains all rows of the data.

        Returns
        -------
        sums : moments of the block. `log_likelihood` is a sum over rows in nats, and 0 under
            `AssignmentRule.ASSIGNMENT`. The sums of responsibilities and the log-likelihood are never NaN, because a
            squared distance that overflows is replaced by the largest float64.
        """

    def finish(
        self, sums: BlockMoments, parameters: Parameters | None, spec: MomentSpec, context: Any = None
    ) -> Moments:
        """Convert the sums of all blocks into the moments that the covariance structure needs, at the end of a pass.

        This method, not `step`, pools moments over components, so that rounding errors do not depend on the blocks.

        Parameters
        ----------
        sums : sums of all blocks.
        parameters, spec, context : the same arguments that `step` received in this pass.
        """

    def log_density(self, block: Block, parameters: Parameters) -> Array:
        """Return log p(x) of each row, in nats, (n_rows,)."""

    def component_log_density(self, block: Block, parameters: Parameters) -> Array:
        """Return log p(x, k) of each row and component, in nats, (n_rows, n_components)."""

    def responsibilities(self, block: Block, parameters: Parameters) -> Array:
        """Return p(k | x) of each row for all components except the noise component, (n_rows, n_components).

        The result is accurate even for rows that are very far from every mean (`complete/distant.py`).
        """

    def labels(self, block: Block, parameters: Parameters) -> NDArray[np.int64]:
        """Return each row's most probable component (the first if several are tied), or `NOISE_LABEL` for noise."""

    def draw(
        self, n_rows: int, cumulative_weights: Array, means: Array, whitening: Whitening, random_key: int
    ) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows x = μ_k + W_k⁻¹ z, where z is standard normal; Bishop (2006) section 11.1.

        Each drawn row depends only on the random key and on its row number (docs/develop/numerics.md). Therefore, a
        draw of n rows equals the first n rows of any larger draw, and any process may draw any rows in any order.

        Parameters
        ----------
        n_rows : number of rows.
        cumulative_weights : cumulative sums of the weights, (n_components,); the last sum must be above 1. For a
            uniform random number u in [0, 1), the first component whose cumulative weight is above u is drawn.
        means : means of the components, (n_components, n_features), in data units.
        whitening : whitening factors W_k of the components.
        random_key : 64-bit key of the random numbers.

        Returns
        -------
        rows : drawn rows, (n_rows, n_features), in data units.
        labels : component of each row, (n_rows,).
        """

    def supports_core_steps(
        self, block: Block, n_components: int, structure: Algebra, prior: PackedPrior | None, has_noise: bool
    ) -> bool:
        """Return whether `run_em` and `fit_many` support these rows, the prior, and the noise component (if any)."""

    def run_em(
        self, block: Block, context: Any, start: tuple[Array, Array, Array], structure: Algebra, settings: EMSettings
    ) -> RunHistory:
        """Run EM steps until the objective converges, a limit is reached, or Python must run the next step.

        Callers must first check with `supports_core_steps` that the block and the mixture are supported.

        Parameters
        ----------
        block : all rows.
        context : result of `prepare`.
        start : initial weights, means, and covariances in the form of `covariances_`.
        structure : covariance structure of the mixture.
        settings : settings of EM, such as the tolerance.

        Returns
        -------
        history : mixture after the last step, and log-likelihood before each step. If a time limit ends the call, the
            caller continues from this mixture, and the results are bit-identical to results without a time limit.
        """

    def fit_many(self, groups: RowGroups, settings: FitSettings) -> GroupFits | None:
        """Fit one mixture to each of many groups of rows: initialise the mixture, then run EM steps as in `run_em`.

        Parameters
        ----------
        groups : rows and weights of all groups.
        settings : fit settings, which are the same for all groups.

        Returns
        -------
        fits : fitted mixtures, bit-identical to separate fits of the groups; None if the core does not support the
            settings. If there is only one group, a time limit may stop EM early, and the caller continues EM.
        """

    def score_products(
        self, block: Block, parameters: Parameters, whitening: Array, score_form: Second
    ) -> tuple[Array, Array]:
        """Sum the outer products of the rows' scores (gradients of log p(x)), as defined in `em.curvature.scores`.

        Parameters
        ----------
        block : rows with weights.
        parameters : parameters of the mixture.
        whitening : factors W, matrices or one number per feature, (n_components or 1, n_features or 1, n_features).
        score_form : products of z = W (x − μ) that the scores contain: squares, or products of all pairs of features.

        Returns
        -------
        between : weighted sum of S_i S_iᵀ over rows i, (n_values, n_values). S_i contains γ_ik for all components k,
            then γ_ik z for all k, and last γ_ik × products for all k. If W is shared, the products are summed over
            components.
        within : weighted sum of γ_ik c_ik c_ikᵀ over rows i, where c_ik are the scores of component k, (n_components,
            n_own, n_own).
        """
