"""An invalid parameter raises an error of one sentence with the name, the value and the allowed values."""

import re
from inspect import signature

import numpy as np
import pytest
from common import raises_and_keeps
from scipy import sparse

import gaussmix
from gaussmix import GaussianMixture
from gaussmix._src.families.base import family_names

ROWS = np.arange(60.0).reshape(20, 3) % 7
EYES = np.stack([np.eye(3)] * 2)
LABELS = np.arange(20) % 2
SOFT = np.eye(2)[LABELS]
ESTIMATORS = [getattr(gaussmix, name) for name in dir(gaussmix) if name.startswith(("Gaussian", "Bayesian"))]


def put(array, index, value):
    changed = np.array(array, dtype=np.float64)
    changed[index] = value
    return changed


KNOWN_STRUCTURES = ", ".join(map(repr, family_names()))
KNOWN_INITS = "'auto', 'hierarchical', 'k-means++', 'kmeans', 'search', 'random_from_data', 'random', 'tree'"

# Name of the case → parameters, the error, a part of its message.
CASES = {
    "covariance_type nearly known": (
        {"covariance_type": "ful"},
        ValueError,
        f"covariance_type='ful' is not one of {KNOWN_STRUCTURES}. Did you mean 'full'?",
    ),
    "covariance_type unknown": ({"covariance_type": "xyz"}, ValueError, "'VVE', 'VVI', 'VVV'."),
    "covariance_type no name": ({"covariance_type": ["full"]}, TypeError, "covariance_type must be a structure or"),
    "covariance_type None": (
        {"covariance_type": None},
        TypeError,
        f"or its name (for several structures, use GaussianMixtureIC), not None. Names are {KNOWN_STRUCTURES}.",
    ),
    "n_components 0": ({"n_components": 0}, ValueError, "n_components=0 must be an integer ≥ 1."),
    "n_components float": ({"n_components": 2.0}, TypeError, "n_components must be an integer ≥ 1, not 2.0."),
    "n_components bool": ({"n_components": True}, TypeError, "n_components must be an integer ≥ 1, not True."),
    "n_components None": ({"n_components": None}, TypeError, "n_components must be an integer ≥ 1, not None."),
    "max_iter long": ({"max_iter": "9" * 99}, TypeError, f"max_iter must be an integer ≥ 0, not '{'9' * 59}."),
    "n_components above n_samples": ({"n_components": 21}, ValueError, "n_components = 21, n_samples = 20"),
    "tol negative": ({"tol": -1e-3}, ValueError, 'tol=-0.001 must be a finite number ≥ 0 or "auto".'),
    "tol NaN": ({"tol": np.nan}, ValueError, 'tol=nan must be a finite number ≥ 0 or "auto".'),
    "tol infinite": ({"tol": np.inf}, ValueError, 'tol=inf must be a finite number ≥ 0 or "auto".'),
    "tol text": ({"tol": "1e-3"}, TypeError, "tol must be a finite number ≥ 0 or \"auto\", not '1e-3'."),
    "reg_covar negative": ({"reg_covar": -1e-6}, ValueError, 'reg_covar=-1e-06 must be a finite number ≥ 0 or "auto".'),
    "reg_covar text": ({"reg_covar": "on"}, TypeError, "reg_covar must be a finite number ≥ 0 or \"auto\", not 'on'."),
    "reg_covar None": ({"reg_covar": None}, TypeError, 'reg_covar must be a finite number ≥ 0 or "auto", not None.'),
    "reg_covar too large": ({"reg_covar": 1.1e300}, ValueError, "reg_covar=1.1e+300 must be at most 1e+300, or sums"),
    "reg_covar per feature": ({"reg_covar": [0, 0, 0]}, TypeError, 'or "auto", not [0, 0, 0].'),
    "max_iter negative": ({"max_iter": -1}, ValueError, "max_iter=-1 must be an integer ≥ 0."),
    "max_iter float": ({"max_iter": 1e2}, TypeError, "max_iter must be an integer ≥ 0, not 100.0."),
    "posterior 0": ({"posterior": 0}, ValueError, "posterior=0 must be an integer ≥ 1."),
    "posterior fraction": ({"posterior": 1.5}, TypeError, "posterior must be an integer ≥ 1, not 1.5."),
    "posterior unknown": ({"posterior": "half"}, ValueError, '"auto", "exact" or a number of candidate components.'),
    "posterior above n_components": ({"posterior": 3}, ValueError, "must be at most n_components=2, because"),
    "acceleration unknown": ({"acceleration": "squarem"}, ValueError, 'acceleration must be "auto" or None, not'),
    "n_init 0": ({"n_init": 0}, ValueError, "n_init=0 must be an integer ≥ 1."),
    "n_init float": ({"n_init": 2.5}, TypeError, "n_init must be an integer ≥ 1, not 2.5."),
    "n_jobs 0": ({"n_jobs": 0}, ValueError, "n_jobs=0 has no meaning; use 1 for one thread or None for every"),
    "n_jobs float": ({"n_jobs": 1.5}, TypeError, "n_jobs must be an integer other than 0, or None for every proc"),
    "random_state negative": ({"random_state": -1}, ValueError, "random_state must be an integer from 0 to 2**32 - 1"),
    "random_state text": ({"random_state": "a"}, ValueError, "a RandomState or None, not 'a'."),
    "random_state Generator": ({"random_state": np.random.default_rng(0)}, ValueError, "random_state must be an"),
    "warm_start text": ({"warm_start": "no"}, TypeError, "warm_start must be True or False, not 'no'."),
    "verbose negative": ({"verbose": -1}, ValueError, "verbose=-1 must be an integer ≥ 0."),
    "verbose fraction": ({"verbose": 1.5}, TypeError, "verbose must be an integer ≥ 0, not 1.5."),
    "tol beyond doubles": ({"tol": 10**400}, ValueError, 'must be a finite number ≥ 0 or "auto".'),
    "verbose_interval 0": ({"verbose_interval": 0}, ValueError, "verbose_interval=0 must be an integer ≥ 1."),
    "weights_init sum": ({"weights_init": [0.5, 0.6]}, ValueError, "The parameter 'weights' should be normalized"),
    "weights_init negative": ({"weights_init": [-0.5, 1.5]}, ValueError, "weights_init[0] is -0.5."),
    "weights_init above 1": ({"weights_init": [0.5, 1.5]}, ValueError, "weights_init[1] is 1.5."),
    "weights_init shape": ({"weights_init": [1.0]}, ValueError, "the shape of (2,), but got (1,) in weights_init."),
    "weights_init complex": ({"weights_init": [0.5, 0.5j]}, ValueError, "weights_init must be real numbers, not comp"),
    "means_init shape": ({"means_init": ROWS[:3]}, ValueError, "the shape of (2, 3), but got (3, 3) in means_init."),
    "means_init features": ({"means_init": ROWS[:2, :2]}, ValueError, "(2, 3), but got (2, 2) in means_init."),
    "means_init NaN": ({"means_init": put(ROWS[:2], (1, 2), np.nan)}, ValueError, "means_init[1, 2] is nan. All val"),
    "means_init too large": ({"means_init": ROWS[:2] + 1e300}, ValueError, "means_init[0, 0] is 1e+300, so squared"),
    "means_init ragged": ({"means_init": [[1, 2, 3], [4]]}, ValueError, "means_init must be an array of numbers"),
    "both kinds of covariances": (
        {"precisions_init": EYES, "covariances_init": EYES},
        ValueError,
        "Pass precisions_init or covariances_init, not both.",
    ),
    "init_params nearly known": (
        {"init_params": "kmeans++"},
        ValueError,
        f"init_params='kmeans++' is not one of {KNOWN_INITS}. Did you mean 'k-means++'?",
    ),
    "init_params None": ({"init_params": None}, ValueError, f"init_params is None. Pass one of {KNOWN_INITS}, int"),
    "labels too few": (
        {"init_params": LABELS[1:]},
        ValueError,
        f"init_params has shape (19,) and type int64. Pass one of {KNOWN_INITS}, integer labels of shape (20,) or "
        "responsibilities of shape (20, 2).",
    ),
    "labels too large": ({"init_params": LABELS + 1}, ValueError, "init_params contains the labels 1 … 2; with"),
    "labels negative": ({"init_params": LABELS - 1}, ValueError, "init_params contains the labels -1 … 0; with n_comp"),
    "labels of floats": ({"init_params": LABELS * 1.0}, ValueError, "contains labels of type float64. Convert them by"),
    "labels of words": ({"init_params": ["a", "b"] * 10}, ValueError, f"init_params='a' is not one of {KNOWN_INITS}"),
    "methods, one unknown": ({"init_params": ["kmeans", "ward"]}, ValueError, "init_params='ward' is not one of 'a"),
    "labels sparse": ({"init_params": sparse.csr_array(SOFT)}, ValueError, ". Pass one of 'auto',"),
    "labels ragged": ({"init_params": [[0], [0, 1]] * 10}, ValueError, "init_params is not an array: setting an array"),
    "labels masked": (
        {"init_params": np.ma.masked_array([0, 1] * 10, [False] * 19 + [True])},
        ValueError,
        r"init_params is masked in row 19. Give every row a component, or pass labels=",
    ),
    "responsibilities of too many": ({"init_params": np.eye(3)[LABELS]}, ValueError, "has shape (20, 3) and type fl"),
    "responsibilities' sum": ({"init_params": put(SOFT, (4, 1), 0.5)}, ValueError, "the responsibilities of row 4"),
    "responsibilities negative": ({"init_params": put(SOFT, 4, [2, -1])}, ValueError, "of row 4 must be ≥ 0 and sum"),
    "responsibilities NaN": ({"init_params": put(SOFT, 4, np.nan)}, ValueError, "of row 4 must be ≥ 0 and sum to 1"),
    "callable of a name": ({"init_params": lambda X, n_components, rng: "kmeans"}, ValueError, "of the callable"),
    "callable of another shape": (
        {"init_params": lambda X, n_components, rng: np.zeros(3)},
        ValueError,
        "the result of the callable init_params has shape (3,) and type float64. Pass integer labels",
    ),
    "callable of other labels": (
        {"init_params": lambda X, n_components, rng: LABELS * 7},
        ValueError,
        "the result of the callable init_params contains the labels 0 … 7; with n_components=2",
    ),
}

