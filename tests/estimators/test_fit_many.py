"""`fit_many` equals the fits of the single groups bit for bit, and reports failures by key."""

import copy
import pickle
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.exceptions import ConvergenceWarning

from gaussmix import (
    FAMILIES,
    BayesianGaussianMixture,
    FactorAnalyzer,
    GaussianMixture,
    InvalidModelFileError,
    Mixtures,
    fit_many,
)
from gaussmix._src.formats.envelope import MIXTURES_FORMAT, pack, unpack

PLAIN = {"init_params": "kmeans"}  # initialisation for which the core makes whole fits


def make_groups(rng, n_groups, n_rows, n_features):
    centres = rng.normal(0, 3, size=(n_groups, 2, n_features))
    labels = rng.integers(2, size=(n_groups, n_rows))
    noise = rng.normal(size=(n_groups, n_rows, n_features))
    return [noise[i] + centres[i][labels[i]] for i in range(n_groups)]


def fit_quietly(groups, *arguments, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit_many(groups, *arguments, **PLAIN | parameters)


def assert_equals_single_fits(groups, n_components, weights=None, **parameters):
    """Check that every group has the mixture, the outcome or the error message of the estimator."""
    mixtures = fit_quietly(groups, n_components, sample_weight=weights, random_state=3, **parameters)
    for index, rows in enumerate(groups):
        estimator = GaussianMixture(n_components, random_state=3, **PLAIN | parameters)
        weight = None if weights is None else weights[index]
        sentence = ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                estimator.fit(rows, sample_weight=weight)
            except (ValueError, TypeError) as error:
                sentence = str(error)
        assert mixtures.errors.get(index, "") == sentence
        if sentence:
            continue
        assert mixtures[index] == estimator.mixture_
        assert mixtures.converged[index] == estimator.converged_
        assert mixtures.n_iter[index] == estimator.n_iter_
        assert mixtures.lower_bound[index] == estimator.lower_bound_
    return mixtures


@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("name", FAMILIES)
def test_fit_many_equals_the_fits_of_single_groups(name, n_features, rng):
    if name == "factor_analyzer" and n_features == 1:
        pytest.skip("a factor analyser needs two features")
    groups = make_groups(rng, 4, 100, n_features)
    assert_equals_single_fits(groups, 3, covariance_type=name)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_fit_many_supports_all_dtypes_equal_rows_and_weights(dtype, is_weighted, rng):
    """Check groups of rounded rows, many of which are equal, with weights of different size, some of them 0."""
    groups = [(3 * rows).round().astype(dtype) for rows in make_groups(rng, 6, 150, 2)]
    weights = [rng.gamma(1.0, size=150) * 10.0**size * (rng.random(150) < 0.8) for size in range(-3, 3)]
    assert_equals_single_fits(groups, 3, weights if is_weighted else None)


@pytest.mark.parametrize(
    "parameters",
    [
        {"reg_covar": 0.0},
        {"reg_covar": 0.01},
        {"init_params": "k-means++"},
        {"max_iter": 1},
        {"max_iter": 3, "tol": 0.0},
        {"tol": 1e-8, "max_iter": 500},
        {"max_iter": 0},
        {"n_init": 2},
        {"n_init": 3, "covariance_type": "VEV", "init_params": "k-means++"},
        {"init_params": "search"},
        {"init_params": "auto"},
        {"acceleration": "auto", "tol": 1e-8, "max_iter": 500},
        {"init_params": "random"},
        {"init_params": ["kmeans", "hierarchical"]},
    ],
    ids=str,
)
def test_fit_many_with_other_parameters_equals_the_fits_of_single_groups(parameters, rng):
    assert_equals_single_fits(make_groups(rng, 4, 80, 2), 2, **parameters)


def test_fit_many_supports_many_features_and_few_rows(rng):
    assert_equals_single_fits(make_groups(rng, 3, 120, 12), 3)
    assert_equals_single_fits([rows for n_rows in (2, 3, 4, 6, 10) for rows in make_groups(rng, 3, n_rows, 2)], 2)


def test_fit_many_fits_or_reports_unusual_groups_as_fit_does(rng):
    """Check that each unusual group is fitted or raises an error, as with the estimator."""
    groups = make_groups(rng, 13, 40, 2)
    groups[0][5, 1] = np.nan  # a missing value, which can be fitted
    groups[1][0, 0] = np.inf
    groups[2] = groups[2][:1]
    groups[3] = groups[3][:0]
    groups[4][:, 1] = 7.0
    groups[5][:] = groups[5][0]
    groups[6][:] = groups[6][rng.integers(2, size=40)]
    groups[7] *= 1e160
    groups[8] *= 1e-160
    groups[9][0] = 1e12
    groups[10] = groups[10] + 1e9
    groups[11] = groups[11].tolist()
    mixtures = assert_equals_single_fits(groups, 3)
    assert sorted(mixtures.errors) == [1, 2, 3, 7, 8]
    message = "Input X contains infinity: row 0, column 0 (counted from 0). Remove or fill such rows first."
    assert mixtures.errors[1] == message
    assert np.isnan(mixtures.weights[1]).all()
    assert mixtures.n_iter[1] == 0


def test_invalid_weights_are_an_error_of_their_group_alone(rng):
    weights = np.ones((6, 50))
    weights[0, 3], weights[1, 4], weights[2], weights[3, 0], weights[4, 2:] = np.nan, -1.0, 0.0, 1e151, 0.0
    groups = make_groups(rng, 6, 50, 2)
    mixtures = assert_equals_single_fits(groups, 3, list(weights))
    assert sorted(mixtures.errors) == [0, 1, 2, 3, 4]
    table, offsets = np.concatenate(groups), np.arange(0, 301, 50)
    together = fit_quietly(table, 3, offsets=offsets, sample_weight=weights.ravel(), random_state=3)
    assert together.errors == mixtures.errors | {1: mixtures.errors[1].replace("row 4", "row 54")}


def test_all_groups_have_the_same_seed_if_random_state_is_not_an_integer(rng):
    (rows,) = make_groups(rng, 1, 100, 2)
    for random_state in None, np.random.RandomState(5):
        mixtures = fit_quietly([rows] * 5, 4, random_state=random_state)
        assert all(mixture == mixtures[0] for mixture in mixtures)
    draws = [fit_quietly([rows], 6, random_state=np.random.RandomState(seed))[0] for seed in range(5)]
    assert any(draw != draws[0] for draw in draws)


# The forms in which groups can be given.


@pytest.fixture
def table(rng):
    """Return rows of three groups in mixed order, with a column of text between two numeric columns, and weights."""
    frame = pd.DataFrame(rng.normal(size=(120, 2)), columns=["a", "b"])
    frame.insert(1, "sensor", rng.choice(["north", "west", "east"], size=120))
    return frame, rng.random(120)


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_data_frames_are_grouped_by_a_column(library, is_weighted, table):
    frame, weight = table
    data = {"pandas": frame, "polars": pl.from_pandas(frame), "arrow": pa.Table.from_pandas(frame)}[library]
    mixtures = fit_many(data, 2, by="sensor", sample_weight=weight if is_weighted else None, random_state=0)
    assert mixtures.keys == tuple(frame["sensor"].unique())
    assert mixtures.feature_names == ("a", "b")
    for key, mixture in mixtures.items():
        is_in_group = (frame["sensor"] == key).to_numpy()
        alone = GaussianMixture(2, random_state=0)
        alone.fit(frame.loc[is_in_group, ["a", "b"]], sample_weight=weight[is_in_group] if is_weighted else None)
        assert mixture == alone.mixture_
        assert mixtures.get_mixture(key) == mixture


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_predict_and_log_density_evaluate_each_row_under_the_mixture_of_its_group(library, table):
    frame, _ = table
    mixtures = fit_many(frame, 2, by="sensor", random_state=0)
    wanted = {key: mixture.log_density(frame[["a", "b"]]) for key, mixture in mixtures.items()}
    labels = {key: mixture.predict(frame[["a", "b"]]) for key, mixture in mixtures.items()}
    reordered = frame[["b", "sensor", "a"]].assign(text="ignored")
    data = {"pandas": reordered, "polars": pl.from_pandas(reordered), "arrow": pa.Table.from_pandas(reordered)}[library]
    assert mixtures.log_density(data, by="sensor").tolist() == [
        wanted[key][row] for row, key in enumerate(frame["sensor"])
    ]
    assert mixtures.predict(data, "sensor").tolist() == [labels[key][row] for row, key in enumerate(frame["sensor"])]
    assert mixtures.predict(data[:0], "sensor").shape == (0,)


def test_predict_without_feature_names_uses_all_columns_except_the_keys(rng):
    rows = rng.normal(size=(2, 40, 2))
    mixtures = fit_many(list(rows), 2, random_state=0)
    frame = pd.DataFrame({"x": rows[:, 0, 0], "group": [0, 1], "y": rows[:, 0, 1]})
    expected = [mixtures[i].log_density(rows[i, :1])[0] for i in range(2)]
    assert mixtures.log_density(frame, by="group").tolist() == expected


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (
            lambda frame: frame.to_numpy(),
            TypeError,
            r"^Pass a data frame and by=, the name of its column of keys\. For",
        ),
        (lambda frame: frame[["a", "b"]], ValueError, r"by='sensor' is not a column of the data frame\."),
        (lambda frame: frame.assign(sensor=[[1]] * 120), TypeError, r"Column 'sensor' contains \[1\], which can't be"),
        (lambda frame: frame[["a", "sensor"]], ValueError, r"has no column 'b', which the mixtures need\.$"),
        (
            lambda frame: frame.assign(sensor="moon"),
            ValueError,
            r"^Row 0 cannot be evaluated\. No group has the key 'moon'\. The first key is '\w+'\.$",
        ),
        (
            lambda frame: frame.assign(sensor=["north", "roof"] * 60),
            ValueError,
            r"^Row 1 cannot be evaluated\. Group 'roof' has no mixture: Found array with 1 sample\(s\)",
        ),
        (lambda frame: frame.assign(sensor=None), ValueError, "Column 'sensor' has no value in row 0"),
        (
            lambda frame: frame.assign(b=np.nan),
            ValueError,
            r"The data frame contains NaN: row 0 \(counted from 0\), column 'b'\. Remove",
        ),
    ],
)
def test_predict_names_the_row_or_the_column_that_it_cannot_evaluate(change, error, match, table):
    frame, _ = table
    lonely = pd.DataFrame({"a": [0.0], "sensor": ["roof"], "b": [0.0]})
    with pytest.warns(RuntimeWarning, match="could not be fitted"):
        mixtures = fit_many(pd.concat([frame, lonely]), 2, by="sensor", random_state=0)
    with pytest.raises(error, match=match):
        mixtures.predict(change(frame), by="sensor")


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("structure", ["full", "tied", "spherical", "EII", FactorAnalyzer(1)], ids=str)
def test_bic_chooses_the_number_of_components_of_each_group(structure, is_weighted, rng, tmp_path):
    centres = 8 * np.arange(3)[:, None]
    groups = {n: np.concatenate([rng.normal(size=(40, 3)) + centre for centre in centres[:n]]) for n in (1, 2, 3)}
    weights = {n: rng.integers(1, 4, len(rows)) if is_weighted else np.ones(len(rows)) for n, rows in groups.items()}
    chosen = fit_quietly(groups, [2, 4, 1, 3], covariance_type=structure, sample_weight=weights, random_state=0)
    counts = []
    for key, rows in groups.items():
        fits = [GaussianMixture(k, covariance_type=structure, random_state=0, **PLAIN) for k in range(1, 5)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fits = [fit.fit(rows, sample_weight=weights[key]) for fit in fits]
        reliable = [fit for fit in fits if not fit.outcome_.diagnostics]
        best = min(reliable, key=lambda fit: fit.bic(rows, weights[key]))
        assert chosen.get_mixture(key) == best.mixture_
        assert chosen.lower_bound[key - 1] == best.lower_bound_
        counts.append(best.mixture_.n_components)
    assert len(set(counts)) > 1
    assert chosen.n_components.tolist() == counts
    assert f"K={min(counts)}–{max(counts)}" in repr(chosen)
    assert chosen.tidy()["component"].tolist() == [k for count in counts for k in range(count)]
    chosen.save(tmp_path / "many.gmm")
    assert Mixtures.load(tmp_path / "many.gmm") == chosen


def test_bic_chooses_the_numbers_of_components_of_groups_of_a_data_frame(table):
    frame, weight = table
    chosen = fit_many(frame, [1, 2], by="sensor", sample_weight=weight, random_state=0)
    for key, rows in frame.groupby("sensor"):
        arguments = rows[["a", "b"]], weight[rows.index]
        fits = [GaussianMixture(k, random_state=0) for k in (1, 2)]
        assert (
            chosen.get_mixture(key)
            == min(fits, key=lambda fit: fit.fit(arguments[0], sample_weight=arguments[1]).bic(*arguments)).mixture_
        )


def test_bic_prefers_fits_that_do_not_depend_on_reg_covar(rng):
    rows = rng.normal(size=(12, 2))
    with pytest.warns(RuntimeWarning, match="rest"):
        fits = [GaussianMixture(k, random_state=0).fit(rows) for k in (1, 5)]
    assert fits[1].bic(rows) < fits[0].bic(rows)  # because components collapse onto few rows
    with pytest.warns(RuntimeWarning, match="1 of 3 groups"):
        chosen = fit_many([rows, rows[:1], np.ones((9, 2))], [5, 1], random_state=0)
    assert chosen.n_components.tolist() == [1, 0, 1]
    assert chosen.errors.keys() == {1}
    assert chosen.notes.keys() == {2}
    assert chosen[0] == fits[0].mixture_
    # An explicit `reg_covar` gives no warning.
    assert GaussianMixture(5, reg_covar=1e-6, random_state=0).fit(rows).outcome_.diagnostics != []
    assert fit_many([rows], [5, 1], reg_covar=1e-6, random_state=0).n_components.tolist() == [1]


def test_tidy_equals_the_tables_of_single_fits_and_leaves_out_groups_without_a_mixture(rng):
    groups = {
        name: pd.DataFrame(rng.normal(size=(n, 2)), columns=["u", "v"])
        for name, n in zip("abc", (40, 1, 50), strict=True)
    }
    with pytest.warns(RuntimeWarning, match="could not be fitted"):
        actual = fit_many(groups, 2, covariance_type="tied", random_state=0).tidy()
    columns = ["component", "weight", "mean_u", "sd_u", "mean_v", "sd_v"]
    fits = [GaussianMixture(2, covariance_type="tied", random_state=0).fit(groups[name]) for name in "ac"]
    expected = pd.concat([fit.tidy()[columns] for fit in fits], ignore_index=True)
    expected.insert(0, "group", [*"aacc"])
    pd.testing.assert_frame_equal(actual, expected, check_exact=True)
    with pytest.warns(RuntimeWarning, match="could not be fitted"):
        assert fit_many([groups["b"]], 2).tidy().shape == (0, 7)
    assert fit_many({1: groups["a"], "c": groups["c"]}).tidy()["group"].tolist() == ["1", "c"]


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_the_error_of_a_group_names_the_column_and_the_row(library, table):
    frame, _ = table
    first = frame.index[frame["sensor"] == "west"][0]
    frame.loc[first, "b"] = np.inf
    as_arrow = pa.Table.from_pandas(frame, preserve_index=False)
    data = {"pandas": frame, "polars": pl.from_pandas(frame), "arrow": as_arrow}
    mixtures = fit_quietly(data[library], 2, by="sensor", random_state=0)
    assert list(mixtures.errors) == ["west"]
    assert f"row {first} (counted from 0), column 'b'" in mixtures.errors["west"]


def test_offsets_divide_an_array_into_groups(rng):
    rows, weight = rng.normal(size=(100, 2)), rng.random(100)
    offsets = [0, 30, 30, 70, 100]
    mixtures = fit_quietly(rows, 2, offsets=offsets, sample_weight=weight, random_state=0)
    parts = [slice(first, last) for first, last in pairwise(offsets)]
    assert list(mixtures.errors) == [1]
    for index in 0, 2, 3:
        alone = GaussianMixture(2, random_state=0, **PLAIN).fit(rows[parts[index]], sample_weight=weight[parts[index]])
        assert mixtures[index] == alone.mixture_
    strided = np.asfortranarray(np.repeat(rows, 2, axis=1))[:, ::2]
    again = fit_quietly(strided, 2, offsets=offsets, sample_weight=weight, random_state=0)
    assert again.means.tobytes() == mixtures.means.tobytes()


def test_weights_in_a_dictionary_are_assigned_to_groups_by_key(rng):
    groups = dict(zip("xyz", make_groups(rng, 3, 60, 2), strict=True))
    weights = {key: rng.random(60) for key in "zyx"}
    mixtures = fit_many(groups, 2, sample_weight=weights, random_state=0)
    assert mixtures.keys == ("x", "y", "z")
    alone = GaussianMixture(2, random_state=0).fit(groups["y"], sample_weight=weights["y"])
    assert mixtures.get_mixture("y") == alone.mixture_


def test_data_frames_in_a_list_need_the_same_columns(rng):
    frames = [pd.DataFrame(rows, columns=["a", "b"]) for rows in make_groups(rng, 3, 60, 2)]
    frames[1] = frames[1][["b", "a"]]
    mixtures = fit_quietly(frames, 2, random_state=0)
    assert mixtures.feature_names == ("a", "b")
    assert mixtures.errors == {1: "Its columns are 'b', 'a', but the columns of the first group are 'a', 'b'."}


def test_a_group_with_another_number_of_columns_is_reported_by_key(rng):
    groups = make_groups(rng, 4, 30, 2)
    groups[0] = rng.normal(size=(30, 3))
    groups[2] = np.ma.masked_array(rng.normal(size=(30, 4)), False)  # only the estimator supports masked arrays
    mixtures = fit_quietly(groups, 2, random_state=0)
    sentence = "It has {} columns, but the other groups have 2. All groups need the same columns."
    assert mixtures.errors == {0: sentence.format(3), 2: sentence.format(4)}
    no_plain = [np.ma.masked_array(rng.normal(size=(30, width)), False) for width in (2, 1)]
    assert "It has 1 column, but the other groups have 2." in fit_quietly(no_plain, 1, random_state=0).errors[1]


@pytest.mark.parametrize(
    ("groups", "options", "error", "match"),
    [
        ([], {}, ValueError, "groups is empty"),
        (np.zeros((4, 2)), {}, ValueError, "Pass offsets="),
        (pd.DataFrame({"a": [1.0, 2.0]}), {}, ValueError, "Pass by="),
        (pd.DataFrame({"a": [1.0, 2.0]}), {"by": "b"}, ValueError, "by='b' is not a column"),
        (pd.DataFrame({"a": [1.0, 2.0], "k": ["x", None]}), {"by": "k"}, ValueError, "no value in row 1"),
        (pd.DataFrame({"a": [1.0, 2.0], "k": [1, pd.NA]}), {"by": "k"}, ValueError, "no value in row 1"),
        ([np.zeros((4, 2))], {"by": "b"}, TypeError, "data frame"),
        (
            pd.DataFrame(np.zeros((4, 2))),
            {"by": np.zeros(4)},
            TypeError,
            r"by must be the name of a column .*, not the values",
        ),
        (np.zeros((4, 2)), {"offsets": [0, 5]}, ValueError, "rise from 0 to the number of rows, 4"),
        (np.zeros((4, 2)), {"offsets": [0, 3, 2, 4]}, ValueError, r"offsets\[1\] is 3 and offsets\[2\] is 2"),
        (np.zeros((4, 2)), {"offsets": [0.0, 4.0]}, ValueError, "must be integers"),
        (np.zeros((4, 2)), {"offsets": np.ma.array([0, 2, 4], mask=[0, 1, 0])}, ValueError, "must be integers"),
        ("rows.csv", {}, TypeError, "tables in memory"),
        (pd.Series([1.5, 2.0]), {}, TypeError, "but group 0 is 1.5. Pass arrays or data frames."),
        (["abc"], {}, TypeError, "tables in memory, but group 0 is 'abc'"),
        ({"a": b"abc"}, {}, TypeError, "tables in memory, but group 'a' is b'abc'"),
        (pd.DataFrame({"a": [1.0, 2.0], "k": [0, 1]}), {"by": "k", "offsets": [0, 2]}, ValueError, "only one of them"),
        (3, {}, TypeError, "list of arrays"),
        (pd.DataFrame({"a": [1.0]}).groupby("a"), {}, TypeError, "a data frame with by=, not DataFrameGroupBy"),
        ([np.zeros((4, 2))], {"sample_weight": [[1.0] * 4] * 2}, ValueError, "dict with the weights of 1 group"),
        ({"a": np.zeros((4, 2))}, {"sample_weight": {"b": [1.0] * 4}}, ValueError, "the same keys"),
        (np.zeros((4, 2)), {"offsets": [0, 4], "sample_weight": [1.0]}, ValueError, "one number for each row"),
        (pd.DataFrame({"a": [1.0], "k": 0}), {"by": "k", "sample_weight": "w"}, ValueError, "sample_weight='w' is"),
        ([["a"], ["b"]], {}, ValueError, "No group could be fitted. Group 0: "),
    ],
)
def test_invalid_groups_are_rejected(groups, options, error, match):
    with pytest.raises(error, match=match):
        fit_many(groups, **options)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"n_components": 0}, "n_components"),
        ({"n_components": [2, 0]}, "n_components"),
        ({"n_components": []}, "n_components"),
        ({"warm_start": True}, "warm_start"),
        ({"checkpoint": "fit.checkpoint"}, "checkpoint"),
        ({"verbose": 1}, "verbose"),
        ({"callbacks": [print]}, "fit_many does not support callbacks"),
        ({"max_time": 1}, "fit_many does not support max_time"),
        ({"noise": True}, "fit_many does not support noise"),
        ({"label_components": {"a": [0]}}, "fit_many does not support label_components"),
        ({"labels": [[0, 1, 0, 1]]}, "fit_many does not support labels"),
        ({"X_error": [[1.0, 1.0]]}, "fit_many does not support X_error"),
        ({"degenerate": "drop"}, "fit_many does not support degenerate='drop'"),
        ({"means_init": [[0.0, 0.0]]}, "means_init"),
        ({"init_params": np.zeros(4, int)}, "init_params"),
        ({"covariance_type": "fuII"}, "covariance_type"),
        ({"random_state": -1}, "random_state"),
        ({"covariance_type": "E"}, "one feature"),
        ({"covariance_type": FactorAnalyzer(2)}, "factors"),
    ],
)
def test_fit_many_rejects_invalid_and_unsupported_parameters(parameters, match):
    with pytest.raises(ValueError, match=match):
        fit_many([np.zeros((4, 2))], **parameters)


