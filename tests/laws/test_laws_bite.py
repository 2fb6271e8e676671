"""Each law rejects what breaks it: families, engines, sources and starts that are wrong in one place."""

from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
import pytest
from check_engine import check_engine
from check_moments import check_moments
from many_blocks import ManyBlocks
from reference_engine import ReferenceEngine

from gaussmix.covariances import Diagonal
from gaussmix.families.base import Equivariance
from gaussmix.families.structures import EEV, Diag, Full, Tied
from gaussmix.sources.array import ArraySource
from gaussmix.starts.base import nearest_centre
from gaussmix.testing import check_family, check_source, check_start, check_whitening
from gaussmix.waist.need import Need, Rule, Second
from gaussmix.waist.whitening.diagonal import DiagonalWhitening


class UnbiasedVariances(Diag):
    """N − 1 in the place of N: no maximum of the likelihood."""

    def update(self, scatter, current):
        return self.covariances(scatter.second / (scatter.degrees - 1)[:, None], *scatter.shape)


class ShrunkCorrelations(Full):
    """Inside the structure, and still no maximum."""

    def update(self, scatter, current):
        covariances = super().update(scatter, current)
        return replace(covariances, each=covariances.each * (1 - 1e-4 * (1 - np.eye(scatter.n_features))))


class HalfWay(Full):
    """Never lowers the likelihood, and stops short of its maximum."""

    def update(self, scatter, current):
        best = super().update(scatter, current)
        return best if current is None else replace(best, each=0.5 * (best.each + current.each))


class ForgetfulOfTheLast(Full):
    """A search that starts from the last covariances and ends below them."""

    def update(self, scatter, current):
        return super().update(scatter, current) if current is None else replace(current, each=3.0 * current.each)


class BeginsElsewhere(EEV):
    """With covariances that are none of the structure."""

    def other_initial_covariances(self, scatter):
        return [self.covariances(scatter.second / scatter.degrees[:, None, None], *scatter.shape)]


class NanWhereSingular(Full):
    def update(self, scatter, current):
        covariances = super().update(scatter, current)
        is_singular = np.linalg.det(covariances.each)[:, None, None] == 0
        return replace(covariances, each=np.where(is_singular, np.nan, covariances.each))


class MiscountedParameters(Full):
    def n_parameters(self, n_components, n_features):
        return n_components * n_features**2


class HalvedParameters(Full):
    def n_parameters(self, n_components, n_features):
        return n_components * n_features * (n_features + 1) / 2


class SharedButCountedApart(Tied):
    def n_parameters(self, n_components, n_features):
        return n_components * super().n_parameters(n_components, n_features)


class BoastfulDiagonal(Diag):
    equivariance = Equivariance.AFFINE


class StandardDeviations(Diagonal):
    def variances(self):
        return np.sqrt(self.each)


class WrongVariances(Diag):
    kind = StandardDeviations

    def update(self, scatter, current):
        return StandardDeviations(super().update(scatter, current).each, *scatter.shape)


class WithoutItsRoot(Diagonal):
    def _whitening(self):
        right = super()._whitening()
        return DiagonalWhitening(right.factors, 2 * right.log_abs_det)


class WrongDeterminant(Diag):
    kind = WithoutItsRoot

    def update(self, scatter, current):
        return WithoutItsRoot(super().update(scatter, current).each, *scatter.shape)


class WithAnothersAlgebra(Full):
    """Its own `update`, and the algebra of the class that it inherits from."""

    def update(self, scatter, current):
        return replace(
            super().update(scatter, current),
            each=np.repeat(scatter.second.sum(axis=0)[None] / scatter.degrees.sum(), len(scatter.degrees), axis=0),
        )

    def n_parameters(self, n_components, n_features):
        return n_features * (n_features + 1) // 2


@pytest.mark.parametrize(
    ("family", "said"),
    [
        (UnbiasedVariances, "along the structure"),
        (ShrunkCorrelations, "along the structure"),
        (HalfWay, "moves on"),
        (BeginsElsewhere, "the model's own moments"),
        (ForgetfulOfTheLast, "from the last covariances loses"),
        (NanWhereSingular, "NaN or infinity"),
        (MiscountedParameters, "directions"),
        (HalvedParameters, "not an int"),
        (SharedButCountedApart, "directions"),
        (BoastfulDiagonal, "under any invertible matrix"),
        (WrongVariances, "variances"),
        (WrongDeterminant, "log_abs_det"),
        pytest.param(WithAnothersAlgebra, "algebra"),
    ],
)
def test_a_wrong_family_is_found_out(family, said, rng):
    with pytest.raises(AssertionError, match=said):
        check_family(family(), rng)