# (covariance_type, values) of initial covariances → message after "'full precision' should be …".
BAD_MATRICES = {
    "indefinite": ("full", put(EYES, (1, 0, 0), -1), "symmetric, positive-definite, but {}s_init of component 1 is"),
    "singular": ("full", put(EYES, 1, 1), "symmetric, positive-definite, but {}s_init of component 1 is not."),
    "asymmetric": ("full", put(EYES, (1, 0, 2), 0.5), "but {}s_init is not symmetric at [1, 0, 2]."),
    "indefinite tied": ("tied", put(EYES[0], (0, 0), -1), "symmetric, positive-definite, but {}s_init is not."),
    "asymmetric tied": ("tied", put(EYES[0], (1, 2), 0.5), "but {}s_init is not symmetric at [1, 2]."),
    "zero variance": ("diag", put(np.ones((2, 3)), (1, 0), 0), "positive, but {}s_init of component 1 is not."),
    "negative variances": ("spherical", [-1, -1], "positive, but {}s_init of components 0, 1 is not."),
    "NaN": ("full", put(EYES, (1, 0, 2), np.nan), "{}s_init[1, 0, 2] is nan. All values must be finite."),
    "shape full": ("full", EYES[:1], "should have the shape of (2, 3, 3), but got (1, 3, 3) in {}s_init."),
    "shape tied": ("tied", EYES, "should have the shape of (3, 3), but got (2, 3, 3) in {}s_init."),
    "shape diag": ("diag", EYES, "should have the shape of (2, 3), but got (2, 3, 3) in {}s_init."),
    "shape spherical": ("spherical", np.ones((2, 3)), "should have the shape of (2,), but got (2, 3) in {}s_init."),
    "text": ("spherical", ["a", "b"], "{}s_init must be an array of numbers: 'a' is text"),
    "complex": ("full", EYES * 1j, "{}s_init must be real numbers, not complex numbers."),
}


