"""Engines: rows and parameters in, moments and densities out. They never hear a family's name."""

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

# In `step` a responsibility of at most 2⁻⁶⁰ of its row's largest *is* zero, in every engine (docs/develop/numerics.md).
NEGLIGIBLE = 60 * 0.6931471805599453  # log 2

StateT = TypeVar("StateT")


class Engine(Protocol[StateT]):
    """The E-step and the sums for the M-step, over one block at a time.

    Sums are in float64 whatever the rows are, or the moments say that they are not (`Moments.in_single`). Results do
    not depend on the number of threads.
    """

    def open(self, block: Block, need: Need, n_components: int) -> StateT:
        """Prepare what may be kept beside a block between passes; it may be lost and is then made again."""

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
        parameters : of the mixture that shares rows; None under `Rule.GIVEN`, which reads `block.given`.
        need : the second moments to accumulate.
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

    def log_density(self, block: Block, parameters: Parameters) -> Array:
        """log p(x) of each row, nats, (n_rows,)."""

    def component_log_density(self, block: Block, parameters: Parameters) -> Array:
        """log p(x, k) of each row and component, nats, (n_rows, n_components)."""

    def responsibilities(self, block: Block, parameters: Parameters) -> Array:
        """p(k | x), (n_rows, n_components); rows sum to 1."""

    def labels(self, block: Block, parameters: Parameters) -> NDArray[np.int64]:
        """The most probable component of each row, (n_rows,); the first of equals."""

    def draw(
        self, n_rows: int, cumulative: Array, means: Array, whitening: Whitening, key: int
    ) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows x = μ_k + W_k⁻¹ z, z standard normal; Bishop (2006) section 11.1.

        Everything about a row is a function of the key and the row's number: a smaller draw is the beginning of a
        larger one, and a row may be drawn anywhere, in any order (docs/develop/numerics.md says which function).

        Parameters
        ----------
        n_rows : how many.
        cumulative : (n_components,), rising: the first to exceed a number of [0, 1) is that number's component; the
            last exceeds 1.
        means : (n_components, n_features).
        whitening : W_k.
        key : 64 bits.

        Returns
        -------
        rows : (n_rows, n_features).
        labels : (n_rows,), the component of each row.
        """
