"""Tests that the covariance structure in docs/develop/add-a-structure.md works in a user's file and by name."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gaussmix import FAMILIES, GaussianMixture, Mixture
from gaussmix.extend import Equivariance, Family
from gaussmix.testing import check_family

PAGE = Path(__file__).parents[2] / "docs/develop/add-a-structure.md"
EXAMPLE = Path(__file__).with_name("shared_diagonal.py")
NAME = "shared_diag"


@pytest.fixture
def shared_diagonal() -> Iterator[Family]:
    """Register the example for the duration of a test, and return it."""
    runpy.run_path(str(EXAMPLE))
    yield FAMILIES[NAME]
    del FAMILIES[NAME]


def test_the_structure_of_the_guide_passes_check_family(shared_diagonal: Family, rng: np.random.Generator) -> None:
    check_family(shared_diagonal, rng)


def test_the_structure_of_the_guide_is_fitted_by_name(shared_diagonal: Family, rng: np.random.Generator) -> None:
    centres = np.array([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]])
    deviations = np.array([1.0, 2.0, 0.5])
    X = np.concatenate([centre + deviations * rng.standard_normal((2000, 3)) for centre in centres])
    gm = GaussianMixture(2, covariance_type=NAME, random_state=0).fit(X)
    # Components are at least 9 deviations apart, so all but 1e-4 of the 4000 rows have one component with a probability
    # near 1. The relative error of a sample deviation exceeds 5 / sqrt(2 n) with probability 1e-6.
    np.testing.assert_allclose(np.sqrt(gm.covariances_), deviations, rtol=5 / np.sqrt(2 * len(X)))
    assert gm.mixture_.n_parameters == 1 + 6 + 3
    pooled = Mixture(gm.weights_, gm.means_, np.diag(gm.covariances_), FAMILIES["tied"])
    np.testing.assert_allclose(gm.score_samples(X), pooled.log_density(X), rtol=1e-12)


def test_the_page_lists_all_attributes_and_methods_of_a_family() -> None:
    text = PAGE.read_text(encoding="utf-8")
    derived = {"name", "has_alternatives"}
    hooks = {name for name in {*vars(Family), *Family.__annotations__} if not name.startswith("_")} - derived
    wanted = sorted({*hooks, *Equivariance.__members__})
    assert [name for name in wanted if f"`{name}" not in text and f"self.{name}" not in text] == []
