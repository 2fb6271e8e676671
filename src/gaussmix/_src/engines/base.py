"""The interface of engines, which compute moments and densities of rows and make EM steps for any structure."""

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

# In `step`, every engine sets responsibilities to 0 that are at most 2⁻⁶⁰ of their row's largest (numerics.md).
NEGLIGIBLE_NATS = 60 * 0.6931471805599453  # log 2

NOISE_LABEL = -1  # label of rows that belong to the background

StateT = TypeVar("StateT")


@dataclass(frozen=True)
class PassContext:
    """Facts about all rows that a step over one block needs. Engines may add fields.

    Parameters
    ----------
    n_rows : number of rows.
    total_spread : mean and scatter of all rows, which no E-step changes; None if the steps do not need `total_spread`.
    """

    n_rows: int
    total_spread: Spread | None = None


class Engine(Protocol[StateT]):
    """E-step and sums for the M-step, over one block of rows at a time.

    Sums are in float64, even if rows are float32. Results depend neither on the number of threads nor on the division
    of the rows into blocks, as long as the blocks are nodes of the tree of leaves.
    """

    @property
    def n_threads(self) -> int:
        """Return the number of threads that a call uses."""

    @property
    def is_truncated(self) -> bool:
        """Return whether a step compares each row with only a few components."""

    @property
    def complete_engine(self) -> Engine[Any]:
        """Return the engine of complete rows with the same number of threads."""

    def prepare(self, statistics: RowStatistics, spec: MomentSpec, find_spread: Callable[[], Spread]) -> PassContext:
        """Collect the facts about all rows that steps over single blocks need, before the first pass.

        Some decisions of a step depend on all rows, for example on their number. A step reads these facts from the
        context and not from its block, because otherwise a fit would depend on the division of its rows into blocks.

        Parameters
        ----------
        statistics : number and weights of all rows.
        spec : the second moments that the passes sum.
        find_spread : function that computes the mean and scatter of all rows.

        Returns
        -------
        context : the facts, picklable.
        """

    def begin_pass(self, context: Any, parameters: Parameters | None) -> Any:
        """Update the context from the previous pass, or from `prepare`, for a pass with these parameters."""

    def make_state(self, block: Block, n_components: int) -> StateT:
        """Make the state that is stored with a block between passes. A lost state is made again.

        The state must not depend on the weights of the rows, because weights may change between passes.
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
        """Divide each row of a block among the components and sum moments; Bishop (2006) eq. 9.23 and 9.27.

        A block begins with a leaf, and its leaves are a node of the tree by which `leaves.Tree` adds sums. An engine
        adds the leaves of a block in the same order. `finish` completes the sums of all blocks.

        Parameters
        ----------
        block : rows (n_rows, n_features), their weights, and prior information about their components.
        state : state that `make_state` made for this block and number of components.
        parameters : parameters of the mixture whose components share the rows; None under `AssignmentRule.ASSIGNMENT`,
            which reads `block.assignment`.
        spec : the second moments to sum.
        rule : rule that assigns rows to components.
        anchor : (n_components, n_features), the points about which sums are taken, float64. None leaves the choice to
            the engine: the means, or cheaper points. Without second moments the engine always chooses.
        context : result of `begin_pass`; None if the block holds all rows.

        Returns
        -------
        sums : `log_likelihood` in nats is a sum over rows, and 0 under `AssignmentRule.ASSIGNMENT`. Because a squared
            distance that overflows counts as the largest float64, neither mass nor log-likelihood is ever NaN.
        """

    def finish(
        self, sums: BlockMoments, parameters: Parameters | None, spec: MomentSpec, context: Any = None
    ) -> Moments:
        """Convert the sums of all blocks, once for each pass, into the moments that the covariance structure needs.

        Operations that would round differently for each block are done here: pooling, and multiplication by totals.

        Parameters
        ----------
        sums : sums of all blocks.
        parameters, spec, context : the values that were passed to `step`.
        """

    def log_density(self, block: Block, parameters: Parameters) -> Array:
        """Return log p(x) of each row, nats, (n_rows,)."""

    def component_log_density(self, block: Block, parameters: Parameters) -> Array:
        """Return log p(x, k) of each row and component, nats, (n_rows, n_components)."""

    def responsibilities(self, block: Block, parameters: Parameters) -> Array:
        """Return p(k | x), (n_rows, n_components). Each row sums to 1 minus the probability of the background.

        The result is also accurate for rows that are far from every mean (`complete/distant.py`).
        """

    def labels(self, block: Block, parameters: Parameters) -> NDArray[np.int64]:
        """Return the most probable component of each row, the first of equals; `NOISE_LABEL` for the background."""

    def draw(
        self, n_rows: int, cumulative_weights: Array, means: Array, whitening: Whitening, random_key: int
    ) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows x = μ_k + W_k⁻¹ z, z standard normal; Bishop (2006) section 11.1.

        A row is a function of the key and the row's number only (docs/develop/numerics.md). Therefore a smaller draw is
        the beginning of a larger one, and rows may be drawn on any process in any order.

        Parameters
        ----------
        n_rows : number of rows.
        cumulative_weights : (n_components,), increasing, the last entry above 1. A uniform number in [0, 1) selects the
            first component whose entry exceeds it.
        means : (n_components, n_features), data units.
        whitening : factors W_k.
        random_key : key of 64 bits.

        Returns
        -------
        rows : (n_rows, n_features).
        labels : (n_rows,), the component of each row.
        """

    def supports_core_steps(
        self, block: Block, n_components: int, structure: Algebra, prior: PackedPrior | None, has_background: bool
    ) -> bool:
        """Return whether `run_em` and `fit_many` support these rows, this prior and, if there is one, a background."""

    def run_em(
        self, block: Block, context: Any, start: tuple[Array, Array, Array], structure: Algebra, settings: EMSettings
    ) -> RunHistory:
        """Make steps of EM until the log-likelihood converges, a time limit is reached, or the next step is unusual.

        `supports_core_steps` returns whether rows and mixture are supported.

        Parameters
        ----------
        block : all rows.
        context : result of `prepare`.
        start : weights, means and covariances in compact form.
        structure : covariance structure.
        settings : conditions for stopping.

        Returns
        -------
        history : the mixture after the last step and the log-likelihoods before each step. The bits depend neither on
            the number of threads nor on the moment when the time limit is reached.
        """

    def fit_many(self, groups: RowGroups, settings: FitSettings) -> GroupFits | None:
        """Initialise a fit for each of many groups of rows, and make steps of EM as `run_em` does.

        Parameters
        ----------
        groups : rows of all groups.
        settings : settings that all groups share.

        Returns
        -------
        fits : fits with the same bits as a fit of each group alone, or of its parts one by one; None if the core does
            not support the settings. If there is only one group, the time limit may stop EM early.
        """

    def score_products(
        self, block: Block, parameters: Parameters, whitening: Array, score_form: Second
    ) -> tuple[Array, Array]:
        """Sum products of the scores of rows, as `em.curvature.scores` defines them.

        Parameters
        ----------
        block : rows with their weights.
        parameters : parameters of the mixture.
        whitening : W, (n_components or 1, n_features or 1, n_features), as matrices or as one factor per feature.
        score_form : form of the products of z = W (x − μ) that are scores.

        Returns
        -------
        between : Σ s S_i S_iᵀ, (n_values, n_values). The scores of a component are its responsibility, means and
            products; if there is a single W, the scores of the summed products come last.
        within : Σ s γ_ik c_ik c_ikᵀ, (n_components, n_own, n_own).
        """
