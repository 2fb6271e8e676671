"""The components of a mixture by number and in turn."""

import copy
import pickle

import numpy as np
import pytest

from gaussmix import FAMILIES, Mixture
from gaussmix.background import Background
from gaussmix.testing import PROBLEMS

ROWS = np.array([[0.3, 1.2], [2.0, -1.0]])
PLAIN = Mixture([0.2, 0.3, 0.5], [[0.0, 1.0], [3.0, 1.0], [5.0, 5.0]], np.ones((3, 2)), FAMILIES["diag"], ["a", "b"])


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_components_make_the_mixture_again_and_are_whole_mixtures(family, tmp_path):
    mixture = Mixture.of(PROBLEMS["overlapping"].start(family))
    rows = mixture.means + 0.5
    density = sum(weight * component.pdf(rows) for weight, component in zip(mixture.weights, mixture, strict=True))
    np.testing.assert_allclose(density, mixture.pdf(rows), rtol=1e-12)
    assert [*mixture] == [mixture[k] for k in range(len(mixture))]
    one = mixture[-1]
    assert (len(one), one.weights.tolist(), one.family) == (1, [1.0], mixture.family)
    one.save(tmp_path / "one.gmm")
    assert one == Mixture.load(tmp_path / "one.gmm") == copy.deepcopy(one) == pickle.loads(pickle.dumps(one))


def test_names_stay_and_slices_have_weights_that_sum_to_1():
    assert PLAIN[1].feature_names == ("a", "b")
    np.testing.assert_allclose(PLAIN[1:].weights, [0.375, 0.625])
    np.testing.assert_array_equal(PLAIN[::-1].means, PLAIN.means[::-1])
    assert PLAIN[np.int64(2)] == PLAIN[-1] == PLAIN[2:]


def test_a_component_without_weight_is_a_mixture_too():
    empty = Mixture([1.0, 0.0], PLAIN.means[:2], PLAIN.covariances[:2], PLAIN.family)
    assert empty[1].weights.tolist() == [1.0]


def test_noise_is_no_component():
    noise = Background.of_box(0.5, np.array([[-9.0, -9.0], [9.0, 9.0]]))
    noisy = Mixture([0.2, 0.3], PLAIN.means[:2], PLAIN.covariances[:2], PLAIN.family, noise=noise)
    assert len(noisy) == 2
    assert [component.noise for component in noisy] == [None, None]
    np.testing.assert_allclose(noisy[:].weights, [0.4, 0.6])


@pytest.mark.parametrize(
    ("component", "error", "sentence"),
    [
        (3, IndexError, "There is no component 3: the mixture has 3, counted from 0."),
        (-4, IndexError, "There is no component -4"),
        (slice(3, None), IndexError, "The slice has no component: the mixture has 3 components."),
        (True, TypeError, "A component is a number or a slice"),
        ("a", TypeError, "not 'a'"),
        (1.0, TypeError, "not 1.0"),
    ],
)
def test_what_is_no_component_is_refused(component, error, sentence):
    with pytest.raises(error, match=sentence.replace("(", r"\(")):
        PLAIN[component]


def test_arrays_hold_mixtures_as_objects():
    array = np.array([PLAIN, PLAIN[0]])
    assert array.shape == (2,)
    assert array[0] is PLAIN