@dataclass(frozen=True)
class LateEngine(ReferenceEngine):
    """Wrong by 1e-10 of the first moments, and only in blocks with a tail."""

    def step(self, block, state, parameters, need, rule=Rule.SOFT, anchor=None, facts=None):
        moments = super().step(block, state, parameters, need, rule, anchor)
        return replace(moments, first=moments.first * (1 + 1e-10 * (block.n_rows % 8 == 1)))


@dataclass(frozen=True)
class ForgetfulEngine(ReferenceEngine):
    """Never heard of row weights."""

    def step(self, block, state, parameters, need, rule=Rule.SOFT, anchor=None, facts=None):
        return super().step(replace(block, row_weight=None), state, parameters, need, rule, anchor)


@dataclass(frozen=True)
class LastOfEquals(ReferenceEngine):
    def labels(self, block, parameters):
        log_joint = self.component_log_density(block, parameters)
        return log_joint.shape[1] - 1 - log_joint[:, ::-1].argmax(axis=1)


@dataclass(frozen=True)
class StubbornAnchor(ReferenceEngine):
    """Takes sums about 0 and moves them."""

    def step(self, block, state, parameters, need, rule=Rule.SOFT, anchor=None, facts=None):
        moments = super().step(block, state, parameters, need, rule, None)
        return moments if anchor is None else moments.about(anchor)


@dataclass(frozen=True)
class AnotherStream(ReferenceEngine):
    """Draws right rows from numbers of its own."""

    def draw(self, n_rows, cumulative, means, whitening, key):
        return super().draw(n_rows, cumulative, means, whitening, key ^ 1)


@dataclass(frozen=True)
class DrawsFromTheEnd(ReferenceEngine):
    """The rows of a small draw are the last of a larger one."""

    def draw(self, n_rows, cumulative, means, whitening, key):
        rows, labels = super().draw(333, cumulative, means, whitening, key)
        return rows[333 - n_rows :], labels[333 - n_rows :]


WRONG_ENGINES = [LateEngine, ForgetfulEngine, StubbornAnchor, AnotherStream]


@pytest.mark.parametrize(
    "engine",
    [*WRONG_ENGINES, *(pytest.param(wrong, marks=pytest.mark.heavy) for wrong in (LastOfEquals, DrawsFromTheEnd))],
)
def test_a_wrong_engine_is_found_out(engine, rng):
    with pytest.raises(AssertionError, match=r"allowed|differs"):
        check_engine(engine(), rng)


def test_moments_without_weights_are_found_out(rng):
    with pytest.raises(AssertionError, match="repeated rows"):
        check_moments(ForgetfulEngine(), Need(Second.FULL), rng)


class ShrinkingSource(ArraySource):
    """Loses its last row after the first pass."""

    def map_merge(self, task):
        sums = super().map_merge(task)
        self._blocks = [replace(block, rows=block.rows[:-1], row_weight=None) for block in self._blocks]
        return sums


class CarelessSample(ArraySource):
    """Its sample has rows without their weights."""

    def sample(self, n_rows):
        return replace(super().sample(n_rows), row_weight=None)


class OneState(ManyBlocks):
    """Gives every block the state of the first."""

    def map_merge(self, task):
        return reduce(add, (task.call(block, task.open(next(self.blocks()))) for block in self.blocks()))


class AnyOrder(ManyBlocks):
    """Gives results of rows in the order in which they come in."""

    def map_rows(self, task):
        return reversed(list(super().map_rows(task)))


class CountsAnew(ManyBlocks):
    """Numbers the rows of each block from 0."""

    def blocks(self):
        return [replace(block, first_row=0) for block in super().blocks()]


@pytest.mark.parametrize("source", [ShrinkingSource, CarelessSample, OneState, AnyOrder, CountsAnew])
def test_a_wrong_source_is_found_out(source, rng):
    with pytest.raises(AssertionError):
        check_source(source, rng)


def test_a_start_with_a_state_of_its_own_is_found_out(rng):
    outside = np.random.default_rng(0)

    def careless(sample, engine, n_components, rng):
        return nearest_centre(sample.rows[outside.integers(len(sample.rows), size=n_components)])

    with pytest.raises(AssertionError, match="rows"):
        check_start(careless, ReferenceEngine(), Diag(), rng)


def test_a_wrong_whitening_is_found_out(rng):
    variances = rng.uniform(0.5, 2.0, size=(2, 3))
    dense = variances[:, :, None] * np.eye(3)
    right = DiagonalWhitening.of(variances)
    check_whitening(right, dense)
    longer = replace(right, factors=right.factors * (1 + 1e-12))
    for wrong in (longer, replace(right, log_abs_det=right.log_abs_det + 1e-12)):
        with pytest.raises(AssertionError):
            check_whitening(wrong, dense)
