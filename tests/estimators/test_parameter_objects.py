"""Tests of objects that estimators accept as parameters: structures, noise, priors, restrictions and rates."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gaussmix
from gaussmix import (
    EEI,
    EII,
    FAMILIES,
    Diag,
    Dirichlet,
    FactorAnalyzer,
    ForgettingRate,
    Full,
    GaussianMixture,
    GaussianMixtureIC,
    Mixture,
    Noise,
    NormalInverseWishart,
    Restrictions,
    Spherical,
    Tied,
)
from gaussmix.extend import register

OBJECTS = {
    "covariance_type": [
        Full(max_condition=100),
        Tied(5.0),
        Diag(np.float64(4)),
        Spherical(2),
        EEI(3),
        EII(1.5),
        Full(),
        FactorAnalyzer(2, noise="isotropic", shared_loadings=True, shared_noise=True),
        FactorAnalyzer(np.int64(1), noise=np.str_("isotropic"), shared_noise=np.True_),
    ],
    "noise": [Noise(), Noise(0.2, volume=5e3), Noise(volume=np.array([[-9.0] * 3, [9.0] * 3]))],
    "prior": [
        NormalInverseWishart(),
        NormalInverseWishart([0.0, 1.0, 2.0], 2.0, np.eye(3), 9, weights=(2, 3)),
        Dirichlet(2.0),
        Dirichlet(np.array([1.0, 2.0])),
    ],
    "restrictions": [Restrictions(), Restrictions(equal_weights=True), Restrictions(min_weight=0.1)],
    "forgetting": [ForgettingRate(), ForgettingRate(0.6, 20_000)],
}
CASES = [(parameter, value) for parameter, values in OBJECTS.items() for value in values]
all_cases = pytest.mark.parametrize(("parameter", "value"), CASES, ids=str)


@pytest.fixture
def rows(rng):
    return np.concatenate([rng.normal(size=(80, 3)), rng.normal(4, 1, size=(60, 3))])


@all_cases
def test_the_repr_of_a_parameter_object_evaluates_to_an_equal_object(parameter, value):
    evaluated = eval(repr(value), vars(gaussmix) | {name: getattr(gaussmix, name) for name in gaussmix.__all__})
    for other in evaluated, copy.deepcopy(value), pickle.loads(pickle.dumps(value)), clone(value):
        assert other == value
        assert hash(other) == hash(value)
        assert other.non_default_params == value.non_default_params
    assert value != "a name"


def test_parameter_objects_with_other_parameters_or_classes_are_unequal():
    objects = [value for _, value in CASES]
    for index, value in enumerate(objects):
        assert all(value != other for other in objects[:index])
    assert FAMILIES["full"] == Full()
    assert Dirichlet([1, 2]) == Dirichlet(np.array([1.0, 2.0])) == Dirichlet((1, 2))


@pytest.mark.heavy(n_default=7)
@all_cases
def test_files_and_copies_preserve_parameter_objects(parameter, value, rows, tmp_path):
    gm = GaussianMixture(2, random_state=0, tol=0.1, **{parameter: value}).fit(rows)
    gm.save(tmp_path / "m.gmm")
    loaded, written = Mixture.load(tmp_path / "m.gmm"), json.dumps(gm.mixture_.to_dict())
    assert Mixture.from_dict(json.loads(written)) == gm.mixture_ == loaded
    for other in GaussianMixture.load(tmp_path / "m.gmm"), pickle.loads(pickle.dumps(gm)), copy.deepcopy(gm):
        assert getattr(other, parameter) == value
        assert other.mixture_ == gm.mixture_
        assert other.bic(rows) == gm.bic(rows)
        assert clone(other).fit(rows).mixture_ == gm.mixture_


def test_grid_search_sets_parameters_of_parameter_objects(rows):
    gm = GaussianMixture(2, covariance_type=Full(), prior=NormalInverseWishart(), random_state=0)
    model = make_pipeline(StandardScaler(), gm)
    grid = {"gaussianmixture__covariance_type__max_condition": [1, None], "gaussianmixture__prior__dof": [5, 500]}
    search = GridSearchCV(model, grid, error_score="raise").fit(rows)
    assert search.best_params_["gaussianmixture__prior__dof"] in (5, 500)
    best = search.best_estimator_[-1]
    assert best.prior.dof == search.best_params_["gaussianmixture__prior__dof"]
    assert (gm.prior, gm.covariance_type) == (NormalInverseWishart(), Full())


@pytest.mark.parametrize("estimator", [GaussianMixture(), GaussianMixtureIC([1, 2])], ids=repr)
def test_priors_and_noise_need_the_column_names_of_X_in_the_same_order(rows, estimator):
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    mean, covariance, box = frame.mean(), frame.cov(), frame.agg(["min", "max"]) * 2
    cases = [
        ("prior", NormalInverseWishart(mean), NormalInverseWishart(mean[::-1]), "prior's mean"),
        (
            "prior",
            NormalInverseWishart(scale=np.diag(covariance)),
            NormalInverseWishart(scale=frame.var()[::-1]),
            "scale",
        ),
        ("noise", Noise(volume=box), Noise(volume=box.iloc[:, ::-1]), "noise's volume"),
    ]
    for parameter, right, wrong, what in cases:
        clone(estimator).set_params(**{parameter: right}).fit(frame)
        with pytest.raises(ValueError, match=f"{what} are 'c', 'b', 'a', but X has 'a', 'b', 'c'"):
            clone(estimator).set_params(**{parameter: wrong}).fit(frame)


@all_cases
def test_set_params_of_a_parameter_object_rejects_unknown_names(parameter, value):
    copied = clone(value)
    with pytest.raises(ValueError, match=f"{type(value).__name__} has no parameter 'height'"):
        copied.set_params(height=3)
    assert copied == value
    assert copied.set_params(**value.get_params()) is copied


def test_covariance_type_may_mix_names_and_structure_objects(rows, tmp_path):
    structures = ["diag", *map(FactorAnalyzer, range(1, 3)), Full(max_condition=4)]
    search = GaussianMixtureIC([1, 2], covariance_type=structures, random_state=0).fit(rows)
    assert search.results_["structure"] == ["diag"] * 2 + ["factor_analyzer"] * 4 + ["full"] * 2
    assert search.results_["n_factors"] == [None, None, 1, 1, 2, 2, None, None]
    search.save(tmp_path / "search.gmm")
    assert GaussianMixtureIC.load(tmp_path / "search.gmm").covariance_type == structures
    single = GaussianMixture(search.n_components_, covariance_type=search.covariance_type_, random_state=0).fit(rows)
    assert single.mixture_.family == search.mixture_.family


def test_a_custom_structure_can_be_saved_only_after_it_is_registered(rows, tmp_path):
    class Own(Full):
        """The structure "full" under another name."""

    gm = GaussianMixture(1, covariance_type=Own()).fit(rows)
    with pytest.raises(ValueError, match="is not registered"):
        gm.save(tmp_path / "m.gmm")
    try:
        register("own")(Own)
        GaussianMixture(1, covariance_type=Own(3.0)).fit(rows).save(tmp_path / "m.gmm")
        assert GaussianMixture.load(tmp_path / "m.gmm").covariance_type == Own(3.0) != Full(3.0)
    finally:
        FAMILIES.pop("own", None)
