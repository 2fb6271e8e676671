"""What the native engine decides by counting: which passes are long, which the core makes, which order is kept."""

from itertools import product

import numpy as np
import pytest
from random_parameters import random_parameters

from gaussmix.em.accumulate import TILE_ROWS
from gaussmix.engines.native.arguments import arguments_of
from gaussmix.engines.native.run import MOST_NUMBERS, suits_core
from gaussmix.engines.native.visits import (
    GROUP_ROWS,
    KEPT,
    LONG_PASS,
    Counts,
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
from gaussmix.waist.block import Block
from gaussmix.waist.leaves import LEAF_ROWS
from gaussmix.waist.whitening.base import FactorShape

OWN = {"full": FactorShape.TRIANGULAR, "diag": FactorShape.DIAGONAL, "spherical": FactorShape.SPHERICAL}


def zeros(n_rows, n_features, dtype="f8"):
    """Rows that take no memory."""
    return Block(0, np.broadcast_to(np.zeros(1, dtype), (n_rows, n_features)))


def test_python_and_the_core_have_the_same_constants():
    from gaussmix import _core

    assert (GROUP_ROWS, TILE_ROWS, LEAF_ROWS) == (_core.GROUP_ROWS, _core.TILE_ROWS, _core.LEAF_ROWS)
    assert MOST_INFLATION == _core.MOST_INFLATION


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", OWN)
def test_every_table_has_a_fast_path(name, dtype):
    """The core makes many steps of a pass, unless that is long and could be in an order that pays."""
    algebra, shape = FAMILIES[name].algebra, OWN[name]
    for n_features, n_components in product((1, 2, 3, 8, 16, 33), (2, 3, 8, 20)):
        longest = int(LONG_PASS / work_per_row(shape, n_components, n_features))
        for n_rows in {1, longest - 1, longest, longest + 1, longest + 2, int(1.3 * longest), int(1.6 * longest)}:
            block = zeros(n_rows, n_features, dtype)
            is_fast = suits_core(block, n_components, algebra) or could_pay(n_rows, shape, n_components, n_features)
            assert is_fast, (n_rows, n_features, n_components)


def test_large_covariances_are_stepped_from_python():
    assert suits_core(zeros(9, 512), 1, FAMILIES["full"].algebra)
    assert MOST_NUMBERS < 513**2
    assert not suits_core(zeros(9, 513), 1, FAMILIES["full"].algebra)


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


@pytest.mark.parametrize(("n_moved", "keeps"), [(0, True), (5, True), (6, False)])
def test_the_old_order_stays_while_it_is_nearly_as_good(n_moved, keeps):
    """Of 100 groups ten more may be mixed. A row that has moved to the other component mixes two."""
    n_rows = 100 * GROUP_ROWS
    assert KEPT == 0.1
    labels = (np.arange(n_rows) % 2).astype(np.uint16)
    rng = np.random.default_rng(0)
    old, new = (arguments_of(random_parameters(rng, 2, 3, FactorShape.TRIANGULAR)) for _ in range(2))
    order = _by_label(labels)
    moved = order[7 : 7 + 20 * n_moved : 20]
    labels[moved] = 1 - labels[moved]
    fresh = _by_label(labels)
    assert (np.diff(labels[fresh].astype(int)) >= 0).all()
    counts = Counts(float(n_rows), _changes(labels, order), _changes(labels, fresh))
    assert Ordering(old, 2, wants_labels=True).after(new, counts, n_rows).by is (old if keeps else new)