@pytest.mark.parametrize("key", [float("inf"), -float("inf"), float("nan"), (1, 2)], ids=str)
def test_save_rejects_keys_that_a_file_cannot_contain(key, rng, tmp_path):
    mixtures = fit_many({key: rng.normal(size=(30, 2))}, 1)
    with pytest.raises(ValueError, match=r"The key .* can.t be saved in a file: keys must be text or finite numbers"):
        mixtures.save(tmp_path / "k.gmm")
    assert not (tmp_path / "k.gmm").exists()


def test_files_contain_integer_keys_from_an_array(rng, tmp_path):
    groups = {key: rng.normal(size=(30, 2)) for key in np.array([7, 8])}
    mixtures = fit_many(groups, 1, sample_weight=dict.fromkeys(groups, np.ones(30)))
    assert [type(key) for key in mixtures.keys] == [int, int]
    mixtures.save(tmp_path / "k.gmm")
    assert Mixtures.load(tmp_path / "k.gmm").keys == (7, 8)


def test_mixtures_are_equal_if_and_only_if_all_their_fields_are(rng, tmp_path):
    groups = {"a": rng.normal(size=(40, 2)), "b": rng.normal(size=(1, 2)), "c": rng.normal(size=(40, 2)) + 5}
    found = fit_quietly(groups, 2, random_state=0)
    assert "b" in found.errors
    found.save(tmp_path / "m.gmm")
    for same in (
        fit_quietly(groups, 2, random_state=0),
        pickle.loads(pickle.dumps(found)),
        copy.deepcopy(found),
        Mixtures.load(tmp_path / "m.gmm"),
    ):
        assert found == same
        assert hash(found) == hash(same)
    means = np.array(found.means)
    means[0, 0, 0] += 1e-9
    for other in (
        replace(found, means=means),
        replace(found, keys=("a", "b", "d"), notes={}),
        replace(found, errors={"b": "Another reason."}),
        replace(found, notes={"a": ("Another note.",)}),
        replace(found, n_iter=found.n_iter + 1),
        replace(found, feature_names=("p", "q")),
        fit_quietly(groups, 2, covariance_type="diag", random_state=0),
        list(found.keys),
    ):
        assert found != other


