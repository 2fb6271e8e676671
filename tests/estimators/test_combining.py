"""Each cell of the table on the guide's page "Which options go together" agrees with the behaviour of a fit."""

from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gaussmix
from gaussmix import BayesianGaussianMixture, FactorAnalyzer, Full, GaussianMixture, GaussianMixtureIC, Restrictions
from gaussmix._src.fit.options.table import OPTION_PARAMETERS, UNSUPPORTED_PAIRS

PAGE = Path(__file__).parents[2] / "docs/guide/combining.md"
RNG = np.random.default_rng(0)
LABELS = RNG.integers(2, size=200)
ROWS = RNG.normal(size=(200, 3)) + 4.0 * LABELS[:, None]
WITH_MISSING = np.where(RNG.random(ROWS.shape) < 0.1, np.nan, ROWS)
# For each option: additional parameters of the estimator, and additional arguments of `fit`.
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
BASE = {"n_components": 2, "random_state": 0, "max_iter": 5, "covariance_type": "full"}


def _from_file(parameters: dict[str, Any], kwargs: dict[str, Any]) -> None:
    frame, opened = pd.DataFrame(kwargs.pop("X"), columns=list("abc")), {"missing": True}
    if (weight := kwargs.pop("sample_weight", None)) is not None:
        frame["w"], opened["weights"] = weight, "w"
    frame.to_csv("rows.csv", index=False)
    GaussianMixture(**parameters).fit(gaussmix.open("rows.csv", **opened), **kwargs)


def _groups(parameters: dict[str, Any], kwargs: dict[str, Any]) -> None:
    frame = pd.DataFrame(kwargs.pop("X"), columns=list("abc")).assign(group=np.repeat([0, 1], 100))
    gaussmix.fit_many(frame, by="group", **parameters, **kwargs)


def _bayes(parameters: dict[str, Any], kwargs: dict[str, Any]) -> None:
    settings = {"split_merge": False, "init_params": "kmeans"} if "labels" in kwargs else {}
    BayesianGaussianMixture(**parameters | settings).fit(**kwargs)


