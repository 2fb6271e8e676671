"""Registering a user's structure changes no other structure, and docstrings list names from the registry."""

import re
import subprocess
import sys

import pytest
from common import ALIASES

from gaussmix import FAMILIES, GaussianMixture, GaussianMixtureIC
from gaussmix.extend import register

# Fits default models before and after the registration of a structure whose alias is a single letter.
PROGRAM = """
import json
import numpy as np
from gaussmix import FAMILIES, GaussianMixture, GaussianMixtureClassifier, GaussianMixtureDetector, GaussianMixtureIC
from gaussmix._src.families.base import register

rng = np.random.default_rng(0)
X = np.concatenate([rng.normal(0, 1, size=(100, 2)), rng.normal(4, 1, size=(60, 2))])
y = np.arange(160) // 100

def results():
    wide = GaussianMixtureIC([1, 2], random_state=0).fit(X)
    line = GaussianMixtureIC([1, 2], random_state=0).fit(X[:, :1])
    classes = GaussianMixtureClassifier(covariance_type="all").fit(X, y)
    tables = [{name: repr(column) for name, column in chosen.results_.items() if name != "seconds"}
              for chosen in (wide, line)]
    detector = GaussianMixtureDetector([1, 2], covariance_type="all", random_state=0).fit(X)
    return json.dumps([tables, classes.bic_, classes.covariance_type_.tolist(), detector.offset_])

before = results()

@register("foreign", "F")
class Foreign(type(FAMILIES["EEI"])):
    pass

assert results() == before
custom = GaussianMixture(2, covariance_type="foreign", random_state=0).fit(X)
same = GaussianMixture(2, covariance_type="EEI", random_state=0).fit(X)
assert custom.mixture_.family is FAMILIES["foreign"]
assert (custom.covariances_ == same.covariances_).all()
assert GaussianMixtureIC(2, covariance_type=["full", "foreign"]).fit(X).results_["structure"] == ["full", "foreign"]
"""


@pytest.mark.heavy
def test_registering_a_structure_changes_no_other_fit():
    process = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("names", [("full",), ("VVV",), ("own", "EEI"), ("own", "VII")])
def test_registering_a_name_that_is_taken_is_rejected(names):
    before = dict(FAMILIES), dict(ALIASES)

    class Own(type(FAMILIES["EEI"])):
        pass

    with pytest.raises(ValueError, match=f"The name '{names[-1]}' is taken by .*: give Own another"):
        register(*names)(Own)
    assert (dict(FAMILIES), dict(ALIASES), Own.name) == (*before, "EEI")


def test_a_structure_may_be_registered_again():
    """Check the second registration of a class, which happens if a cell of a notebook runs twice."""

    def define():
        @register("own")
        class Own(type(FAMILIES["EEI"])):
            pass

        return Own

    try:
        first, second = define(), define()
        assert type(FAMILIES["own"]) is second is not first
    finally:
        FAMILIES.pop("own", None)


def test_docstrings_list_the_structures_that_are_registered():
    assert GaussianMixture.__doc__
    assert GaussianMixtureIC.__doc__
    ours = {name: each for name, each in FAMILIES.items() if type(each).__module__.partition(".")[0] == "gaussmix"}
    for name in (*ours, *(alias for alias, name in ALIASES.items() if name in ours)):
        assert re.search(rf"\b{re.escape(name)}\b", GaussianMixture.__doc__), name
    for name, family in ours.items():
        listed = re.search(rf'"all" is [^.]*"{name}"', GaussianMixtureIC.__doc__)
        assert bool(listed) == family.in_all, name
