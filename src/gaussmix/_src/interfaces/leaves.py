"""Leaves, blocks of 65,520 consecutive rows, and the tree that adds up their sums (docs/develop/numerics.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

from gaussmix._src.numerics.core import core

LEAF_ROWS = core.LEAF_ROWS  # 65,520 rows, the rows of 455 tiles
TILE_ROWS = core.TILE_ROWS  # 144 rows that a kernel reads together, so that parts of a leaf end with a tile


class Summable(Protocol):
    """Value that `+` adds to another value."""

    def __add__(self, other: Any, /) -> Any:
        """Merge with the sums of the rows that follow."""


S = TypeVar("S", bound=Summable)


class Sums(tuple[Any, ...]):
    """Several sums over the same rows, which `+` adds one by one."""

    def __add__(self, other: Any) -> Sums:
        return Sums(one + another for one, another in zip(self, other, strict=True))

    def split_by_component(self, n_parts: int) -> list[Sums]:
        """Split every sum into parts by `BlockMoments.split_by_component`, and collect the parts of equal index."""
        return [Sums(parts) for parts in zip(*(each.split_by_component(n_parts) for each in self), strict=True)]

    @classmethod
    def joined(cls, parts: list[Sums]) -> Sums:
        """Join the parts that `split_by_component` returned."""
        return cls(each[0].joined(list(each)) for each in zip(*parts, strict=True))


def count_leaves(n_rows: int) -> int:
    """Count the leaves that `n_rows` rows fill; the last leaf may be short."""
    return -(-n_rows // LEAF_ROWS)


def leaves_of(n_rows: int) -> Iterator[slice]:
    """Yield the slices of the leaves of `n_rows` rows."""
    return (slice(first, first + LEAF_ROWS) for first in range(0, n_rows, LEAF_ROWS))


class Tree(Generic[S]):
    """A sum over leaves that has the same bits for any partition of the rows into nodes, added in any order.

    A node is a run of 2^l leaves that begins at a multiple of 2^l. Two neighbouring nodes are merged into the node
    above as soon as both are there. At the end, the remaining nodes are merged from the right. `+` merges trees of
    different leaves, so that a few workers can merge the nodes of many.
    """

    def __init__(self) -> None:
        self._nodes: dict[int, tuple[int, S]] = {}  # first leaf of each node: its number of leaves, and their sum
        self._end = 0  # index of the leaf after the last node

    def __len__(self) -> int:
        return len(self._nodes)

    def __add__(self, other: Tree[S]) -> Tree[S]:
        tree = Tree[S]()
        tree._nodes, tree._end = dict(self._nodes), self._end
        for first, (n_leaves, sums) in other._nodes.items():
            tree.add(sums, n_leaves, first)
        return tree

    def add(self, sums: S, n_leaves: int = 1, first: int | None = None) -> None:
        """Add a node, the sum of `n_leaves` leaves from leaf `first` on (by default, after the last node)."""
        first = self._end if first is None else first
        self._end = max(self._end, first + n_leaves)
        while (beside := self._nodes.get(first ^ n_leaves)) is not None and beside[0] == n_leaves:
            del self._nodes[first ^ n_leaves]
            sums = beside[1] + sums if first & n_leaves else sums + beside[1]
            first, n_leaves = first & ~n_leaves, 2 * n_leaves
        self._nodes[first] = n_leaves, sums

    def split_by_component(self, n_parts: int) -> list[Tree[Any]]:
        """Split all sums by `BlockMoments.split_by_component`, and return one tree for each part."""
        trees = [Tree[Any]() for _ in range(n_parts)]
        for first, (n_leaves, sums) in self._nodes.items():
            splittable: Any = sums
            for tree, part in zip(trees, splittable.split_by_component(n_parts), strict=True):
                tree.add(part, n_leaves, first)
        return trees

    def closed(self) -> Tree[S]:
        """Return a tree that holds only the sum of all leaves, to which no leaf is added any more."""
        tree = Tree[S]()
        tree.add(self.total)
        return tree

    @property
    def total(self) -> S:
        """Return the sum of all leaves. At least one leaf must have been added."""
        _, total = self._nodes[last := max(self._nodes)]
        for first in sorted(self._nodes.keys() - {last}, reverse=True):
            total = self._nodes[first][1] + total
        return total