def assert_rejected(mixture, kind, sentence):
    with pytest.raises(kind) as error:
        mixture.fit(ROWS)
    assert sentence in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None


@pytest.mark.parametrize(("parameters", "kind", "sentence"), CASES.values(), ids=CASES)
def test_fit_rejects_invalid_parameters(parameters, kind, sentence):
    assert_rejected(GaussianMixture(**{"n_components": 2} | parameters), kind, sentence)


@pytest.mark.parametrize("matrix", ["precision", "covariance"])
@pytest.mark.parametrize(("covariance_type", "values", "sentence"), BAD_MATRICES.values(), ids=BAD_MATRICES)
def test_fit_rejects_invalid_covariances_init_and_precisions_init(matrix, covariance_type, values, sentence):
    mixture = GaussianMixture(2, covariance_type=covariance_type, **{f"{matrix}s_init": values})
    assert_rejected(mixture, ValueError, sentence.format(matrix))


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "3", None, True])
def test_sample_rejects_an_invalid_n_samples(n_samples):
    mixture = GaussianMixture(2, random_state=0).fit(ROWS)
    with pytest.raises((ValueError, TypeError), match=f"Invalid value for 'n_samples': {n_samples!r}"):
        mixture.sample(n_samples)


def test_numpy_scalars_are_valid_parameters():
    mixture = GaussianMixture(np.uint8(2), tol=np.float32(1e-3), max_iter=np.int32(50), n_jobs=np.int64(1))
    mixture.set_params(reg_covar=np.float32(1e-3), random_state=np.int64(3), warm_start=np.True_)
    assert mixture.fit(ROWS).converged_


