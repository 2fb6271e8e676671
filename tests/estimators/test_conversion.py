"""Conversions of estimators from and to scikit-learn, and errors that name the public call."""

import operator

import numpy as np
import pandas
import pytest
import sklearn.mixture
from sklearn.pipeline import make_pipeline

from gaussmix import BayesianGaussianMixture, GaussianMixture, GaussianMixtureIC
from gaussmix._src.other_names import HOOKS, OF_FITTED, PRIVATE

THEIRS = [sklearn.mixture.GaussianMixture, sklearn.mixture.BayesianGaussianMixture]


@pytest.fixture
def frame(X):
    return pandas.DataFrame(X, columns=["a", "b", "c"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("Theirs", THEIRS, ids=lambda each: each.__name__)
def test_from_sklearn_and_to_sklearn_keep_parameters_and_predictions(frame, covariance_type, Theirs, dtype, tmp_path):
    rows = frame.astype(dtype)
    theirs = Theirs(n_components=3, covariance_type=covariance_type, tol=1e-4, random_state=0).fit(rows)
    ours = GaussianMixture.from_sklearn(theirs)
    assert (ours.n_components, ours.covariance_type, ours.tol) == (3, covariance_type, 1e-4)
    assert ours.reg_covar == theirs.reg_covar
    assert list(ours.feature_names_in_) == ["a", "b", "c"]
    np.testing.assert_array_equal(ours.predict(rows), theirs.predict(rows))
    back = ours.to_sklearn()
    assert (back.tol, back.reg_covar, back.covariance_type) == (1e-4, theirs.reg_covar, covariance_type)
    assert back.means_.dtype == ours.means_.dtype == theirs.means_.dtype
    np.testing.assert_allclose(back.score_samples(rows), ours.score_samples(rows), rtol=np.sqrt(np.finfo(dtype).eps))
    ours.save(tmp_path / "m.gmm")
    assert GaussianMixture.load(tmp_path / "m.gmm").mixture_ == ours.mixture_


def test_conversion_keeps_converged_n_iter_and_lower_bound(X):
    theirs = sklearn.mixture.GaussianMixture(3, random_state=0).fit(X)
    ours = GaussianMixture.from_sklearn(theirs)
    back = ours.to_sklearn()
    for name in ("converged_", "n_iter_", "lower_bound_"):
        assert getattr(back, name) == getattr(ours, name) == getattr(theirs, name)
    bayesian = sklearn.mixture.BayesianGaussianMixture(n_components=3, random_state=0).fit(X)
    assert not hasattr(GaussianMixture.from_sklearn(bayesian), "lower_bound_")


def test_to_sklearn_replaces_values_that_scikit_learn_does_not_accept(X):
    theirs = GaussianMixture(2, tol="auto", reg_covar="auto", max_iter=50, random_state=0).fit(X).to_sklearn()
    assert (theirs.tol, theirs.reg_covar, theirs.max_iter) == (1e-3, 1e-6, 50)


def test_gaussian_mixture_ic_converts_to_scikit_learn(X):
    search = GaussianMixtureIC(range(1, 4), covariance_type=["EEI", "VVV"]).fit(X)
    np.testing.assert_array_equal(search.to_sklearn().predict(X), search.predict(X))


def test_from_sklearn_rejects_an_estimator_that_is_not_fitted():
    with pytest.raises(TypeError, match="pass a fitted GaussianMixture or BayesianGaussianMixture"):
        GaussianMixture.from_sklearn(sklearn.mixture.GaussianMixture())


@pytest.mark.parametrize("estimator", [GaussianMixture(2), GaussianMixtureIC([1, 2])], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("name", sorted(PRIVATE))
def test_a_private_method_of_scikit_learn_raises_and_names_the_public_method(estimator, name):
    assert not hasattr(estimator, name)
    with pytest.raises(AttributeError, match=f"has no {name}, which is private in scikit-learn: use "):
        getattr(estimator, name)


@pytest.mark.parametrize("name", sorted(OF_FITTED))
def test_an_attribute_name_of_another_package_raises_and_names_the_right_one(X, name):
    gm = GaussianMixture(1).fit(X)
    assert not hasattr(gm, name)
    with pytest.raises(AttributeError, match=f"^GaussianMixture has no {name}. Use ") as raised:
        getattr(gm, name)
    assert raised.value.obj is None  # otherwise Python adds its own suggestion
    first = OF_FITTED[name].partition("(")[0].partition(",")[0].split()[0]
    assert first == "GaussianMixtureIC" or operator.attrgetter(first)(gm) is not None


def test_public_methods_equal_the_private_methods_of_scikit_learn(X):
    theirs = sklearn.mixture.GaussianMixture(3, random_state=0).fit(X)
    ours = GaussianMixture.from_sklearn(theirs)
    np.testing.assert_allclose(theirs._estimate_log_prob(X), ours.mixture_.component_log_density(X))
    np.testing.assert_allclose(theirs._e_step(X)[0], ours.score(X))
    stepped = GaussianMixture(3, init_params=ours.predict_proba(X), max_iter=0, reg_covar=1e-6).fit(X)
    theirs._m_step(X, theirs._e_step(X)[1])
    np.testing.assert_allclose(stepped.covariances_, theirs.covariances_)


@pytest.mark.parametrize("Ours", [GaussianMixture, GaussianMixtureIC, BayesianGaussianMixture])
@pytest.mark.parametrize("name", sorted(HOOKS))
def test_fit_rejects_a_subclass_that_overrides_a_step_which_is_never_called(Ours, name, X):
    """Check that a package that defines such a subclass can be imported, as pertpy does among many classes."""
    assert hasattr(sklearn.mixture.GaussianMixture, name)
    tied = type("Tied", (Ours,), {name: lambda self, *parameters: None})()
    for fit in tied.fit, type("Child", (type(tied),), {})().fit, getattr(tied, "partial_fit", tied.fit_predict):
        with pytest.raises(TypeError, match=f"^Tied defines {name}, which is never called by .* Use "):
            fit(X)


def test_every_step_that_a_scikit_learn_subclass_may_override_is_rejected():
    namespaces = [vars(owner) for owner in sklearn.mixture.GaussianMixture.__mro__ if "mixture" in owner.__module__]
    theirs = {name for members in namespaces for name in members if name[0] == "_" and callable(members[name])}
    assert {name for name in theirs if name[1] != "_"} == HOOKS.keys()


def test_a_subclass_may_have_its_own_fit_and_predict(X):
    class Quiet(GaussianMixture):
        def fit(self, X, y=None):
            return super().fit(X, y)

        def predict(self, X):
            return super().predict(X)

    plain, quiet = GaussianMixture(2, random_state=0), Quiet(2, random_state=0)
    np.testing.assert_array_equal(make_pipeline(quiet).fit_predict(X), plain.fit_predict(X))
    assert quiet.mixture_ == plain.mixture_

    class Weighted(GaussianMixture):
        def fit(self, X, y=None, sample_weight=None):
            return super().fit(X, y, sample_weight)

    weight = np.arange(1.0, len(X) + 1)
    expected = plain.fit_predict(X, sample_weight=weight)
    np.testing.assert_array_equal(Weighted(2, random_state=0).fit_predict(X, sample_weight=weight), expected)


@pytest.mark.parametrize("several", [range(1, 4), [1, 2], (1, 2), np.arange(1, 4)], ids=repr)
def test_several_values_of_n_components_raise_and_name_gaussian_mixture_ic(X, several):
    with pytest.raises(TypeError, match=r"To choose the number of components, use GaussianMixtureIC\("):
        GaussianMixture(several).fit(X)
