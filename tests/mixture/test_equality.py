"""Mixtures are values: equal where their numbers, structures and names are."""

import copy
import pickle

import numpy as np
import pytest

from gaussmix import FAMILIES, Mixture
from gaussmix.testing import PROBLEMS

PLAIN = Mixture([0.4, 0.6], [[0.0, 1.0], [3.0, 1.0]], [[1.0, 2.0], [3.0, 4.0]], FAMILIES["diag"], ["a", "b"])


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_what_comes_back_is_equal(family, tmp_path):
    mixture = Mixture.of(PROBLEMS["overlapping"].start(family))
    mixture.save(tmp_path / "m.gmm")
    arrays = mixture.weights, mixture.means, mixture.covariances
    for other in (
        Mixture.from_dict(mixture.to_dict()),
        Mixture.load(tmp_path / "m.gmm"),
        copy.copy(mixture),
        copy.deepcopy(mixture),
        pickle.loads(pickle.dumps(mixture)),
        Mixture(*arrays, mixture.family),
    ):
        assert other == mixture
        assert hash(other) == hash(mixture)
        assert len({other, mixture}) == 1


def changed(place, by=None):
    """The same with one number another; by one bit unless said otherwise."""
    arrays = [np.array(array) for array in (PLAIN.weights, PLAIN.means, PLAIN.covariances)]
    arrays[place].flat[0] = np.nextafter(arrays[place].flat[0], 1) if by is None else by
    return Mixture(*arrays, PLAIN.family, PLAIN.feature_names)


@pytest.mark.parametrize(
    "other",
    [
        changed(0),
        changed(1),
        changed(2, 1.5),
        PLAIN.with_feature_names(None),
        PLAIN.with_feature_names(["b", "a"]),
        PLAIN.marginal(["a"]),
        PLAIN.model,
        "a mixture",
    ],
    ids=["weight", "mean", "covariance", "no names", "other names", "other features", "its model", "text"],
)
def test_another_is_not_equal(other):
    assert other != PLAIN


def test_structures_tell_mixtures_apart():
    shape = np.array([1.0, 1.0])
    spherical, same = (Mixture(PLAIN.weights, PLAIN.means[:, :1], shape, FAMILIES["spherical"]) for _ in range(2))
    diagonal = Mixture(PLAIN.weights, PLAIN.means[:, :1], shape[:, None], FAMILIES["diag"])
    assert spherical == same != diagonal


def test_zeros_of_either_sign_are_equal():
    minus = changed(1, -0.0)
    assert minus == PLAIN
    assert hash(minus) == hash(PLAIN)