def test_the_largest_reg_covar_that_the_error_states_is_accepted():
    assert GaussianMixture(reg_covar=1e300).fit(ROWS).covariances_[0, 0, 0] == 1e300


@pytest.mark.parametrize(
    ("parameters", "X", "message"),
    [
        ({"n_components": 0}, ROWS, "n_components"),
        ({"weights_init": [1.0]}, ROWS, "weights_init"),
        ({"init_params": lambda X, n_components, rng: None}, ROWS, "init_params"),
        ({}, ROWS[:, :2] * np.nan, "no value at all"),
        ({"reg_covar": 0}, np.ones((20, 5)), "reg_covar"),
    ],
    ids=["parameter", "initial weights", "callable", "rows", "singular"],
)
def test_a_refit_that_fails_keeps_the_previous_fit(parameters, X, message):
    mixture = GaussianMixture(2, random_state=0).fit(ROWS).set_params(**parameters)
    with raises_and_keeps(mixture, ValueError, message):
        mixture.fit(X)
    assert mixture.predict(ROWS).shape == (20,)


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_a_parameter_of_the_wrong_type_raises_a_value_error(kind):
    """Programs catch ValueError, because scikit-learn's InvalidParameterError is a ValueError."""
    unused = {"n_init", "init_params", "random_state"} if kind is gaussmix.GaussianMixtureClassifier else set()
    for name in signature(kind).parameters.keys() - unused:
        with pytest.raises(ValueError, match=name):
            kind(**{name: object()}).fit(ROWS, LABELS)