# Warnings about groups.


def test_one_warning_counts_the_groups_that_did_not_converge(rng):
    groups = dict(zip("abcdefgh", make_groups(rng, 8, 80, 2), strict=True))
    with pytest.warns(ConvergenceWarning, match=r"^8 of 8 groups \('a', 'b', 'c', 'd', 'e', …\) did not") as caught:
        mixtures = fit_many(groups, 2, max_iter=1, random_state=0)
    assert len(caught) == 1
    assert not mixtures.converged.any()


def test_one_warning_counts_the_groups_that_failed(rng):
    groups = make_groups(rng, 4, 30, 2)
    groups[1], groups[3] = groups[1][:1], groups[3][:1]
    with pytest.warns(RuntimeWarning, match=r"^2 of 4 groups \(1, 3\) could not be fitted\. Group 1: Found") as caught:
        fit_many(groups, 2, random_state=0)
    assert len(caught) == 1


@pytest.mark.parametrize(("reg_covar", "scale"), [("auto", 0.0), (0.0, 1e-7)], ids=["constant", "nearly singular"])
def test_notes_contain_the_warnings_of_the_estimator(reg_covar, scale, rng):
    groups = make_groups(rng, 3, 60, 2)
    groups[2][:, 1] = scale * groups[2][:, 1] + (groups[2][:, 0] if scale else 0.0)
    with pytest.warns(RuntimeWarning, match=r"^1 of 3 groups \(2\) was fitted with a warning\. Group 2: ") as caught:
        mixtures = fit_many(groups, 2, random_state=0, reg_covar=reg_covar)
    with pytest.warns(RuntimeWarning) as expected:
        GaussianMixture(2, random_state=0, reg_covar=reg_covar).fit(groups[2])
    assert len(caught) == 1
    assert {key: list(each) for key, each in mixtures.notes.items()} == {2: [str(each.message) for each in expected]}


