"""A model selection reports failures: how many candidates failed, why, and in which columns; also fits in threads."""

import threading
import time

import numpy as np
import pandas as pd
import pytest

from gaussmix import Full, GaussianMixture, GaussianMixtureClassifier, GaussianMixtureIC, NormalInverseWishart
from gaussmix._src.fit.parallel import map_parallel
from gaussmix._src.report.messages import CollapseWarning, SearchWarning


def search(X, **options):
    return GaussianMixtureIC([1, 2], covariance_type=["full", "EII"], random_state=0, **options).fit(X)


@pytest.fixture
def groups(rng):
    """Return two groups of 40 rows."""
    return np.concatenate([rng.normal(0, 1, size=(40, 2)), rng.normal(6, 1, size=(40, 2))])


def test_the_warning_names_linearly_dependent_columns(groups):
    frame = pd.DataFrame(groups, columns=["a", "b"]).assign(noise=np.sin(np.arange(80.0)))
    frame["sum"], frame["a in mm"] = frame["a"] + 2 * frame["b"] + 5, 1000 * frame["a"]
    with pytest.warns(SearchWarning) as caught:
        search(frame)
    assert (
        "Column 'sum' follows from columns 'a', 'b'. Column 'a in mm' follows from column 'a'. Leave them out"
        in str(caught[0].message)
    )


def test_the_warning_about_a_class_does_not_refer_to_results_that_a_classifier_lacks(groups):
    classifier = GaussianMixtureClassifier([1, 2], covariance_type=["full", "EII"], random_state=0)
    with pytest.warns(SearchWarning, match=r"^Class [01]: 2 of 4 candidates .* Leave out one .* BIC then depend\.$"):
        classifier.fit(np.c_[groups, groups[:, 0]], np.repeat([0, 1], 40))
    assert not hasattr(classifier, "results_")


def test_dependent_columns_are_named_only_for_structures_with_correlations(groups):
    with_outlier = np.r_[np.c_[groups, groups[:, 0]], [[1e9, 1e9, 1e9]]]  # the last row is alone in a component
    for structure, is_named in ("diag", False), ("full", True):
        with pytest.raises(ValueError, match="2 × singular covariance") as caught:
            GaussianMixtureIC([2, 3], covariance_type=structure, random_state=0).fit(with_outlier)
        assert ("Column 2 follows from column 0" in str(caught.value)) is is_named
        assert ("Row 80 (counted from 0) is so far from all other rows" in str(caught.value)) is is_named


@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
def test_warnings_name_isolated_rows(structure, rng):
    X = np.r_[rng.normal(size=(99, 2)), [[300.0, 300.0]]]
    named = r"Row 99 \(counted from 0\) is far from all other rows, so that .* Leave it out, or fit .* trim or noise\.$"
    with pytest.raises(ValueError, match=r"singular covariance.*Row 99 \(counted from 0\) is far from all other rows"):
        GaussianMixtureIC([2, 3], covariance_type=structure, random_state=0).fit(X)
    with pytest.warns(CollapseWarning, match="1 distinct row .*" + named):
        GaussianMixture(2, covariance_type="full", random_state=0).fit(X)
    with pytest.warns(CollapseWarning, match=r"Rows 99, 100, 101 and 1 more \(counted from 0\) are .* Leave them out"):
        GaussianMixture(2, random_state=0).fit(np.r_[X, [[300.0, 300.0]] * 3])
    with pytest.warns(CollapseWarning) as caught:
        GaussianMixture(40, random_state=0).fit(X[:99])
    assert "far from all other rows" not in str(caught[0].message)


def test_a_warning_names_a_column_with_many_zeros(rng):
    frame = pd.DataFrame(rng.normal(size=(300, 3)), columns=["income", "age", "debt"])
    frame["debt"] = frame["debt"].where(rng.random(300) < 0.3, 0.0)
    with pytest.warns(
        SearchWarning, match="collapsed onto .* Many values are 0 in column 'debt'. A component"
    ) as caught:
        fitted = GaussianMixtureIC([1, 2, 3], covariance_type=["full", "diag"], random_state=0).fit(frame)
    assert len(caught) == 1
    assert "- feature 'debt': the column has many zeros, so" in str(fitted.summary())
    weight = (frame["debt"] != 0).to_numpy(float)
    unweighted = GaussianMixtureIC([1, 12], covariance_type="full", random_state=0).fit(frame, sample_weight=weight)
    assert "has many zeros" not in str(unweighted.summary())


@pytest.mark.parametrize("structure", ["full", "tied", "diag"])
def test_a_warning_names_a_column_with_two_values_and_a_remedy(structure, rng):
    frame = pd.DataFrame({"income": rng.normal(size=300), "is member": rng.random(300) < 0.4})
    incomplete, message = frame.mask(frame > 1.5), "Only two values occur in column 'is member': labels, .* Leave"
    search = GaussianMixtureIC([1, 4], covariance_type=structure, random_state=0)
    with pytest.warns(SearchWarning, match=message):
        assert "- feature 'is member': the column has only two values, so" in str(search.fit(frame).summary())
    with pytest.warns(SearchWarning, match=message):
        search.fit(incomplete.astype(float))
    # The column is constant in each initial component, so that even a tied covariance is singular at once.
    parts = (2 * frame["is member"] + (frame["income"] > 0)).to_numpy()
    with pytest.raises(ValueError, match=message):
        GaussianMixture(4, covariance_type=structure, reg_covar=0, init_params=parts).fit(frame)


