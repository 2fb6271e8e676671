"""The distribution as a value: it holds what it says, or is not made."""

import numpy as np
import pytest

from gaussmix import FAMILIES, Mixture

SOUND = {
    "weights": np.array([0.25, 0.75]),
    "means": np.array([[0.0, 1.0], [4.0, 5.0]]),
    "covariances": np.array([1.0, 2.0]),
    "family": FAMILIES["spherical"],
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": np.array([5.0, 5.0])}, "its weights sum to 10, not to 1"),
        ({"weights": np.array([-0.5, 1.5])}, "weight 0 is negative"),
        ({"weights": np.array([1.0])}, "don't go with means"),
        ({"means": np.array([[0.0, np.nan], [4.0, 5.0]])}, "its means hold NaN"),
        ({"covariances": np.array([1.0, np.inf])}, "its covariances hold NaN or infinity"),
        ({"covariances": np.eye(2)}, r"its covariances have shape \(2, 2\), not \(2,\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_numbers_that_make_no_mixture_are_refused(change, said):
    with pytest.raises(ValueError, match=f"This is no mixture: .*{said}"):
        Mixture(**{**SOUND, **change})


def test_a_family_is_not_its_name():
    with pytest.raises(TypeError, match=r"family must be a covariance structure, such as FAMILIES\[\"full\"\]"):
        Mixture(**{**SOUND, "family": "spherical"})


def test_a_mixture_holds_copies_that_cannot_be_written_to():
    given = {name: np.array(value) for name, value in SOUND.items() if name != "family"}
    mixture = Mixture(**given, family=SOUND["family"])
    for name, array in given.items():
        array[...] = 7.0
        np.testing.assert_array_equal(getattr(mixture, name), SOUND[name])
        assert not getattr(mixture, name).flags.writeable