@pytest.mark.parametrize("n_jobs", [1, 2], ids="{} threads".format)
def test_notes_contain_the_warnings_of_bayesian_fits_in_all_threads(n_jobs, rng):
    groups = make_groups(rng, 3, 60, 2)
    groups[2][:, 1] = 0.0
    estimator = BayesianGaussianMixture(2, random_state=0, n_jobs=n_jobs)
    with pytest.warns(RuntimeWarning, match=r"^1 of 3 groups \(2\) was fitted with a warning\. Group 2: Col") as caught:
        assert list(fit_many(groups, estimator=estimator).notes) == [2]
    assert len(caught) == 1


def test_notes_contain_the_warnings_of_a_callable_init_params(rng):
    def initialise(rows, n_components, random_state):
        warnings.warn("few rows", UserWarning, stacklevel=1)
        return np.eye(n_components)[np.arange(len(rows)) % n_components]

    mixtures = fit_quietly(make_groups(rng, 2, 40, 2), 2, init_params=initialise, random_state=0)
    assert [notes[0] for notes in mixtures.notes.values()] == ["few rows"] * 2


@pytest.mark.parametrize("kind", [GaussianMixture, BayesianGaussianMixture])
def test_the_warning_about_structures_of_one_feature_appears_once(kind, rng):
    groups = [*make_groups(rng, 3, 40, 1), np.full((40, 1), np.nan)]
    with pytest.warns(RuntimeWarning) as caught:
        fit_many(groups, estimator=kind(2, covariance_type="EVI", random_state=0))
    assert ["for one feature" in str(each.message) for each in caught] == [True, False]


