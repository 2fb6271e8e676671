"""`labels_`: what `predict` says of the rows of a fit, made when it is asked for."""

import copy
import pickle

import numpy as np
import pandas
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gaussmix
from gaussmix import GaussianMixture, GaussianMixtureIC

NONE = r"has no labels_: a fit keeps no rows.* Call predict\(X\) or fit_predict\(X\)\.$"


@pytest.fixture
def gm():
    return GaussianMixture(2, random_state=0)


@pytest.mark.parametrize(
    "estimator", [GaussianMixture(2, random_state=0), GaussianMixtureIC([1, 2], covariance_type="diag", random_state=0)]
)
@pytest.mark.parametrize("kind", [np.asarray, pandas.DataFrame])
def test_labels_are_those_that_predict_finds(X, estimator, kind):
    rows = kind(X)
    labels = estimator.fit(rows).labels_
    np.testing.assert_array_equal(labels, estimator.predict(rows))
    assert labels is estimator.labels_


def test_nothing_is_computed_before_labels_are_asked_for(X, gm, monkeypatch):
    asked = []
    monkeypatch.setattr(GaussianMixture, "predict", lambda self, X: asked.append(X) or np.zeros(len(X), np.int64))
    gm.fit(X)._repr_html_()
    assert not asked
    assert gm.labels_.sum() == 0
    assert len(asked) == 1


def test_a_fit_keeps_no_rows(X, gm):
    rows = X.copy()
    gm.fit(rows)
    del rows
    assert not hasattr(gm, "labels_")
    with pytest.raises(AttributeError, match=NONE):
        _ = gm.labels_
    with pytest.raises(AttributeError, match=NONE):
        _ = make_pipeline(StandardScaler(), gm).fit(X)[-1].labels_


def test_fit_predict_leaves_what_it_returned(X, gm):
    assert gm.fit_predict(X.tolist()) is gm.labels_
    trimmed = GaussianMixture(2, trim=0.1, random_state=0)
    assert trimmed.fit_predict(X) is trimmed.labels_
    assert (trimmed.labels_ == -1).sum() == len(X) // 10


@pytest.mark.parametrize("parameters", [{"trim": 0.1}, {}])
def test_what_predict_does_not_know_of_is_left_to_fit_predict(X, gm, parameters):
    given = {} if parameters else {"X_error": np.ones(3)}
    with pytest.raises(AttributeError, match=NONE):
        _ = gm.set_params(**parameters).fit(X, **given).labels_


def test_another_mixture_has_no_labels_of_the_fit_before(X, gm):
    assert (gm.fit(X).labels_ == gm.predict(X)).all()
    gm.means_ = gm.means_[::-1]
    assert not hasattr(gm, "labels_")
    gm.fit(X)
    gm.mixture_ = gm.mixture_.sorted("weight")
    assert not hasattr(gm, "labels_")
    gm.partial_fit(X)
    assert not hasattr(gm, "labels_")


def test_files_and_what_came_from_them_have_none(X, gm, tmp_path):
    gm.fit(X).save(tmp_path / "m.gmm")
    np.save(tmp_path / "x.npy", X)
    for fitted in (GaussianMixture.load(tmp_path / "m.gmm"), gm.fit(gaussmix.open(tmp_path / "x.npy"))):
        with pytest.raises(AttributeError, match=NONE):
            _ = fitted.labels_


def test_a_copy_and_a_pickle_have_the_labels_that_were_made(X, gm):
    for twin in (copy.deepcopy(gm.fit(X)), pickle.loads(pickle.dumps(gm))):
        assert not hasattr(twin, "labels_")
    labels = gm.labels_
    for twin in (copy.deepcopy(gm), pickle.loads(pickle.dumps(gm))):
        np.testing.assert_array_equal(twin.labels_, labels)


def test_one_cause_is_named(X, gm):
    def why(fitted):
        with pytest.raises(AttributeError) as raised:
            _ = fitted.labels_
        return str(raised.value).removeprefix("GaussianMixture has no labels_: a fit keeps no rows, and ").split(".")[0]

    assert why(copy.deepcopy(gm.fit(X))) == "this one was loaded, copied or fitted in parts"
    assert why(GaussianMixture(2).partial_fit(X)) == "this one was loaded, copied or fitted in parts"
    gm.means_ = gm.means_ + 1.0
    assert why(gm) == why(pickle.loads(pickle.dumps(gm))) == "fit did not find this mixture"
    gm.fit(X.copy())
    assert why(gm) == "their array is gone"
    assert why(gm.fit(X.tolist())) == "these were no array or data frame"
    assert why(gm.fit(X, X_error=np.ones(3))) == "predict does not know X_error"
    assert why(gm.set_params(trim=0.1).fit(X)) == "predict does not know which of them trim left out"


def test_before_fit_there_are_none(gm):
    with pytest.raises(AttributeError, match="not fitted yet"):
        _ = gm.labels_
