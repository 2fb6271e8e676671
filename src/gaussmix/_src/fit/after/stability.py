"""How well the labels of repeated fits agree: the criterion "stability"."""

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

RepeatedFits = dict[Candidate, list[Parameters | None]]  # the mixture of each repeat; None where it could not be fitted


def add_neighbours(candidates: Sequence[Candidate], *, has_labels: bool) -> list[Candidate]:
    """The candidates, and those of the same structures with one component less and one more.

    Where labels of rows are known, none has fewer components than all candidates: it may lack one that a label names.
    Structure by structure, fewest components first.
    """
    min_components = min(candidate.n_components for candidate in candidates) if has_labels else 1
    around = (each._replace(n_components=each.n_components + more) for each in candidates for more in (-1, 0, 1))
    families = list(dict.fromkeys(each.family for each in candidates))
    alike = dict.fromkeys(each for each in around if each.n_components >= min_components)
    return sorted(alike, key=lambda each: (families.index(each.family), each.n_components))


def compute_stability(
    candidates: Sequence[Candidate], repeats: RepeatedFits, source: Source, engine: Engine[Any]
) -> tuple[Array, Array]:
    """How well labels agree with those of K − 1 and K + 1 components: mean and standard deviation, (n_candidates,).

    The index of Fowlkes & Mallows (1983) compares a repeat with K components and every earlier repeat with K + 1;
    Varrone, Tavernari, Santamaria-Martínez, Walsh & Ciriello (2024), Nature Genetics 56, as CellCharter computes it.
    One pass over the rows for all. NaN for one component, and where no fits can be compared on one side.
    """
    steps = [(low, high) for low in repeats if (high := low._replace(n_components=low.n_components + 1)) in repeats]
    indices = {each: index for index, each in enumerate(repeats)}
    of_steps = tuple((indices[low], indices[high]) for low, high in steps)
    own, *tables = source.sum_of(_ContingencyTables(engine, tuple(map(tuple, repeats.values())), of_steps))
    agree = {low: [fowlkes_mallows(table, own) for table in each] for (low, _), each in zip(steps, tables, strict=True)}
    mean, deviation = np.full((2, len(candidates)), np.nan)
    for index, each in enumerate(candidates):
        sides = [agree.get(each._replace(n_components=each.n_components - less), []) for less in (1, 0)]
        if all(sides):
            mean[index], deviation[index] = np.mean(sides[0] + sides[1]), np.std(sides[0] + sides[1])
    return mean, deviation


def find_peaks(candidates: Sequence[Candidate], values: Array) -> list[bool]:
    """Whether the value (n_candidates,) of each lies above those with one component less and one more."""
    by_candidate: dict[Candidate, float] = dict(zip(candidates, values.tolist(), strict=True))

    def value_at(each: Candidate, more: int) -> float:
        return by_candidate.get(each._replace(n_components=each.n_components + more), math.nan)

    return [by_candidate[each] > value_at(each, -1) and by_candidate[each] > value_at(each, 1) for each in candidates]


def fowlkes_mallows(table: Array, self_pairs: float) -> float:
    """The index of a contingency table: of two rows with the same label in one fit, how often they have it in both.

    √(T/P) √(T/Q); T, P and Q count the pairs of rows with equal labels in both, the first and the second; Fowlkes &
    Mallows (1983), JASA 78, section 2. A pair counts the product of its weights; `self_pairs` are rows with themselves.
    """
    both, first, second = (float((sums**2).sum() - self_pairs) for sums in (table, table.sum(axis=1), table.sum(0)))
    return math.sqrt(both / first) * math.sqrt(both / second) if min(both, first, second) > 0 else 0.0


@dataclass(frozen=True, eq=False)
class _ContingencyTables:
    """The weight of pairs of a row of a leaf with itself, and that of its rows by their labels in two fits.

    Parameters
    ----------
    repeats : of each candidate, its repeats.
    compared_pairs : indices of candidates to compare: every repeat of the first with the earlier ones of the second.
    """

    engine: Engine[Any]
    repeats: tuple[tuple[Parameters | None, ...], ...]
    compared_pairs: tuple[tuple[int, int], ...]

    def __call__(self, leaf: Block) -> Sums:
        # Σ w min(w, 1): a row of weight 2 is two rows, each in one pair with itself, but half a row is none.
        own = float((leaf.weight * np.minimum(leaf.weight, 1)).sum())
        return Sums((own, *self._contingency_tables(leaf)))

    def _contingency_tables(self, leaf: Block) -> Iterator[Sums]:
        """For each step the tables of its pairs."""
        labels: dict[int, list[Any]] = {}
        for step in self.compared_pairs:
            labels = {index: labels.get(index) or self._labels(leaf, index) for index in step}  # K + 1 is K of the next
            rows, columns = (labels[index] for index in step)
            n_rows, n_columns = (self._n_labels(index) for index in step)
            yield Sums(
                np.bincount(one * n_columns + other, leaf.row_weight, n_rows * n_columns).reshape(n_rows, -1) + 0.0
                for repeat, one in enumerate(rows)
                for other in columns[:repeat]
                if one is not None and other is not None
            )

    def _n_labels(self, index: int) -> int:
        """The number of labels of a candidate, with noise; 1 without a fit."""
        return 1 + max((len(each.means) for each in self.repeats[index] if each is not None), default=0)

    def _labels(self, leaf: Block, index: int) -> list[Any]:
        """Labels of each repeat, counted from noise on; None where there is no fit."""
        return [None if each is None else self.engine.labels(leaf, each) - NOISE_LABEL for each in self.repeats[index]]
