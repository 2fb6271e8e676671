"""Tests that the public interface is as listed in public_api.txt, so that reviews show every change."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from sklearn.base import BaseEstimator

import gaussmix
from gaussmix._src.em.initialisation.base import AUTO, STARTS, StartName
from gaussmix._src.families import ALIASES, Structure
from tools.make_api_snapshot import snapshot

HERE = Path(__file__).parent


def test_public_names_and_signatures_equal_the_snapshot() -> None:
    saved = (HERE / "public_api.txt").read_text(encoding="utf-8")
    assert snapshot() == saved, "if intended: python tools/make_api_snapshot.py > tests/meta/public_api.txt"


def test_estimator_hierarchies_are_shallow_and_one_estimator_has_partial_fit() -> None:
    public = (getattr(gaussmix, name) for name in gaussmix.__all__)
    estimators = [each for each in public if isinstance(each, type) and issubclass(each, BaseEstimator)]
    levels = {
        each: sum(base.__module__.partition(".")[0] == "gaussmix" for base in each.__mro__) for each in estimators
    }
    assert {each.__name__: n for each, n in levels.items() if n > 5} == {}
    assert [each.__name__ for each in estimators if hasattr(each, "partial_fit")] == ["GaussianMixture"]


def test_a_star_import_does_not_shadow_open() -> None:
    names: dict[str, object] = {}
    exec("from gaussmix import *", names)
    assert not {"open", "load"} & names.keys()
    assert "GaussianMixture" in names
    assert callable(gaussmix.open)
    assert callable(gaussmix.load)


def test_dir_lists_only_public_names() -> None:
    assert set(dir(gaussmix)) - {"anndata", "export", "extend", "plot", "spark", "testing"} == {
        *gaussmix.__all__,
        "__version__",
        "load",
        "open",
    }


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("GMM", "Use GaussianMixture."),
        ("Mclust", "Use GaussianMixtureIC."),
        ("mclustBootstrapLRT", "Use likelihood_ratio_test."),
        ("fitgmdist", r"Use GaussianMixture\(n_components\).fit\(X\)."),
        ("PairDisplay", "import it from gaussmix.plot"),
        ("spark", "import gaussmix.spark"),
    ],
)
def test_names_from_other_packages_raise_an_error_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'.*{hint}$"):
        gaussmix.__getattr__(name)  # called directly, because another test may have imported gaussmix.spark


def test_unknown_names_raise_an_error_without_a_hint() -> None:
    for name in ("xyz", "_gmm", "x.y"):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'$"):
            getattr(gaussmix, name)


def test_all_is_sorted_and_complete() -> None:
    assert gaussmix.__all__ == sorted(gaussmix.__all__, key=lambda name: (not name.isupper(), name))
    assert [name for name in gaussmix.__all__ if not hasattr(gaussmix, name)] == []


def test_literal_types_list_all_structures_and_initialisations() -> None:
    assert {*get_args(Structure)} == {*gaussmix.FAMILIES, *ALIASES}
    assert {*get_args(StartName)} == {AUTO, *STARTS}