@pytest.mark.filterwarnings("default:.*rests? on reg_covar")
def test_columns_with_two_values_are_named_if_components_rest_on_reg_covar(rng):
    X, weight = np.c_[rng.normal(size=(300, 1)), rng.choice([-5.0, 5.0], (300, 4))], np.r_[0.0, np.ones(299)]
    X[0, 1] = 9.0
    with pytest.warns(CollapseWarning, match=r"two values occur in columns 1, 2, 3, 4 \(counted from 0\): labels"):
        GaussianMixture(8, random_state=0).fit(X, sample_weight=weight)


def test_columns_with_two_values_are_not_reported_for_a_common_variance_or_few_rows():
    for n_rows, structure in (80, "EII"), (8, "full"):
        with pytest.raises(ValueError, match="could not be fitted") as caught:
            GaussianMixtureIC(3, covariance_type=structure).fit(np.arange(n_rows)[:, None] % 2 * [9.0, 7.0])
        assert "two values" not in str(caught.value)


def test_too_few_rows_are_reported_without_naming_columns(rng):
    with pytest.raises(
        ValueError, match=r"15 rows can't determine .* If each row of X is a feature, transpose X"
    ) as caught:
        GaussianMixtureIC([1, 2], covariance_type="full").fit(rng.normal(size=(15, 20)))
    assert "Column" not in str(caught.value)


def test_too_few_rows_need_a_prior_with_a_scale(rng):
    rows = rng.normal(size=(15, 20))
    with pytest.raises(ValueError, match="15 rows can't determine") as caught:
        GaussianMixture(2, prior="default", random_state=0).fit(rows)
    assert "set the scale of a GaussianMixture's prior" in str(caught.value)
    gm = GaussianMixture(2, prior=NormalInverseWishart(scale=1.0), random_state=0).fit(rows)
    assert gm.outcome_.diagnostics == []


def test_a_failed_candidate_as_small_as_the_selected_one_causes_a_warning(groups):
    # Fits with three or more components collapse on these rows.
    spikes = np.concatenate([groups, np.repeat([[20.0, 20.0]], 30, axis=0)])
    with pytest.warns(SearchWarning, match="2 of 6 candidates could not be fitted: 2 × singular"):
        chosen = GaussianMixtureIC([3, 4], covariance_type=["VVV", "EEE", "EII"], random_state=0).fit(spikes)
    assert chosen.results_["failure"].count(None) < 6


def test_an_error_in_a_thread_is_raised_unchanged(rng):
    class Short(Full):
        algebra = None

        def n_parameters(self, n_components, n_features):
            assert threading.current_thread() is not threading.main_thread()
            raise MemoryError("no room")

    X = rng.normal(size=(1_000, 2))  # with fewer rows, candidates are fitted one at a time
    for _ in range(20):
        with pytest.raises(MemoryError, match="no room"):
            GaussianMixtureIC(range(1, 7), covariance_type=[Short(), "EII"], max_iter=1, n_jobs=3).fit(X)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_map_parallel_yields_each_result_when_it_is_ready(n_threads):
    """Check the order of results if the first item waits for the results of all others."""
    others_are_ready = threading.Event()

    def work(item, should_stop):
        assert not should_stop()
        if item == 0 and n_threads > 1:
            assert others_are_ready.wait(timeout=60)
        return item, threading.get_ident()

    done = []
    for result in map_parallel(work, range(9), n_threads):
        done.append(result)
        if len(done) == 8:
            others_are_ready.set()
    assert sorted(item for item, _ in done) == list(range(9))
    assert [item for item, _ in done].index(0) == (0 if n_threads == 1 else 8)
    assert (len({thread for _, thread in done} - {threading.get_ident()}) == 0) == (n_threads == 1)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_map_parallel_cancels_the_other_items(error):
    """Check that an error ends other candidates, which would run forever, and that waiting ones do not start."""
    started, items = threading.Event(), []

    def work(item, should_stop):
        items.append(item)
        if item == 0:
            started.wait()
            raise error("enough")
        started.set()
        while not should_stop():
            time.sleep(0.001)
        time.sleep(0.02)  # so that the last item is not reached before the others are cancelled

    with pytest.raises(error, match="enough"):
        list(map_parallel(work, range(40), 2))
    assert 39 not in items


def test_closing_the_iterator_of_map_parallel_stops_the_work():
    started, ended = threading.Event(), threading.Event()

    def work(item, should_stop):
        if item == 0:
            started.wait()
            return
        started.set()
        while not should_stop():
            time.sleep(0.001)
        ended.set()

    results = map_parallel(work, [0, 1], 2)
    assert next(results) is None
    results.close()
    assert ended.is_set()