# The result of `fit_many`.


@pytest.fixture
def mixtures(rng):
    groups = dict(zip(["a", 2, 0.5, "d"], make_groups(rng, 4, 60, 2), strict=True))
    groups[2] = groups[2][:1]
    groups["d"][:, 0] = 1.0
    return fit_quietly(groups, 2, random_state=0)


def test_mixtures_support_len_indexing_slicing_and_items(mixtures):
    assert len(mixtures) == 4
    assert mixtures[-1] == mixtures[3] == mixtures["d"] == mixtures.get_mixture("d")
    assert mixtures[0.5] == mixtures[np.int64(2)]
    assert mixtures[2:] == [mixtures[2], mixtures[3]]
    assert [key for key, _ in mixtures.items()] == ["a", 0.5, "d"]
    assert [key in mixtures for key in ("a", 2, "d", "b", mixtures["d"])] == [True, True, True, False, True]
    assert repr(mixtures) == "<Mixtures of 4 groups: K=2, 2 features, 'full'; 1 without a mixture>"
    with pytest.raises(IndexError, match="Index 4 is out of range for 4 groups"):
        mixtures[4]
    for get in lambda: mixtures["b"], lambda: mixtures.get_mixture("b"):
        with pytest.raises(KeyError, match="No group has the key 'b'"):
            get()
    for get in lambda: mixtures[1], lambda: mixtures.get_mixture(2):
        with pytest.raises(ValueError, match=r"^Group 2 has no mixture: Found array with 1 sample"):
            get()
    with pytest.raises(ValueError, match="read-only"):
        mixtures.means[0] = 0.0


