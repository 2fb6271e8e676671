"""Arrays of fitted attributes may be changed; the estimator then acts like a new one with these values."""

import copy
import pickle
import re

import numpy as np
import pytest
from common import reloaded
from sklearn.exceptions import ConvergenceWarning

from gaussmix import GaussianMixture, GaussianMixtureIC, Mixture, Restrictions
from gaussmix.export import to_c, to_sql

ARRAYS = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]


def fitted(X, covariance_type="full", **options):
    return GaussianMixture(3, covariance_type=covariance_type, random_state=0, **options).fit(X)


def shift(gm):
    gm.means_ += 1


def move_one(gm):
    gm.means_[0] = 5


def keep_a_part(gm):
    row = gm.means_[0]
    _ = gm.n_iter_, gm.n_iter_  # later, only arrays that are referenced elsewhere are checked
    row[:] = 5


def widen(gm):
    gm.covariances_ *= 2


def narrow(gm):
    gm.precisions_ *= 2


def scale(gm):
    gm.precisions_cholesky_ *= 2


def agree(gm):
    gm.precisions_ /= 2
    gm.covariances_ *= 2


def sort_in_place(gm):
    order = np.argsort(-gm.means_[:, 0])
    for name in ("covariances_", "means_", "weights_") if gm.covariance_type != "tied" else ("weights_", "means_"):
        getattr(gm, name)[:] = getattr(gm, name)[order]


def ordered(weights, means, covariances):
    order = np.argsort(-means[:, 0])
    return weights[order], means[order], covariances[order]


# Changes of an estimator, and the expected weights, means and covariances after each.
CHANGES = {
    shift: lambda w, m, c: (w, m + 1, c),
    move_one: lambda w, m, c: (w, [[5] * 3, *m[1:]], c),
    keep_a_part: lambda w, m, c: (w, [[5] * 3, *m[1:]], c),
    widen: lambda w, m, c: (w, m, 2 * c),
    narrow: lambda w, m, c: (w, m, c / 2),
    scale: lambda w, m, c: (w, m, c / 4),
    agree: lambda w, m, c: (w, m, 2 * c),
    sort_in_place: ordered,
}


def numbers_in(text):
    return np.array(re.findall(r"-?\d\.\d+(?:e-?\d+)?", text), dtype=float)


USES = {
    "predict": lambda gm, X: gm.predict(X),
    "predict_proba": lambda gm, X: gm.predict_proba(X),
    "score_samples": lambda gm, X: gm.score_samples(X),
    "score": lambda gm, X: gm.score(X),
    "bic": lambda gm, X: gm.bic(X),
    "aic": lambda gm, X: gm.aic(X),
    "sample": lambda gm, X: gm.sample(4)[0],
    "denoise": lambda gm, X: gm.denoise(X, np.ones(3))[0],
    "merge": lambda gm, X: gm.merge(X).cluster_labels,
    "summary": lambda gm, X: gm.summary(X).components["overlap"],
    "tidy": lambda gm, X: gm.tidy()["overlap"].to_numpy(),
    "glance": lambda gm, X: gm.glance(X)["log_likelihood"].to_numpy(),
    "augment": lambda gm, X: gm.augment(X).to_numpy(),
    "explain": lambda gm, X: gm.explain(X).contributions,
    "mixture_": lambda gm, X: gm.mixture_.log_density(X),
    "n_parameters_": lambda gm, X: gm.n_parameters_,
    "save": lambda gm, X: reloaded(gm).means_,
    "pickle": lambda gm, X: pickle.loads(pickle.dumps(gm)).score_samples(X),
    "copy": lambda gm, X: copy.copy(gm).score_samples(X),
    "deepcopy": lambda gm, X: copy.deepcopy(gm).covariances_,
    "to_sklearn": lambda gm, X: gm.to_sklearn().score_samples(X),
    "to_sql": lambda gm, X: numbers_in(to_sql(gm)),
    "to_c": lambda gm, X: numbers_in(to_c(gm)),
    "warm start": lambda gm, X: gm.set_params(warm_start=True, max_iter=1).fit(X).means_,
}


