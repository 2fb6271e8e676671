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


def change_a_view(gm):
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
    change_a_view: lambda w, m, c: (w, [[5] * 3, *m[1:]], c),
    widen: lambda w, m, c: (w, m, 2 * c),
    narrow: lambda w, m, c: (w, m, c / 2),
    scale: lambda w, m, c: (w, m, c / 4),
    agree: lambda w, m, c: (w, m, 2 * c),
    sort_in_place: ordered,
}


def values_in(text):
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
    "to_sql": lambda gm, X: values_in(to_sql(gm)),
    "to_c": lambda gm, X: values_in(to_c(gm)),
    "warm start": lambda gm, X: gm.set_params(warm_start=True, max_iter=1).fit(X).means_,
}


@pytest.mark.heavy(n_default=3)
@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.* where the mixture has no mass")  # some changes move the mass away
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_method_uses_fitted_arrays_that_were_changed_in_place(X, covariance_type, change):
    gm = fitted(X, covariance_type)
    before = gm.mixture_
    parameters = CHANGES[change](before.weights, before.means, before.covariances)
    if covariance_type == "tied" and CHANGES[change] is ordered:
        parameters = *parameters[:2], before.covariances
    mixture = Mixture.from_parameters(*parameters, covariance_type=covariance_type)
    for use, method in USES.items():
        changed, new = copy.deepcopy(gm), GaussianMixture(3, covariance_type=covariance_type, random_state=0)
        new.mixture_ = mixture
        change(changed)
        np.testing.assert_allclose(method(changed, X), method(new, X), rtol=1e-8, atol=1e-11, err_msg=use)
        if use != "warm start":
            for name in ARRAYS:
                np.testing.assert_allclose(getattr(changed, name), getattr(new, name), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ARRAYS)
def test_a_fitted_array_keeps_its_identity_until_the_next_fit_and_the_dtype_of_X(X, name, dtype):
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


def test_changed_covariances_update_the_precisions_at_the_next_use(X):
    gm = fitted(X, "diag")
    old = gm.precisions_
    gm.covariances_[1] *= 4
    assert gm.precisions_ is old  # the estimator has not been used yet
    gm.predict(X)
    np.testing.assert_allclose(gm.precisions_, 1 / gm.covariances_)
    assert not np.allclose(old, gm.precisions_)  # an outdated array is not updated


def test_changed_means_keep_attributes_of_the_fit_but_remove_the_trim_cutoff(X):
    gm = fitted(X, restrictions=Restrictions(equal_weights=True), trim=0.05)
    bound, free = gm.lower_bound_, gm.n_parameters_
    assert hasattr(gm, "cutoff_")
    gm.means_[0] += 1
    assert (gm.lower_bound_, gm.n_parameters_, gm.converged_) == (bound, free, True)
    assert not hasattr(gm, "cutoff_")
    assert (gm.outcome_.collapsed, gm.outcome_.diagnostics) == ([], [])


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        ("weights_", 0, 2.0, "'weights_' set by hand: Not a valid mixture: its weights sum to"),
        ("weights_", 1, -1.0, "weights sum to|weight 1 is negative"),
        ("means_", 2, np.nan, "its means contain NaN"),
        ("covariances_", 1, -1.0, "'covariances_' set by hand: .*covariance of component 1 is not positive definite"),
        ("precisions_", 2, -1.0, "precisions_ set by hand: .*precision of component 2 is not positive definite"),
        ("precisions_cholesky_", 0, 0.0, "precisions_cholesky_ set by hand: Singular|not positive definite|infinity"),
    ],
)
def test_every_method_names_a_fitted_array_with_an_invalid_value(X, covariance_type, name, index, value, message):
    gm = fitted(X, covariance_type)
    if covariance_type == "tied" and name not in ("weights_", "means_"):
        index, message = ..., message.replace("component 1", "component 0").replace("component 2", "component 0")
    valid = getattr(gm, name).copy()
    getattr(gm, name)[index] = value
    for use in ("predict", "score", "pickle", "save", "mixture_", "to_sklearn", "to_sql", "summary", "copy"):
        with pytest.raises(ValueError, match=message):
            USES[use](gm, X)
    assert "nats" not in gm._repr_html_()
    getattr(gm, name)[:] = valid
    gm.predict(X)
    getattr(gm, name)[index] = value
    assert gm.fit(X).mixture_ == fitted(X, covariance_type).mixture_


def test_loadings_and_covariances_of_factor_analyzers_are_read_only(X):
    gm = GaussianMixture(2, covariance_type="factor_analyzer", random_state=0).fit(X)
    for name in ("loadings_", "noise_variances_", "covariances_"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(gm, name)[0] *= 2
        assert name not in vars(gm).get("_arrays", {})
    gm.means_ += 1
    assert gm.score(X + 1) == pytest.approx(
        GaussianMixture(2, covariance_type="factor_analyzer", random_state=0).fit(X).score(X)
    )


def test_arrays_of_gaussian_mixture_ic_can_be_changed_in_place(X):
    search = GaussianMixtureIC([2, 3], covariance_type=["diag", "full"], random_state=0).fit(X)
    score = search.score(X)
    search.means_ += 1
    assert search.score(X + 1) == pytest.approx(score, rel=1e-12)
    assert search.results_["bic"][search.best_index_] == min(search.results_["bic"])


def test_fitted_arrays_can_be_changed_in_place_again(X):
    gm = fitted(X)
    means, score = gm.means_, gm.score(X)
    for distance in (1, 2):
        means += 1
        assert gm.score(X + distance) == pytest.approx(score, rel=1e-12)
    assert gm.means_ is means


def test_copies_and_pickles_do_not_share_arrays_with_the_original(X):
    gm = fitted(X)
    means = gm.means_
    for twin in (copy.copy(gm), copy.deepcopy(gm), pickle.loads(pickle.dumps(gm))):
        twin.means_[0] = 99
        assert twin.mixture_.means[0, 0] == 99
    assert gm.means_ is means
    assert gm.mixture_.means[0, 0] != 99
    incomplete = GaussianMixture(2)
    incomplete.means_ = X[:2]
    for twin in (copy.copy(incomplete), pickle.loads(pickle.dumps(incomplete))):
        twin.means_[0] = 99
        assert incomplete.means_[0, 0] != 99


def test_reshaped_means_are_rejected_although_their_values_are_the_same(X):
    gm = fitted(X)
    gm.means_ = gm.means_.reshape(1, -1)
    with pytest.raises(ValueError, match=r"means_ has shape \(1, 9\)"):
        gm.predict(X)


def test_assigned_arrays_are_copied(X):
    gm, means = fitted(X), np.zeros((3, 3))
    gm.means_ = means
    means[0] = 7
    assert not gm.mixture_.means.any()


def test_converged_lower_bound_and_n_iter_can_be_set(X):
    gm = fitted(X)
    gm.converged_, gm.lower_bound_, gm.n_iter_ = False, -1.5, 7
    restored = pickle.loads(pickle.dumps(gm))
    assert (restored.converged_, restored.lower_bound_, restored.n_iter_) == (False, -1.5, 7)
    assert "7 steps, not converged" in gm._repr_html_()


@pytest.mark.parametrize("name", ["means_", "precisions_cholesky_", "n_iter_"])
def test_fitted_attributes_cannot_be_deleted(X, name):
    gm = fitted(X)
    with pytest.raises(AttributeError, match=f"^{name} is a result of fit and can't be deleted"):
        delattr(gm, name)
    assert hasattr(gm, name)
