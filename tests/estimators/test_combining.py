"""The guide's page "Which options go together" says what fits do: each cell of its table is tried."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gaussmix
from gaussmix import BayesianGaussianMixture, FactorAnalyzer, Full, GaussianMixture, GaussianMixtureIC, Restrictions

PAGE = Path(__file__).parents[2] / "docs/guide/combining.md"
RNG = np.random.default_rng(0)
LABELS = RNG.integers(2, size=200)
ROWS = RNG.normal(size=(200, 3)) + 4.0 * LABELS[:, None]
WITH_MISSING = np.where(RNG.random(ROWS.shape) < 0.1, np.nan, ROWS)
# What each option adds to the parameters of an estimator and to the arguments of `fit`.
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "`sample_weight`": ({}, {"sample_weight": 1.0 + LABELS}),
    "missing values": ({}, {"X": WITH_MISSING}),
    "`X_error`": ({}, {"X_error": np.full(3, 0.3)}),
    "`labels`": ({}, {"labels": np.where(RNG.random(200) < 0.1, LABELS, -1)}),
    "`noise`": ({"noise": True}, {}),
    "`trim`": ({"trim": 0.05}, {}),
    "`prior`": ({"prior": "default"}, {}),
    "`restrictions`": ({"restrictions": Restrictions(equal_weights=True)}, {}),
    "`Full(max_condition=…)`": ({"covariance_type": Full(max_condition=100)}, {}),
    "`FactorAnalyzer`": ({"covariance_type": FactorAnalyzer(1)}, {}),
    "mclust's other structures": ({"covariance_type": "VEV"}, {}),
    '`init_params="search"`': ({"init_params": "search"}, {}),
    '`acceleration="auto"`': ({"acceleration": "auto"}, {}),
    '`tol="auto"`': ({"tol": "auto"}, {}),
}
REFUSED = {("`labels`", '`init_params="search"`'), ("`trim`", '`init_params="search"`')}
BASE = {"n_components": 2, "random_state": 0, "max_iter": 5, "covariance_type": "full"}


def _from_file(parameters: dict[str, Any], of_fit: dict[str, Any]) -> None:
    frame, opened = pd.DataFrame(of_fit.pop("X"), columns=list("abc")), {"missing": True}
    if (weight := of_fit.pop("sample_weight", None)) is not None:
        frame["w"], opened["weights"] = weight, "w"
    frame.to_csv("rows.csv", index=False)
    GaussianMixture(**parameters).fit(gaussmix.open("rows.csv", **opened), **of_fit)


def _groups(parameters: dict[str, Any], of_fit: dict[str, Any]) -> None:
    frame = pd.DataFrame(of_fit.pop("X"), columns=list("abc")).assign(group=np.repeat([0, 1], 100))
    gaussmix.fit_many(frame, by="group", **parameters, **of_fit)


def _bayes(parameters: dict[str, Any], of_fit: dict[str, Any]) -> None:
    stated = {"moves": False, "init_params": "kmeans"} if "labels" in of_fit else {}
    BayesianGaussianMixture(**parameters | stated).fit(**of_fit)


USES: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "file or cluster": _from_file,
    "`partial_fit`": lambda parameters, of_fit: GaussianMixture(**parameters).partial_fit(**of_fit),
    "`fit_many`": _groups,
    "Bayesian mixture": _bayes,
    "choice of a mixture": lambda parameters, of_fit: GaussianMixtureIC(**parameters).fit(**of_fit),
    "`inference`": lambda parameters, of_fit: GaussianMixture(**parameters).fit(**of_fit).inference(**of_fit),
    "`bootstrap`": lambda parameters, of_fit: GaussianMixture(**parameters).fit(**of_fit).bootstrap(n=2, **of_fit),
}


def _table() -> list[tuple[str, str, bool]]:
    head, _, *lines = (
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    )
    assert head[1:] == list(USES)
    assert [line[0] for line in lines] == list(OPTIONS)
    return [(line[0], use, cell[0] == "✓") for line in lines for use, cell in zip(head[1:], line[1:], strict=True)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("option", "use", "works"), _table())
def test_an_option_works_where_the_table_says(
    option: str, use: str, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parameters, of_fit = BASE | OPTIONS[option][0], {"X": ROWS} | OPTIONS[option][1]
    if works:
        USES[use](parameters, of_fit)
    else:
        with pytest.raises((ValueError, TypeError)):
            USES[use](parameters, of_fit)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pair", list(combinations(OPTIONS, 2)))
def test_any_other_two_options_go_together(pair: tuple[str, str]) -> None:
    parameters, of_fit = dict(BASE), dict[str, Any](X=ROWS)
    for option in pair:
        parameters |= OPTIONS[option][0]
        of_fit |= OPTIONS[option][1]
    if pair in REFUSED:
        with pytest.raises(ValueError, match=r"does not support (labels|trim)"):
            GaussianMixture(**parameters).fit(**of_fit)
    else:
        assert np.isfinite(GaussianMixture(**parameters).fit(**of_fit).lower_bound_)
