"""Leaves: 65,520 consecutive rows each, and the tree in which what they say is added up (docs/develop/numerics.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

from gaussmix._src.numerics.core import core

LEAF_ROWS = core.LEAF_ROWS  # 65,520: 455 tiles
TILE_ROWS = core.TILE_ROWS  # 144: rows that a kernel reads together, so parts of a leaf end at the end of a tile


class Summable(Protocol):
    """What can be added up."""

    def __add__(self, other: Any, /) -> Any:
        """Merge with what the next rows say."""


S = TypeVar("S", bound=Summable)


class Sums(tuple[Any, ...]):
    """Several sums over the same rows, added one by one."""

    def __add__(self, other: Any) -> Sums:
        return Sums(one + another for one, another in zip(self, other, strict=True))

    def split_by_component(self, n_parts: int) -> list[Sums]:
        """Each of the sums in parts, as by `BlockMoments.split_by_component`."""
        return [Sums(parts) for parts in zip(*(each.split_by_component(n_parts) for each in self), strict=True)]

    @classmethod
    def joined(cls, parts: list[Sums]) -> Sums:
        """The sums that were split into these parts."""
        return cls(each[0].joined(list(each)) for each in zip(*parts, strict=True))


def count_leaves(n_rows: int) -> int:
    """How many leaves so many rows have; the last one may be short."""
    return -(-n_rows // LEAF_ROWS)


def leaves_of(n_rows: int) -> Iterator[slice]:
    """Where the leaves of so many rows are."""
    return (slice(first, first + LEAF_ROWS) for first in range(0, n_rows, LEAF_ROWS))


class Tree(Generic[S]):
    """The sum of what leaves say; the same bits for any cut into nodes, which may come from anywhere in any order.

    A node is 2^l leaves that begin with a multiple of 2^l. Neighbours are merged into the node above them as soon as
    both are there. At the end, the nodes that are left are merged from the right. Trees of other leaves are merged by
    `+`, so that the nodes of many workers may be merged by a few of them.
    """

    def __init__(self) -> None:
        self._nodes: dict[int, tuple[int, S]] = {}  # by the first leaf: how many leaves, and their sum
        self._end = 0  # the leaf after the last node

    def __len__(self) -> int:
        return len(self._nodes)

    def __add__(self, other: Tree[S]) -> Tree[S]:
        tree = Tree[S]()
        tree._nodes, tree._end = dict(self._nodes), self._end
        for first, (n_leaves, sums) in other._nodes.items():
            tree.add(sums, n_leaves, first)
        return tree

    def add(self, sums: S, n_leaves: int = 1, first: int | None = None) -> None:
        """Add a node: the sum of so many leaves from the leaf `first` on; of the next ones where it is absent."""
        first = self._end if first is None else first
        self._end = max(self._end, first + n_leaves)
        while (beside := self._nodes.get(first ^ n_leaves)) is not None and beside[0] == n_leaves:
            del self._nodes[first ^ n_leaves]
            sums = beside[1] + sums if first & n_leaves else sums + beside[1]
            first, n_leaves = first & ~n_leaves, 2 * n_leaves
        self._nodes[first] = n_leaves, sums

    def split_by_component(self, n_parts: int) -> list[Tree[Any]]:
        """Trees of the parts of all sums (`BlockMoments.split_by_component`), which are merged and sent apart."""
        trees = [Tree[Any]() for _ in range(n_parts)]
        for first, (n_leaves, sums) in self._nodes.items():
            splittable: Any = sums
            for tree, part in zip(trees, splittable.split_by_component(n_parts), strict=True):
                tree.add(part, n_leaves, first)
        return trees

    def closed(self) -> Tree[S]:
        """A tree of the sum of all leaves alone, to which no leaf is added any more."""
        tree = Tree[S]()
        tree.add(self.total)
        return tree

    @property
    def total(self) -> S:
        """The sum of all leaves; at least one was added."""
        _, total = self._nodes[last := max(self._nodes)]
        for first in sorted(self._nodes.keys() - {last}, reverse=True):
            total = self._nodes[first][1] + total
        return total
