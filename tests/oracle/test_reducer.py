"""The directions that separate components: R's MclustDR from the same parameters."""

import json
from pathlib import Path

import numpy as np
import pytest

from gaussmix import FAMILIES, Mixture
from gaussmix.mixture.directions import directions

FOUND = json.loads((Path(__file__).parent / "mclust_dr.json").read_text())


@pytest.mark.parametrize("case", FOUND["directions"], ids=lambda case: f"lambda={case['lambda']}")
def test_directions_are_those_of_mclust(case):
    """mclust takes the covariance of the rows for Σ, which EM equals to the tolerance it stopped at: 1e-5 of 1."""
    mixture = Mixture(*(np.array(FOUND[name]) for name in ("weights", "means", "covariances")), FAMILIES["full"])
    found = directions(mixture.model, case["lambda"])
    assert len(found.axes) == case["numdir"]
    basis = np.array(case["basis"]).T
    signs = np.sign(np.einsum("ij,ij->i", basis, found.axes))
    np.testing.assert_allclose(found.axes, basis * signs[:, None], atol=1e-4)
    np.testing.assert_allclose(2 * found.values, case["evalues"][: case["numdir"]], rtol=1e-4)  # mclust doubles them
