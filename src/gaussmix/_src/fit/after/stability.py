"""Compute the criterion "stability", which is the agreement between the labels of repeated fits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaussmix._src.engines.base import NOISE_LABEL, Engine
from gaussmix._src.fit.candidates import Candidate
from gaussmix._src.interfaces.block import Block
from gaussmix._src.interfaces.leaves import Sums
from gaussmix._src.interfaces.parameters import Parameters
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.base import Source

RepeatedFits = dict[Candidate, list[Parameters | None]]  # parameters of each repeated fit, or None if the fit failed


def add_neighbours(candidates: Sequence[Candidate], *, has_labels: bool) -> list[Candidate]:
    """Return the candidates and their neighbours (one component less or more), sorted by structure and n_components.

    If rows have labels, neighbours with fewer components than the smallest candidate are left out, because a label
    might name a component that such a neighbour lacks.
    """
    min_components = min(candidate.n_components for candidate in candidates) if has_labels else 1
    around = (each._replace(n_components=each.n_components + more) for each in candidates for more in (-1, 0, 1))
    families = list(dict.fromkeys(each.family for each in candidates))
    alike = dict.fromkeys(each for each in around if each.n_components >= min_components)
    return sorted(alike, key=lambda each: (families.index(each.family), each.n_components))


def compute_stability(
    candidates: Sequence[Candidate], repeats: RepeatedFits, source: Source, engine: Engine[Any]
) -> tuple[Array, Array]:
    """Compute mean and standard deviation of label agreement between candidates and their neighbours, (n_candidates,).

    The neighbours of a candidate with K components have K − 1 and K + 1 components. Each repeat with K components is
    compared with every earlier repeat with K + 1 components. The measure is the index of Fowlkes & Mallows (1983), as
    in the package CellCharter; Varrone, Tavernari, Santamaria-Martínez, Walsh & Ciriello (2024), Nature Genetics 56.
    All comparisons together need only one pass over the rows. The result of a candidate is NaN if K = 1, or if there is
    no successful fit of one of its neighbours.
    """
    steps = [(low, high) for low in repeats if (high := low._replace(n_components=low.n_components + 1)) in repeats]
    indices = {each: index for index, each in enumerate(repeats)}
    step_indices = tuple((indices[low], indices[high]) for low, high in steps)
    own, *tables = source.sum_of(_ContingencyTables(engine, tuple(map(tuple, repeats.values())), step_indices))
    agree = {low: [fowlkes_mallows(table, own) for table in each] for (low, _), each in zip(steps, tables, strict=True)}
    mean, deviation = np.full((2, len(candidates)), np.nan)
    for index, each in enumerate(candidates):
        sides = [agree.get(each._replace(n_components=each.n_components - less), []) for less in (1, 0)]
        if all(sides):
            mean[index], deviation[index] = np.mean(sides[0] + sides[1]), np.std(sides[0] + sides[1])
    return mean, deviation


def find_peaks(candidates: Sequence[Candidate], values: Array) -> list[bool]:
    """Return whether each candidate's value exceeds both the value with one component less and with one more."""
    by_candidate: dict[Candidate, float] = dict(zip(candidates, values.tolist(), strict=True))

    def value_at(each: Candidate, more: int) -> float:
        return by_candidate.get(each._replace(n_components=each.n_components + more), math.nan)

    return [by_candidate[each] > value_at(each, -1) and by_candidate[each] > value_at(each, 1) for each in candidates]


def fowlkes_mallows(table: Array, self_pairs: float) -> float:
    """Compute the Fowlkes–Mallows index √(T/P) √(T/Q) of a contingency table of labels.

    T is the number of pairs of rows with equal labels in both fits; P and Q are the numbers of pairs with equal labels
    in the first and in the second fit; Fowlkes & Mallows (1983), JASA 78, section 2. Each pair of rows is weighted by
    the product of its row weights. The weight of pairs of a row with itself, `self_pairs`, is subtracted from T, P and
    Q.
    """
    both, first, second = equal_pairs(table, self_pairs)
    return math.sqrt(both / first) * math.sqrt(both / second) if min(both, first, second) > 0 else 0.0


def equal_pairs(table: Array, self_pairs: float) -> tuple[float, float, float]:
    """Return T, P and Q of `fowlkes_mallows`. T = P = Q if the labels are the same partition of the rows."""
    both, first, second = (math.fsum((sums**2).flat) for sums in (table, table.sum(axis=1), table.sum(axis=0)))
    return both - self_pairs, first - self_pairs, second - self_pairs


def weight_of_self_pairs(weight: Array) -> float:
    """Return the weight Σ w min(w, 1) of pairs of a row with itself.

    A row of weight 2 stands for two rows, and each of the two rows makes one pair with itself.
    """
    return float((weight * np.minimum(weight, 1)).sum())


@dataclass(frozen=True, eq=False)
class _ContingencyTables:
    """Function that returns contingency tables of labels in a leaf, and the weight of pairs of a row with itself.

    Parameters
    ----------
    repeats : parameters of all repeated fits of each candidate.
    compared_pairs : pairs of indices of candidates. Every repeat of the first candidate in a pair is compared with the
        earlier repeats of the second candidate in this pair.
    """

    engine: Engine[Any]
    repeats: tuple[tuple[Parameters | None, ...], ...]
    compared_pairs: tuple[tuple[int, int], ...]

    def __call__(self, leaf: Block) -> Sums:
        return Sums((weight_of_self_pairs(leaf.weight), *self._contingency_tables(leaf)))

    def _contingency_tables(self, leaf: Block) -> Iterator[Sums]:
        """Yield the contingency tables of all compared pairs of repeats, for each pair of candidates."""
        labels: dict[int, list[Any]] = {}
        for step in self.compared_pairs:
            # The labels with K + 1 components are used again for the next pair of candidates, in which K is larger by
            # 1.
            labels = {index: labels.get(index) or self._labels(leaf, index) for index in step}
            rows, columns = (labels[index] for index in step)
            n_rows, n_columns = (self._n_labels(index) for index in step)
            yield Sums(
                np.bincount(one * n_columns + other, leaf.row_weight, n_rows * n_columns).reshape(n_rows, -1) + 0.0
                for repeat, one in enumerate(rows)
                for other in columns[:repeat]
                if one is not None and other is not None
            )

    def _n_labels(self, index: int) -> int:
        """Return the number of labels of a candidate, including the noise label; 1 if all of its fits failed."""
        return 1 + max((len(each.means) for each in self.repeats[index] if each is not None), default=0)

    def _labels(self, leaf: Block, index: int) -> list[Any]:
        """Return the labels of the rows in each repeat, with 0 for noise; None for a failed fit."""
        return [None if each is None else self.engine.labels(leaf, each) - NOISE_LABEL for each in self.repeats[index]]
