"""What the native engine decides by counting: which passes are long, which go in float32, which order is kept."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from gaussmix.em.accumulate import TILE_ROWS
from gaussmix.engines.native.arguments import arguments_of
from gaussmix.engines.native.engine import Facts
from gaussmix.engines.native.float32 import scaled_for_single, steps_in_single
from gaussmix.engines.native.run import MOST_NUMBERS, suits_core
from gaussmix.engines.native.visits import (
    GROUP_ROWS,
    KEPT,
    LONG_PASS,
    Counts,
    Labelling,
    Ordering,
    _by_label,
    _changes,
    could_pay,
    is_long,
    work_per_row,
)
from gaussmix.families import FAMILIES
from gaussmix.numerics.core import native_target
from gaussmix.numerics.factorise import MOST_INFLATION
from gaussmix.testing.random_parameters import random_parameters
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import LEAF_ROWS
from gaussmix.waist.need import Need, Rule, Second
from gaussmix.waist.whitening.base import FactorShape

OWN = {"full": FactorShape.TRIANGULAR, "diag": FactorShape.DIAGONAL, "spherical": FactorShape.SPHERICAL}
SECOND = {"full": Second.FULL, "diag": Second.DIAGONAL, "spherical": Second.TRACE}


def zeros(n_rows, n_features, dtype):
    """Rows that take no memory."""
    return Block(0, np.broadcast_to(np.zeros(1, dtype), (n_rows, n_features)))


def standard(rng, n_components, n_features, shape):
    """Parameters that float32 suits."""
    parameters = random_parameters(rng, n_components, n_features, shape)
    factors = np.ones(parameters.whitening.factors.shape)
    if shape is FactorShape.TRIANGULAR:
        factors *= np.eye(n_features)
    whitening = replace(parameters.whitening, factors=factors)
    return replace(parameters, whitening=whitening, deviations=np.ones(parameters.means.shape))


def test_python_and_the_core_have_the_same_constants():
    from gaussmix import _core

    assert (GROUP_ROWS, TILE_ROWS, LEAF_ROWS) == (_core.GROUP_ROWS, _core.TILE_ROWS, _core.LEAF_ROWS)
    assert MOST_INFLATION == _core.MOST_INFLATION


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", OWN)
def test_every_table_has_a_fast_path(name, dtype, rng):
    """The core makes many steps of a short pass; a long one may be in float32, or in an order if that could pay."""
    algebra, shape = FAMILIES[name].algebra, OWN[name]
    for n_features, n_components in product((1, 2, 3, 8, 16, 33), (2, 3, 8, 20)):
        parameters = standard(rng, n_components, n_features, shape)
        longest = int(LONG_PASS / work_per_row(shape, n_components, n_features))
        for n_rows in {1, longest - 1, longest, longest + 1, longest + 2, int(1.3 * longest), int(1.6 * longest)}:
            block = zeros(n_rows, n_features, dtype)
            paths = (
                suits_core(block, n_components, algebra),
                steps_in_single(block, block.n_rows, parameters, Need(SECOND[name]), Rule.SOFT),
                could_pay(n_rows, shape, n_components, n_features),
            )
            assert any(paths), (n_rows, n_features, n_components)
            assert not (paths[0] and paths[1])


def test_float32_tables_just_above_the_limit_have_a_fast_path(rng):
    """8 features and 8 components: two formulas for the work of a step left these sizes without one."""
    parameters = standard(rng, 8, 8, FactorShape.TRIANGULAR)
    for n_rows in range(10_000, 15_000, 50):
        block = zeros(n_rows, 8, "f4")
        in_core = suits_core(block, 8, FAMILIES["full"].algebra)
        assert in_core != steps_in_single(block, block.n_rows, parameters, Need(Second.FULL), Rule.SOFT)


def test_large_covariances_are_stepped_from_python():
    assert suits_core(zeros(9, 512, "f8"), 1, FAMILIES["full"].algebra)
    assert MOST_NUMBERS < 513**2
    assert not suits_core(zeros(9, 513, "f8"), 1, FAMILIES["full"].algebra)


def test_work_grows_with_everything_that_is_done():
    target = native_target()
    for shape in FactorShape:
        least = target.work_per_row(shape, 3, 8, 2)
        assert least > 3 * (20 + 2 * 8)  # an exponential, and a multiply-add for each feature in E and M
        assert target.work_per_row(shape, 6, 8, 2) > 1.9 * least
        assert target.work_per_row(shape, 3, 16, 2) > least
    assert target.work_per_row(FactorShape.LOW_RANK, 3, 8, 3) > target.work_per_row(FactorShape.LOW_RANK, 3, 8, 2)


def test_a_long_pass_begins_at_the_limit():
    work = work_per_row(FactorShape.TRIANGULAR, 8, 8)
    n_rows = int(np.ceil(LONG_PASS / work))
    assert is_long(n_rows, FactorShape.TRIANGULAR, 8, 8)
    assert not is_long(n_rows - 1, FactorShape.TRIANGULAR, 8, 8)


@pytest.mark.parametrize("shape", list(OWN.values()))
def test_log_determinants_are_those_of_the_rounded_factors(shape, rng):
    """Of the squares of spherical factors, which are what the core rounds."""
    parameters = random_parameters(rng, 4, 9, shape)
    scaled, offset = scaled_for_single(parameters)
    factors = parameters.whitening.factors
    if shape is FactorShape.SPHERICAL:
        before = np.repeat(factors[:, None] ** 2, 9, axis=1)
        share = 0.5  # log |det| is half the sum of the logarithms of the squares
    else:
        before = np.einsum("kii->ki", factors) if shape is FactorShape.TRIANGULAR else factors
        share = 1.0
    growth = share * np.log1p((before.astype(np.float32) - before) / before).sum(axis=1)
    assert np.abs(growth).min() > 1e-9
    np.testing.assert_allclose(scaled.log_scale + offset - parameters.log_scale, growth, atol=1e-13)
    assert scaled.log_scale.max() == 0.0


@pytest.mark.parametrize(("n_moved", "keeps"), [(0, True), (5, True), (6, False)])
def test_the_old_order_stays_while_it_is_nearly_as_good(n_moved, keeps):
    """Of 100 groups ten more may be mixed. A row that has moved to the other component mixes two."""
    n_rows = 100 * GROUP_ROWS
    assert KEPT == 0.1
    labels = (np.arange(n_rows) % 2).astype(np.uint16)
    arguments = arguments_of(standard(np.random.default_rng(0), 2, 3, FactorShape.TRIANGULAR))
    old, new = Labelling(arguments, in_single=False), Labelling(arguments, in_single=True)
    order = _by_label(labels)
    moved = order[7 : 7 + 20 * n_moved : 20]
    labels[moved] = 1 - labels[moved]
    fresh = _by_label(labels)
    assert (np.diff(labels[fresh].astype(int)) >= 0).all()
    counts = Counts(float(n_rows), _changes(labels, order), _changes(labels, fresh))
    assert Ordering(old, 2, wants_labels=True).after(new, counts, n_rows).by is (old if keeps else new)


@pytest.mark.parametrize("largest", [1e-300, 0.3, 1.0, 7.0, 1e150])
def test_weights_are_scaled_to_about_1_for_float32(largest):
    scaled = largest * Facts(9, largest).weight_scale
    assert 1 <= scaled < 2
    assert Facts(9).weight_scale == Facts(9, 0.0).weight_scale == 1.0