@pytest.mark.parametrize("name", FAMILIES)
def test_save_and_load_keep_all_bits(name, rng, tmp_path):
    groups = make_groups(rng, 3, 60, 3)
    groups[1] = groups[1][:1]
    mixtures = fit_quietly(groups, 2, covariance_type=name, random_state=0)
    mixtures.save(tmp_path / "many.gmm")
    assert_same(Mixtures.load(tmp_path / "many.gmm"), mixtures)


def assert_same(found, expected):
    for name in ("weights", "means", "covariances", "lower_bound", "n_iter", "converged"):
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes()
    assert found.family == expected.family
    for name in ("keys", "errors", "feature_names"):
        assert getattr(found, name) == getattr(expected, name)
    found_notes, expected_notes = ({key: list(each) for key, each in some.notes.items()} for some in (found, expected))
    assert found_notes == expected_notes


def test_save_and_load_keep_keys_and_notes(mixtures, tmp_path):
    mixtures.save(tmp_path / "many.gmm")
    found = Mixtures.load(tmp_path / "many.gmm")
    assert_same(found, mixtures)
    assert list(found.notes) == ["d"]


def rewrite(path, modify):
    """Write the file again with changed contents and a valid checksum."""
    with path.open("rb") as file:
        header, tensors = unpack(file, MIXTURES_FORMAT)
    tensors = {name: np.array(tensor) for name, tensor in tensors.items()}
    modify(header, tensors)
    path.write_bytes(pack(header, tensors))


