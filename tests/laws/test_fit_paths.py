"""Every way to fit a mixture leads to the same end."""

import pytest

from gaussmix.testing import check_fit_paths
from gaussmix.testing.check_fit_paths import CASES, PATHS

FAMILIES = [  # with algebra, pooled, with alternatives, with factors
    "full",
    "tied",
    pytest.param("VVE", marks=pytest.mark.heavy),
    pytest.param("factor_analyzer", marks=pytest.mark.heavy),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_path_leads_to_the_same_end(family, case, path):
    check_fit_paths(family, case, path)
