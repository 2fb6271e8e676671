"""What an engine is: it makes moments and densities of rows and parameters. It depends on no family."""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix.numerics.arrays import Array
from gaussmix.waist.block import Block
from gaussmix.waist.moments import Moments, Partial
from gaussmix.waist.need import Need, Rule
from gaussmix.waist.parameters import Parameters
from gaussmix.waist.whitening.base import Whitening

# In `step` every engine sets responsibilities to 0 that are at most 2⁻⁶⁰ of their row's largest (numerics.md).
NEGLIGIBLE = 60 * 0.6931471805599453  # log 2

StateT = TypeVar("StateT")


class Engine(Protocol[StateT]):
    """The E-step and the sums for the M-step, over one block at a time.

    Sums are in float64, also of float32 rows, unless `Partial.in_single` says otherwise. Results do not depend on the
    number of threads.
    """

    def open(self, block: Block, need: Need, n_components: int) -> StateT:
        """Make the state that is kept beside a block between passes. It may be lost, and is then made again."""

    def step(
        self,
        block: Block,
        state: StateT,
        parameters: Parameters | None,
        need: Need,
        rule: Rule = Rule.SOFT,
        anchor: Array | None = None,
    ) -> Partial:
        """Share each row of a block among the components and sum moments; Bishop (2006) eq. 9.23 and 9.27.

        The sums of different blocks are merged by `+`, and finished by `finish`.

        Parameters
        ----------
        block : rows (n_rows, n_features) and their weights.
        state : what `open` made for this block, need and number of components.
        parameters : of the mixture whose components share the rows; None under `Rule.GIVEN`, which reads `block.given`.
        need : the second moments to sum.
        rule : how a row is shared.
        anchor : (n_components, n_features), the points to take the sums about, in float64; None leaves the choice
            to the engine, which returns it: the means, or others where that is cheaper. Without second moments the
            engine always chooses.

        Returns
        -------
        partial : `log_likelihood` in nats, summed over rows; 0 under `Rule.GIVEN`. A squared distance that
            overflows counts as the largest double, so neither mass nor log-likelihood is ever NaN.
        """

    def finish(self, partial: Partial, parameters: Parameters | None) -> Moments:
        """Make moments of the merged sums of all blocks, once for each pass.

        Here an engine completes what only the sums of all rows allow. Those of gaussmix have nothing to complete.

        Parameters
        ----------
        partial : the sums of all blocks.
        parameters : those that the steps had.
        """

    def suits_single(self, parameters: Parameters) -> bool:
        """Whether sums in float32, which the engine gave, are exact enough where they lead to these parameters."""

    def log_density(self, block: Block, parameters: Parameters) -> Array:
        """log p(x) of each row, nats, (n_rows,)."""

    def component_log_density(self, block: Block, parameters: Parameters) -> Array:
        """log p(x, k) of each row and component, nats, (n_rows, n_components)."""

    def responsibilities(self, block: Block, parameters: Parameters) -> Array:
        """p(k | x), (n_rows, n_components); each row sums to 1. Right also for rows far from every mean (`far.py`)."""

    def labels(self, block: Block, parameters: Parameters) -> NDArray[np.int64]:
        """The most probable component of each row, (n_rows,); the first of equals."""

    def draw(
        self, n_rows: int, cumulative: Array, means: Array, whitening: Whitening, key: int
    ) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows x = μ_k + W_k⁻¹ z, z standard normal; Bishop (2006) section 11.1.

        A row is a function of the key and the row's number (docs/develop/numerics.md says which). So a smaller draw is
        the beginning of a larger one, and rows may be drawn anywhere, in any order.

        Parameters
        ----------
        n_rows : number of rows.
        cumulative : (n_components,), rising, the last above 1. A uniform number in [0, 1) belongs to the first
            component whose entry exceeds it.
        means : (n_components, n_features).
        whitening : W_k.
        key : 64 bits.

        Returns
        -------
        rows : (n_rows, n_features).
        labels : (n_rows,), the component of each row.
        """
