"""`contract` is `np.einsum`, and a number has the same bits whatever stands beside it."""

import re
from pathlib import Path

import numpy as np
import pytest

import gaussmix
from gaussmix.numerics.contract import contract

USED = sorted(
    {
        subscripts
        for path in Path(gaussmix.__file__).parent.rglob("*.py")
        for subscripts in re.findall(r'contract\("(.*?)"', path.read_text(encoding="utf-8"))
    }
)
LENGTHS = [
    {"default": 4},
    {"default": 40},
    {"default": 1},
    {"default": 0},
    {"default": 9, "k": 70, "d": 80},
    {"q": 0, "r": 0},
]


def operands(subscripts, lengths, rng):
    letters = subscripts.split("->")[0].split(",")
    return [rng.normal(size=[lengths.get(letter, lengths.get("default", 5)) for letter in each]) for each in letters]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("subscripts", USED)
def test_it_is_einsum(subscripts, lengths, rng):
    one, other = operands(subscripts, lengths, rng)
    expected = np.einsum(subscripts, one, other)
    size = np.einsum(subscripts, np.abs(one), np.abs(other))
    assert (np.abs(contract(subscripts, one, other) - expected) <= 1e-14 * size).all()


@pytest.mark.parametrize("subscripts", [each for each in USED if each.split("->")[1].startswith("k")])
def test_a_component_has_the_same_bits_alone(subscripts, rng):
    one, other = operands(subscripts, {"default": 30, "k": 40}, rng)
    letters = subscripts.split("->")[0].split(",")
    alone = [
        each.take([0], of.index("k")) if "k" in of else each for of, each in zip(letters, (one, other), strict=True)
    ]
    assert (contract(subscripts, one, other)[:1] == contract(subscripts, *alone)).all()


@pytest.mark.parametrize("n_products", range(1, 10))
def test_short_sums_of_many_numbers_have_the_bits_of_few(n_products, rng):
    one, other = rng.normal(size=(2, n_products, 200))
    one[:, 0] = -0.0
    few = contract("ki,kj->ij", one[:, :9], other[:, :9])
    assert contract("ki,kj->ij", one, other)[:9, :9].tobytes() == few.tobytes()