# Mistyped expression → the error, and a part of its message.
SUGGESTIONS = {
    "GaussianMixture(k=3)": (TypeError, "GaussianMixture() got an unexpected keyword argument 'k'. Use n_components."),
    "GaussianMixture(n_compnents=3)": (TypeError, "'n_compnents'. Use n_components."),
    "GaussianMixture(zzz=3)": (TypeError, "Use one of n_components, covariance_type, trim,"),
    "GaussianMixture(data=ROWS)": (TypeError, "unexpected keyword argument 'data'. Pass it to fit: fit(X)."),
    "GaussianMixture(weights=1)": (TypeError, "Pass it to fit: fit(X, sample_weight=…)."),
    "GaussianMixture(3, 'full')": (TypeError, "Pass the other arguments by name: covariance_type=…, trim=…."),
    "gm.bootstrap(ROWS, rng=3)": (TypeError, "unexpected keyword argument 'rng'. Use random_state."),
    "gm.fit(ROWS, by='g')": (TypeError, "Use by of fit_many: fit_many(table, n_components, by=…)."),
    "gm.fit(ROWS, seed=3)": (TypeError, "It is a parameter of the estimator: GaussianMixture(random_state=…)."),
    "gm.merge(ROWS, n_clusters=2)": (TypeError, "Pass it to predict of the result: merge(X).predict(X, n_clusters=…)."),
    "GaussianMixtureIC().fit(ROWS, weights=1)": (TypeError, "GaussianMixtureIC.fit() got an unexpected keyword "
                                                 "argument 'weights'. Use sample_weight."),
    "gm.partial_fit(ROWS, X_error=1)": (TypeError, "Pass it to fit: fit(X, X_error=…)."),
    "gm.partial_fit(data=ROWS)": (TypeError, "'data'. Use X."),
    "gm.partial_fit(ROWS, w=1)": (TypeError, "'w'. Use sample_weight."),
    "GaussianMixtureDetector(2, n_components=2)": (TypeError, "for argument 'n_components'. Pass it only once."),
    "gm.bic()": (TypeError, "GaussianMixture.bic() missing 1 required positional argument: 'X'. Call bic(X)."),
    "GaussianMixture.fit(ROWS)": (TypeError, "Create one first: GaussianMixture(n_components).fit(…)."),
    "gm.set_params(tol=1, n_component=2)": (ValueError, "Invalid parameter 'n_component' for estimator "
                                            "GaussianMixture. Use n_components."),
    "gm.set_params(covariance_type__max_condition=9)": (ValueError, "because covariance_type='full' has no parameter"),
    "gm.set_params(prior__dof=9)": (ValueError, "Set prior to an object, such as NormalInverseWishart()."),
    "gm.set_params(tol__=9)": (ValueError, "tol__ can't be set, because tol=0.001 has no parameters."),
    "GaussianMixture(covariance_type='all').fit(ROWS)": (ValueError, "use GaussianMixtureIC(n_components)."),
    "GaussianMixture(covariance_type=Full).fit(ROWS)": (TypeError, "is the class Full. Pass an instance: Full()."),
    "GaussianMixtureIC(covariance_type=[FactorAnalyzer]).fit(ROWS)": (TypeError, "FactorAnalyzer(n_factors)."),
    "GaussianMixtureDetector(contamination=0.1, coverage=0.9).fit(ROWS)": (ValueError, "Set one of them."),
    "GaussianMixtureDetector(mass=0.9)": (TypeError, "Use coverage."),
    "fit_many([ROWS], GaussianMixture())": (TypeError, "Pass the estimator by keyword: estimator=…."),
    "gm.mixture_.condition(ROWS)": (TypeError, "not a ndarray. For many rows, use conditional_mean(X_known, known)"),
    "gm.cutoff_": (AttributeError, "This GaussianMixture has no cutoff_, because it was not fitted with trim."),
    "gm.labels": (AttributeError, "GaussianMixture has no labels. Use labels_."),
    "gm.log_probability(ROWS)": (AttributeError, "has no log_probability. Use mixture_.log_density(X)."),
    "gm.probability(ROWS)": (AttributeError, "has no probability. Use mixture_.pdf(X)."),
    "gm.summarize(ROWS)": (AttributeError, "has no summarize. Use partial_fit(X) of a GaussianMixture."),
    "gm.params": (AttributeError, "Use inference(X), whose result has params"),
    "BayesianGaussianMixture().fit(ROWS).conf_int()": (AttributeError, "Use posterior_, which has credible"),
    "gm.classification": (AttributeError, "has no classification. Use labels_."),
    "gm.mean_": (AttributeError, "GaussianMixture has no mean_. Use means_."),
    "gm.predict_probabilities": (AttributeError, "Use predict_proba."),
    "gm.condition({0: 1})": (AttributeError, "GaussianMixture has no condition. Use mixture_.condition."),
    "gm.plot()": (AttributeError, "Use gaussmix.plot.ComponentDisplay.from_estimator(estimator, X)."),
    "gm.decision_function(ROWS)": (AttributeError, "Use score_samples(X), or a GaussianMixtureDetector, which has"),
    "GaussianMixtureClassifier().decision_function": (AttributeError, "Use predict_log_proba(X) of a Gaussian"),
    "gm.to_onnx()": (AttributeError, "Use gaussmix.export.to_onnx(estimator)."),
    "GaussianMixtureDetector().fit(ROWS).covariance_type_": (AttributeError, "Use mixture_.family."),
    "GaussianMixtureClassifier().fit(ROWS, LABELS).classes": (AttributeError, "has no classes. Use classes_."),
    "BayesianGaussianMixture(prior=1)": (TypeError, "It is a parameter of GaussianMixture."),
    "GaussianMixtureClassifier().classes_": (ValueError, "not fitted yet"),
    "GaussianMixtureRegressor().means_": (AttributeError, "Use mixture_.means."),
    "GaussianMixtureRegressor().quantile": (AttributeError, "Use mixture_.quantile."),
    "gm.mixture_.ppf(0.5)": (AttributeError, "Mixture has no ppf. Use quantile."),
    "gm.mixture_.means_": (AttributeError, "Mixture has no means_. Use means."),
    "gm.mixture_.cov": (AttributeError, "Mixture has no cov. Use covariance."),
    "gm.mixture_.var()": (AttributeError, "Mixture has no var. Use std() ** 2."),
    "gm.mixture_.log_prob(ROWS)": (AttributeError, "Mixture has no log_prob. Use log_density."),
    "BayesianGaussianMixture().fit(ROWS).n_components_": (AttributeError, "Use (mass_ > 0).sum(), which counts"),
    "gm.mixture_.score_samples(ROWS)": (AttributeError, "Mixture has no score_samples. Use log_density."),
    "fit_many([ROWS]).predict(ROWS)": (TypeError, "For the rows of one group, use get_mixture(key).predict."),
    "fit_many([ROWS]).modes()": (AttributeError, "Mixtures has no modes. Use get_mixture(key).modes."),
    "exec('from gaussmix import GMM')": (ImportError, "cannot import name 'GMM' from 'gaussmix'. Use GaussianMixture."),
}  # fmt: skip


@pytest.mark.parametrize("typed", SUGGESTIONS)
def test_the_error_for_a_wrong_name_or_argument_suggests_the_right_one(typed):
    error, part = SUGGESTIONS[typed]
    with pytest.raises(error, match=re.escape(part)):
        eval(
            typed,
            {
                **{name: getattr(gaussmix, name) for name in gaussmix.__all__},
                "ROWS": ROWS,
                "LABELS": LABELS,
                "gm": GaussianMixture().fit(ROWS),
            },
        )
    assert not hasattr(gaussmix, "GMM")


@pytest.mark.parametrize("fit", [lambda X: len(3), lambda X: GaussianMixture(init_params=lambda *_: len(3)).fit(X)])
def test_type_errors_raised_inside_a_method_are_not_changed(fit):
    estimator = type("Own", (GaussianMixture,), {"fit": lambda self, X: fit(X)})()
    with pytest.raises(TypeError, match=r"^object of type 'int' has no len\(\)$"):
        estimator.fit(ROWS)
