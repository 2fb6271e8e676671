"""Components of a mixture, and equality of mixtures, which compares parameters, structures and names."""

import copy
import json
import pickle

import numpy as np
import pytest
from common import NoiseComponent

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix.testing import PROBLEMS

ROWS = np.array([[0.3, 1.2], [2.0, -1.0]])
WEIGHTED = Mixture([0.2, 0.3, 0.5], [[0.0, 1.0], [3.0, 1.0], [5.0, 5.0]], np.ones((3, 2)), FAMILIES["diag"], ["a", "b"])


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_components_are_mixtures_whose_weighted_densities_sum_to_the_density(family):
    mixture = Mixture._from_model(PROBLEMS["overlapping"].start(family))
    rows = mixture.means + 0.5
    density = sum(weight * component.pdf(rows) for weight, component in zip(mixture.weights, mixture, strict=True))
    np.testing.assert_allclose(density, mixture.pdf(rows), rtol=1e-12)
    assert [*mixture] == [mixture[k] for k in range(len(mixture))]
    one = mixture[-1]
    assert (len(one), one.weights.tolist(), one.family) == (1, [1.0], mixture.family)


def test_mixture_attribute_reuses_the_model_of_the_fit():
    fitted = GaussianMixture(2, random_state=0).fit(ROWS)
    assert fitted.mixture_._model is fitted._fitted.model


def test_slices_keep_feature_names_and_have_weights_that_sum_to_1():
    assert WEIGHTED[1].feature_names == ("a", "b")
    np.testing.assert_allclose(WEIGHTED[1:].weights, [0.375, 0.625])
    np.testing.assert_array_equal(WEIGHTED[::-1].means, WEIGHTED.means[::-1])
    assert WEIGHTED[np.int64(2)] == WEIGHTED[-1] == WEIGHTED[2:]


def test_a_component_of_weight_0_is_a_mixture_of_weight_1():
    empty = Mixture([1.0, 0.0], WEIGHTED.means[:2], WEIGHTED.covariances[:2], WEIGHTED.family)
    assert empty[1].weights.tolist() == [1.0]


def test_iteration_and_slices_exclude_noise():
    noise = NoiseComponent.from_bounds(0.5, np.array([[-9.0, -9.0], [9.0, 9.0]]))
    noisy = Mixture([0.2, 0.3], WEIGHTED.means[:2], WEIGHTED.covariances[:2], WEIGHTED.family, noise=noise)
    assert len(noisy) == 2
    assert [component.noise for component in noisy] == [None, None]
    np.testing.assert_allclose(noisy[:].weights, [0.4, 0.6])


@pytest.mark.parametrize(
    ("component", "error", "message"),
    [
        (3, IndexError, "There is no component 3: the mixture has components 0 to 2."),
        (-4, IndexError, "There is no component -4"),
        (slice(3, None), IndexError, "The slice contains no component: the mixture has 3 components."),
        (True, TypeError, "A component must be an index or a slice"),
        ("a", TypeError, "not 'a'"),
        (1.0, TypeError, "not 1.0"),
    ],
)
def test_invalid_indices_of_components_are_rejected(component, error, message):
    with pytest.raises(error, match=message.replace("(", r"\(")):
        WEIGHTED[component]


def test_numpy_arrays_store_mixtures_as_objects():
    array = np.array([WEIGHTED, WEIGHTED[0]])
    assert array.shape == (2,)
    assert array[0] is WEIGHTED


PLAIN = Mixture([0.4, 0.6], [[0.0, 1.0], [3.0, 1.0]], [[1.0, 2.0], [3.0, 4.0]], FAMILIES["diag"], ["a", "b"])


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_copied_and_loaded_mixtures_are_equal(family, tmp_path):
    mixture = Mixture._from_model(PROBLEMS["overlapping"].start(family)).with_feature_names(list("abc"))
    mixture.save(tmp_path / "m.gmm")
    arrays = mixture.weights, mixture.means, mixture.covariances
    for other in (
        Mixture.from_dict(json.loads(json.dumps(mixture.to_dict(), allow_nan=False))),
        Mixture.load(tmp_path / "m.gmm"),
        copy.copy(mixture),
        copy.deepcopy(mixture),
        pickle.loads(pickle.dumps(mixture)),
        Mixture(*arrays, mixture.family, mixture.feature_names),
    ):
        assert other == mixture
        assert hash(other) == hash(mixture)
        assert len({other, mixture}) == 1


def changed(index, value=None):
    """Return the mixture with one parameter changed, by one bit unless specified."""
    arrays = [np.array(array) for array in (PLAIN.weights, PLAIN.means, PLAIN.covariances)]
    arrays[index].flat[0] = np.nextafter(arrays[index].flat[0], 1) if value is None else value
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
        PLAIN._model,
        "a mixture",
    ],
    ids=["weight", "mean", "covariance", "no names", "other names", "other features", "its model", "text"],
)
def test_mixtures_that_differ_in_any_part_are_not_equal(other):
    assert other != PLAIN


def test_mixtures_of_different_structures_are_not_equal():
    shape = np.array([1.0, 1.0])
    spherical, same = (Mixture(PLAIN.weights, PLAIN.means[:, :1], shape, FAMILIES["spherical"]) for _ in range(2))
    diagonal = Mixture(PLAIN.weights, PLAIN.means[:, :1], shape[:, None], FAMILIES["diag"])
    assert spherical == same != diagonal


def test_mixtures_with_zeros_of_either_sign_are_equal():
    minus = changed(1, -0.0)
    assert minus == PLAIN
    assert hash(minus) == hash(PLAIN)