@pytest.mark.heavy(but=3)
@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.* where the mixture has no mass")  # some changes move the mass away
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_is_changed_counts_from_the_next_use_on(X, covariance_type, change):
    gm = fitted(X, covariance_type)
    before = gm.mixture_
    numbers = CHANGES[change](before.weights, before.means, before.covariances)
    if covariance_type == "tied" and CHANGES[change] is ordered:
        numbers = *numbers[:2], before.covariances
    mixture = Mixture.from_parameters(*numbers, covariance_type=covariance_type)
    for use, ask in USES.items():
        mine, fresh = copy.deepcopy(gm), GaussianMixture(3, covariance_type=covariance_type, random_state=0)
        fresh.mixture_ = mixture
        change(mine)
        np.testing.assert_allclose(ask(mine, X), ask(fresh, X), rtol=1e-8, atol=1e-11, err_msg=use)
        if use != "warm start":
            for name in ARRAYS:
                np.testing.assert_allclose(getattr(mine, name), getattr(fresh, name), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_is_the_same_object_and_of_the_type_of_the_data(X, name, dtype):
    gm = fitted(X.astype(dtype))
    values = getattr(gm, name)
    assert type(values) is np.ndarray
    assert values.dtype == dtype
    assert values.flags.writeable
    gm.converged_ = False
    assert getattr(gm, name) is values
    gm.predict(X.astype(dtype))
    assert getattr(gm, name) is values
    gm.fit(X)
    assert getattr(gm, name) is not values


def test_the_matrices_that_were_not_changed_follow(X):
    gm = fitted(X, "diag")
    old = gm.precisions_
    gm.covariances_[1] *= 4
    assert gm.precisions_ is old  # the estimator has not been used yet
    gm.predict(X)
    np.testing.assert_allclose(gm.precisions_, 1 / gm.covariances_)
    assert not np.allclose(old, gm.precisions_)  # an outdated array is not updated


def test_a_change_keeps_what_is_still_known(X):
    gm = fitted(X, restrictions=Restrictions(equal_weights=True), trim=0.05)
    bound, free = gm.lower_bound_, gm.n_parameters_
    assert hasattr(gm, "cutoff_")
    gm.means_[0] += 1
    assert (gm.lower_bound_, gm.n_parameters_, gm.converged_) == (bound, free, True)
    assert not hasattr(gm, "cutoff_")
    assert (gm.outcome_.collapsed, gm.outcome_.diagnostics) == ([], [])


@pytest.mark.parametrize(
    ("name", "place", "value", "why"),
    [
        ("weights_", 0, 2.0, "'weights_' set by hand: Not a valid mixture: its weights sum to"),
        ("weights_", 1, -1.0, "weights sum to|weight 1 is negative"),
        ("means_", 2, np.nan, "its means contain NaN"),
        ("covariances_", 1, -1.0, "'covariances_' set by hand: .*covariance of component 1 is not positive definite"),
        ("precisions_", 2, -1.0, "precisions_ set by hand: .*precision of component 2 is not positive definite"),
        ("precisions_cholesky_", 0, 0.0, "precisions_cholesky_ set by hand: Singular|not positive definite|infinity"),
    ],
)
def test_numbers_that_make_no_mixture_are_named_at_every_use(X, covariance_type, name, place, value, why):
    gm = fitted(X, covariance_type)
    if covariance_type == "tied" and name not in ("weights_", "means_"):
        place, why = ..., why.replace("component 1", "component 0").replace("component 2", "component 0")
    right = getattr(gm, name).copy()
    getattr(gm, name)[place] = value
    for use in ("predict", "score", "pickle", "save", "mixture_", "to_sklearn", "to_sql", "summary", "copy"):
        with pytest.raises(ValueError, match=why):
            USES[use](gm, X)
    assert "nats" not in gm._repr_html_()
    getattr(gm, name)[:] = right
    gm.predict(X)
    getattr(gm, name)[place] = value
    assert gm.fit(X).mixture_ == fitted(X, covariance_type).mixture_


def test_loadings_are_read_only(X):
    gm = GaussianMixture(2, covariance_type="factor_analyzer", random_state=0).fit(X)
    for name in ("loadings_", "noise_variances_", "covariances_"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(gm, name)[0] *= 2
        assert name not in vars(gm).get("_arrays", {})
    gm.means_ += 1
    assert gm.score(X + 1) == pytest.approx(
        GaussianMixture(2, covariance_type="factor_analyzer", random_state=0).fit(X).score(X)
    )


def test_a_search_has_arrays_too(X):
    search = GaussianMixtureIC([2, 3], covariance_type=["diag", "full"], random_state=0).fit(X)
    score = search.score(X)
    search.means_ += 1
    assert search.score(X + 1) == pytest.approx(score, rel=1e-12)
    assert search.results_["bic"][search.best_index_] == min(search.results_["bic"])


def test_a_copy_has_arrays_of_its_own(X):
    gm = fitted(X)
    means = gm.means_
    for twin in (copy.copy(gm), copy.deepcopy(gm), pickle.loads(pickle.dumps(gm))):
        twin.means_[0] = 99
        assert twin.mixture_.means[0, 0] == 99
    assert gm.means_ is means
    assert gm.mixture_.means[0, 0] != 99
    lacking = GaussianMixture(2)
    lacking.means_ = X[:2]
    for twin in (copy.copy(lacking), pickle.loads(pickle.dumps(lacking))):
        twin.means_[0] = 99
        assert lacking.means_[0, 0] != 99


def test_the_same_numbers_in_another_shape_are_a_change(X):
    gm = fitted(X)
    gm.means_ = gm.means_.reshape(1, -1)
    with pytest.raises(ValueError, match=r"means_ has shape \(1, 9\)"):
        gm.predict(X)


def test_arrays_that_are_assigned_are_copied(X):
    gm, means = fitted(X), np.zeros((3, 3))
    gm.means_ = means
    means[0] = 7
    assert not gm.mixture_.means.any()


def test_facts_of_the_run_can_be_set(X):
    gm = fitted(X)
    gm.converged_, gm.lower_bound_, gm.n_iter_ = False, -1.5, 7
    woken = pickle.loads(pickle.dumps(gm))
    assert (woken.converged_, woken.lower_bound_, woken.n_iter_) == (False, -1.5, 7)
    assert "7 steps, not converged" in gm._repr_html_()
