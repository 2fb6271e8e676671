"""A mixture reads rows by the engine that it was given, and so do the mixtures made of it."""

import copy
import pickle

import numpy as np
import pytest
from reference_engine import ReferenceEngine

from gaussmix import FAMILIES, Mixture
from gaussmix.engines import choose
from gaussmix.mixture import base

LINE = Mixture([0.5, 0.5], [[0.0], [3.0]], [1.0, 2.0], FAMILIES["spherical"])
PLANE = Mixture([0.4, 0.6], [[0.0, 0.0], [3.0, 1.0]], [np.eye(2) + 0.5, np.eye(2)], FAMILIES["full"], ["a", "b"])
ROWS = np.array([[0.5, 0.25], [2.0, -1.0]])

READ_ROWS = {
    "component_log_density": lambda m: m.component_log_density(ROWS),
    "condition": lambda m: m.condition({"a": 1.0}),
    "conditional_covariance": lambda m: m.conditional_covariance(ROWS[:, :1], "a"),
    "conditional_mean": lambda m: m.conditional_mean(ROWS[:, :1], "a"),
    "conditional_weights": lambda m: m.conditional_weights(ROWS[:, :1], "a"),
    "decision_boundary": lambda m: m.marginal("a").decision_boundary(),
    "entropy": lambda m: m.entropy(n_draws=100).value,
    "gradient": lambda m: m.gradient(ROWS),
    "hessian": lambda m: m.hessian(ROWS),
    "highest_density_level": lambda m: m.highest_density_level([0.0, 0.5], n_points=256),
    "in_highest_density_region": lambda m: m.in_highest_density_region(ROWS, 0.5, n_points=256),
    "js": lambda m: m.js(PLANE.convolve(1.0), n_draws=100).value,
    "kl": lambda m: m.kl(PLANE.convolve(1.0), n_draws=100).value,
    "log_density": lambda m: m.log_density(ROWS),
    "log_tail_probability": lambda m: m.log_tail_probability(ROWS),
    "logpdf": lambda m: m.logpdf(ROWS),
    "modes": lambda m: m.modes().places,
    "pdf": lambda m: m.pdf(ROWS),
    "predict": lambda m: m.predict(ROWS),
    "responsibilities": lambda m: m.responsibilities(ROWS),
    "rvs": lambda m: m.rvs(3, 0),
    "sample": lambda m: m.sample(3, 0)[0],
    "sample_conditional": lambda m: m.sample_conditional(ROWS[:, :1], "a", 0),
    "tail_probability": lambda m: m.tail_probability(ROWS),
}
# These have closed forms, or quasi-Monte Carlo points that no engine reads.
READ_NONE = {
    *("cdf", "log_cdf", "probability", "log_probability", "quantile", "moments", "mean", "covariance"),
    *("distance", "entropy_bounds", "kl_bounds", "kl_variational", "match_to", "reduce", "sorted"),
    *("marginal", "transform", "convolve", "product", "concatenate", "with_feature_names"),
    *("of", "from_dict", "from_parameters", "from_sklearn", "from_torch", "from_cuvs"),
    *("load", "save", "to_dict", "to_sklearn"),
    *("family", "feature_names", "model", "n_components", "n_features", "n_parameters", "parameters", "whitening"),
    *("noise", "without_noise", "std", "interval"),
}


class Recording:
    """The NumPy engine; `asked` holds the methods that were called."""

    def __init__(self):
        self.asked, self.real = [], ReferenceEngine()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        self.asked.append(name)
        return getattr(self.real, name)


@pytest.fixture
def engine(monkeypatch):
    def choose_none(n_jobs=None):
        raise AssertionError("the engine of this machine was taken")

    monkeypatch.setattr(base, "choose", choose_none)
    return Recording()


def test_every_method_is_known_to_read_rows_or_not():
    assert {name for name in dir(Mixture) if not name.startswith("_")} == {*READ_ROWS, *READ_NONE}


@pytest.mark.parametrize("name", READ_ROWS)
def test_a_method_that_reads_rows_takes_the_engine_that_was_given(name, engine):
    given = READ_ROWS[name](Mixture.of(PLANE.model, PLANE.feature_names, engine))
    assert engine.asked
    if isinstance(given, Mixture):
        assert (given.weights.shape, given.means.shape) == ((2,), (2, 1))
    else:
        assert np.isfinite(given).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda m: m.marginal(["b", "a"]),
        lambda m: m.condition({"a": 1.0}),
        lambda m: m.transform(np.eye(2)),
        lambda m: m.convolve(1.0),
        lambda m: m.product(m),
        lambda m: Mixture.concatenate([m, m], [0.5, 0.5]),
        lambda m: m.sorted(),
        lambda m: m.match_to(m),
        lambda m: m.reduce(1),
        lambda m: m.with_feature_names(None),
    ],
)
def test_a_mixture_made_of_another_has_its_engine(make, engine):
    made = make(Mixture.of(PLANE.model, PLANE.feature_names, engine))
    engine.asked.clear()
    made.log_density(ROWS[:, : made.n_features])
    assert engine.asked == ["log_density"]


def test_without_one_it_takes_the_engine_of_this_machine_with_the_threads_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(base, "choose", lambda n_jobs=None: asked.append(n_jobs) or choose(n_jobs))
    LINE.log_density([[0.0]], n_jobs=1)
    LINE.predict([[0.0]])
    assert asked == [1, None]


def test_copies_keep_the_engine():
    mixture = Mixture.of(LINE.model, None, ReferenceEngine())
    for other in copy.deepcopy(mixture), pickle.loads(pickle.dumps(mixture)):
        assert isinstance(other._engine(), ReferenceEngine)