def set_at(name, index, value):
    def change(header, tensors):
        tensors[name][index] = value

    return change


def set_header(**values):
    return lambda header, tensors: header.update(values)


DAMAGE = {
    "a negative weight": (set_at("weights", (0, 0), -1.0), "in group 'a' weight 0 is negative"),
    "weights that sum to 2": (set_at("weights", (2, 0), 1.5), r"in group 0\.5 its weights sum"),
    "NaN": (set_at("means", (0, 0, 0), np.nan), "in group 'a' its means contain NaN"),
    "no symmetry": (set_at("covariances", (0, 1, 0, 1), 0.5), "group 'a' the covariance of component 1 is not symm"),
    "a singular matrix": (set_at("covariances", (3, 0), 0.0), "in group 'd' the covariance of component 0"),
    "half a step": (set_at("n_iter", 0, 0.5), "its 'n_iter' are not counts, or its 'converged' are not 0 or 1"),
    "no steps": (set_at("n_iter", 0, np.nan), "its 'n_iter' are not counts, or its 'converged' are not 0 or 1"),
    "half converged": (set_at("converged", 0, 0.5), "its 'n_iter' are not counts, or its 'converged' are not 0 or 1"),
    "too many keys": (set_header(keys=["a", "b", "c", "d", "e"]), "5 groups"),
    "equal keys": (set_header(keys=["a", "a", "c", "d"]), "have the same key"),
    "a list as key": (set_header(keys=[["a"], "b", "c", "d"]), "wrong type"),
    "no keys": (set_header(keys=None), "'keys' in the header"),
    "an error elsewhere": (set_header(errors=[[7, "?"]]), "an error or a note for a group that it lacks"),
    "an error without an index": (set_header(errors=[["a", "?"]]), "wrong type"),
    "a note that is not a list": (set_header(notes=[[3, "?"]]), "wrong type"),
    "no error": (set_header(errors=[]), "in group 2 its weights contain NaN"),
    "too many names": (set_header(feature_names=["a"]), "names 1 features"),
    "an unknown family": (set_header(family="XYZ"), "structure 'XYZ'"),
    "a later version": (set_header(version=2), "layout version 2"),
    "another tensor": (lambda header, tensors: tensors.pop("n_iter"), "required arrays are missing"),
    "another shape": (lambda header, tensors: tensors.update(means=tensors["means"][0]), "4 groups"),
    "a number": (lambda header, tensors: tensors.update(n_iter=np.float64(1.0)), "4 groups"),
    "other covariances": (lambda header, tensors: tensors.update(covariances=np.ones((4, 2))), "covariances have"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_load_names_the_damage_of_an_invalid_file(name, mixtures, tmp_path):
    change, match = DAMAGE[name]
    mixtures.save(tmp_path / "many.gmm")
    rewrite(tmp_path / "many.gmm", change)
    with pytest.raises(InvalidModelFileError, match=rf"many\.gmm is not a usable gaussmix model: .*{match}"):
        Mixtures.load(tmp_path / "many.gmm")


def test_load_names_the_function_that_reads_another_kind_of_file(mixtures, tmp_path):
    mixtures.save(tmp_path / "many.gmm")
    mixtures[0].save(tmp_path / "one.gmm")
    with pytest.raises(InvalidModelFileError, match=r"mixtures of many groups, which gaussmix\.Mixtures\.load reads"):
        type(mixtures[0]).load(tmp_path / "many.gmm")
    with pytest.raises(InvalidModelFileError, match=r"a single mixture, which gaussmix\.Mixture\.load reads"):
        Mixtures.load(tmp_path / "one.gmm")


def test_a_number_is_the_weight_of_all_rows(rng):
    table, offsets = rng.normal(size=(40, 2)), [0, 20, 40]
    one, all_rows = (fit_many(table, 2, offsets=offsets, sample_weight=w, random_state=0) for w in (3.0, [3.0] * 40))
    assert [*one.items()] == [*all_rows.items()]