USES: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "file or cluster": _from_file,
    "`partial_fit`": lambda parameters, kwargs: GaussianMixture(**parameters).partial_fit(**kwargs),
    "`fit_many`": _groups,
    "Bayesian mixture": _bayes,
    "model selection": lambda parameters, kwargs: GaussianMixtureIC(**parameters).fit(**kwargs),
    "`inference`": lambda parameters, kwargs: GaussianMixture(**parameters).fit(**kwargs).inference(**kwargs),
    "`bootstrap`": lambda parameters, kwargs: (
        GaussianMixture(**parameters).fit(**kwargs).bootstrap(n_resamples=2, **kwargs)
    ),
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
def test_an_option_works_or_raises_as_the_table_states(
    option: str, use: str, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parameters, kwargs = BASE | OPTIONS[option][0], {"X": ROWS} | OPTIONS[option][1]
    if works:
        USES[use](parameters, kwargs)
    else:
        with pytest.raises((ValueError, TypeError)):
            USES[use](parameters, kwargs)


@pytest.mark.heavy(n_default=20)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pair", list(combinations(OPTIONS, 2)))
def test_any_two_options_can_be_combined(pair: tuple[str, str]) -> None:
    parameters, kwargs = dict(BASE), dict[str, Any](X=ROWS)
    for option in pair:
        parameters |= OPTIONS[option][0]
        kwargs |= OPTIONS[option][1]
    assert np.isfinite(GaussianMixture(**parameters).fit(**kwargs).lower_bound_)


SUBSET = slice(0, 60)
MEANS, SHAPES = ROWS[[0, 1]], np.broadcast_to(np.eye(3), (2, 3, 3))
# For each parameter: a value, and a condition that a fit with this value satisfies.
OPTION_CASES: dict[str, tuple[Any, Callable[[GaussianMixture], bool]]] = {
    "X_error": (np.full(3, 0.3), lambda fit: fit._fitted.row_summary.has_errors),
    "weight_type": ("precision", lambda fit: fit._fitted.row_summary.row_weight == 60),
    "noise": (True, lambda fit: fit.noise_weight_ > 0),
    "labels": (OPTIONS["`labels`"][1]["labels"][SUBSET], lambda fit: fit._fitted.row_summary.log_likelihood is None),
    "trim": (0.05, lambda fit: np.isfinite(fit.cutoff_)),
    "posterior": (2, lambda fit: fit.outcome_.n_candidates == 2),
    "prior": ("default", lambda fit: fit._fitted.row_summary.log_likelihood is None),
    "restrictions": (Restrictions(equal_weights=True), lambda fit: np.ptp(fit.weights_) < 1e-9),
    "degenerate": ("repair", lambda fit: not fit.outcome_.collapsed),
    "weights_init": ([0.5, 0.5], lambda fit: len(fit.outcome_.traces) == 1),
    "means_init": (MEANS, lambda fit: len(fit.outcome_.traces) == 1),
    "precisions_init": (SHAPES, lambda fit: fit.covariances_.shape == SHAPES.shape),
    "covariances_init": (SHAPES, lambda fit: fit.covariances_.shape == SHAPES.shape),
    "acceleration": ("auto", lambda fit: fit.n_iter_ > 0),
    "check_maximum": (True, lambda fit: fit.outcome_.is_maximum is not None or "not known" in fit.outcome_.reason),
    "tol": ("auto", lambda fit: fit.n_iter_ > 1),
    "warm_start": (True, lambda fit: fit.n_iter_ > 0),
    "forgetting": (10_000, lambda fit: fit.n_iter_ > 0),
    "checkpoint": ("fit.checkpoint", lambda fit: not Path("fit.checkpoint").exists()),
    "callbacks": ([lambda step: False], lambda fit: fit.n_iter_ > 0),
    "max_time": (600.0, lambda fit: fit.n_iter_ > 0),
    "verbose": (1, lambda fit: fit.n_iter_ > 0),
}
TESTED_ELSEWHERE = {"label_components", "verbose_interval", "_skl_callbacks", "partial_fit", "many components"}
FIT_ARGUMENTS = {"X_error", "labels"}  # options that are arguments of `fit`


def with_options(*names: str) -> Iterator[tuple[GaussianMixture, dict[str, Any]]]:
    """Yield estimators that use these options, and the arguments of `fit`, with keywords in both orders."""
    for order in (names, names[::-1]):
        values = {name: OPTION_CASES[name][0] for name in order}
        parameters = {name: value for name, value in values.items() if name not in FIT_ARGUMENTS}
        kwargs = {name: value for name, value in values.items() if name in FIT_ARGUMENTS}
        weights = {"sample_weight": np.full(60, 2.0)} if "weight_type" in names else {}
        yield GaussianMixture(**{"n_components": 2, "random_state": 0, "max_iter": 20} | parameters), kwargs | weights


def test_the_cases_include_every_fit_option() -> None:
    assert {name for names in OPTION_PARAMETERS.values() for name in names} - TESTED_ELSEWHERE == OPTION_CASES.keys()


@pytest.mark.heavy(n_default=2)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OPTION_CASES)
def test_two_options_give_a_valid_fit_or_the_same_error_in_either_order(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = list(OPTION_CASES)
    for other in names[names.index(name) :]:
        results = []
        for estimator, kwargs in with_options(*dict.fromkeys((name, other))):
            try:
                results.append(estimator.fit(ROWS[SUBSET], **kwargs).mixture_.means.tobytes())
            except ValueError as error:
                results.append(str(error))
                continue
            assert np.isfinite(estimator.lower_bound_), (name, other)
            assert [each for each in (name, other) if not OPTION_CASES[each][1](estimator)] == [], (name, other)
        assert len(set(results)) == 1, (name, other)
        assert isinstance(results[0], bytes) or results[0] in UNSUPPORTED_PAIRS.values(), (name, other)
