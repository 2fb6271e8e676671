"""Predict the number of bytes that a pass over rows on other machines sends, and the memory that the pass takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import inf
from typing import Self

FAN_IN = 8  # number of trees of sums that one task merges; the trees have about equal numbers of nodes
MAX_MERGE_BYTES = 2**30  # maximum size in bytes of the sums that one task merges, if there are enough components
UNITS = {"GB": 1e9, "MB": 1e6, "kB": 1e3}


@dataclass(frozen=True)
class Traffic:
    """The sizes of the data that a pass sends, and the limit on the size of the data that this process receives.

    Parameters
    ----------
    task : bytes sent to each worker: the current parameters, and those parameters by which the worker ordered its rows.
    node : bytes of the serialised sums of one node of the summation tree, over all components.
    n_components : number of components for which sums are sent.
    n_workers : number of workers; each worker gets the task once.
    n_leaves : number of leaves (blocks of 65,520 rows) in total.
    n_nodes : maximum number of nodes whose sums this process receives if the sums are not split by component.
    largest : the cluster's limit on the number of bytes that this process receives in a pass.
    setting : name of the cluster's setting whose value is `largest`.
    """

    task: int
    node: int
    n_components: int
    n_workers: int
    n_leaves: int
    n_nodes: int = 1
    largest: float = inf
    setting: str = ""

    @property
    def merging(self) -> int:
        """Return the maximum size in bytes of the sums of all components that one task merges, as full matrices."""
        n_trees = min(FAN_IN, self.n_workers or FAN_IN, self.n_leaves)  # if all workers died, they may restart
        return 2 * self.node * min(self.n_leaves, 2 * n_trees * (self.n_leaves // n_trees).bit_length())

    @property
    def n_parts(self) -> int:
        """Return the number of groups into which the components are split to limit the bytes that one task merges."""
        return max(min(-(-self.merging // MAX_MERGE_BYTES), self.n_components), 1)

    @property
    def received_bytes(self) -> int:
        """Return the number of bytes that workers send to this process in a pass."""
        return self.node * (self.n_nodes if self.n_parts == 1 else 1)

    @property
    def memory(self) -> int:
        """Return the memory of this process in bytes, for two copies of the task and three of the received sums."""
        return 2 * self.task + 3 * self.received_bytes

    def checked(self) -> Self:
        """Return `self`; raise MemoryError, with the sizes, if a pass would send or store too many bytes."""
        sums = f"A pass sends {format_bytes(self.received_bytes)} of sums to this process"
        advice = "lower n_components, or choose a covariance_type with fewer parameters, such as 'diag'"
        if self.received_bytes > self.largest:
            raise MemoryError(
                f"{sums}, but {self.setting} is {format_bytes(self.largest)}. Set it to "
                f"{format_bytes(2 * self.received_bytes)} when the session begins, {advice}."
            )
        if self.memory > physical_memory():
            raise MemoryError(
                f"{sums}, which takes {format_bytes(self.memory)} of memory. This machine has "
                f"{format_bytes(physical_memory())}. Use a larger machine, {advice}."
            )
        return self


def physical_memory() -> float:
    """Return the memory of this machine in bytes; infinity if the system does not report it."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return inf


def format_bytes(n_bytes: float) -> str:
    """Format a number of bytes for messages, such as "1.5 MB"."""
    unit = next((unit for unit, size in UNITS.items() if n_bytes >= size), "kB")
    return f"{n_bytes / UNITS[unit]:.3g} {unit}"
