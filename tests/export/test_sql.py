"""Tests that exported SQL gives the results of gaussmix in DuckDB."""

import numpy as np
import pyarrow as pa
import pytest
from common import NoiseComponent

from gaussmix import FAMILIES, GaussianMixtureDetector, Mixture
from gaussmix.export import to_c, to_sql
from tests.export.conftest import mixture_of, shared

duckdb = pytest.importorskip("duckdb")


def run(query, **tables):
    """Return the result of a query of Arrow tables, column by column."""
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        found = connection.sql(query)
        return dict(zip(found.columns, map(list, zip(*found.fetchall(), strict=True)), strict=True))


def table_of(rows, names=None):
    names = names or [f"x{at}" for at in range(rows.shape[1])]
    return pa.table(dict(zip(names, rows.T.copy(), strict=True)))


@pytest.mark.heavy(n_default=7)
def test_exported_sql_equals_the_mixture(case):
    model, rows = case
    mixture, found = mixture_of(model), run(to_sql(model), data=table_of(rows))
    np.testing.assert_allclose(found["log_density"], mixture.log_density(rows), rtol=1e-12)
    responsibilities = np.transpose([found[f"probability_{k}"] for k in range(mixture.n_components)])
    np.testing.assert_allclose(responsibilities, mixture.responsibilities(rows), atol=1e-12)
    assert found["component"] == mixture.predict(rows).tolist()
    assert found["x0"] == rows[:, 0].tolist()
    if isinstance(model, GaussianMixtureDetector):
        assert found["outlier"] == (model.predict(rows) == -1).tolist()


def test_to_sql_uses_the_feature_names_or_the_passed_columns():
    mixture = Mixture.from_parameters([1.0], [[0.0, 1.0]], [[[1.0, 0.2], [0.2, 1.0]]], feature_names=['a "b"', "c"])
    rows = np.array([[0.5, 2.0], [1.0, -1.0]])
    expected = mixture.log_density(rows)
    assert run(to_sql(mixture), data=table_of(rows, ['a "b"', "c"]))["log_density"] == pytest.approx(expected)
    query = to_sql(mixture, "wells", ["p", "q"])
    assert run(query, wells=table_of(rows, ["p", "q"]))["log_density"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (["p"], r"^columns has 1 name for 2 features\.$"),
        ([1, 2], r"^columns must be text, not 1\.$"),
        (3, r"^columns must be a list of names, one for each feature, not 3\.$"),
        ("ab", r"^columns must be a list of names, one for each feature, not 'ab'\.$"),
        (["", "x"], r"^A column can't have the name '' in SQL: name a column for each feature in columns=\.$"),
    ],
)
def test_to_sql_rejects_invalid_columns(columns, sentence):
    with pytest.raises(ValueError, match=sentence):
        to_sql(shared("distant tied"), "wells", columns)


@pytest.mark.parametrize("table", [None, 5, " "])
def test_to_sql_rejects_a_table_that_is_not_sql_text(table):
    with pytest.raises(TypeError, match=r"^table must be SQL text, such as 'rows', not "):
        to_sql(shared("distant tied"), table)


def test_to_sql_accepts_any_table_name_or_a_query():
    mixture, rows = shared("distant tied"), np.array([[1.0, 2.0]])
    expected = pytest.approx(mixture.log_density(rows), rel=1e-12)
    for name in "joint", "largest", "compared", "shares", "row":  # names that the SQL uses itself
        assert run(to_sql(mixture, name), **{name: table_of(rows)})["log_density"] == expected
    for query in "(\n    SELECT 1.0 AS x0, 2.0 AS x1 -- one row\n)", f"(\n{to_sql(mixture)}\n)":
        assert run(to_sql(mixture, query), data=table_of(rows))["log_density"] == expected


@pytest.mark.parametrize("noise", [None, NoiseComponent(0.1, 3.0)], ids=["", "noise"])
def test_exported_sql_returns_null_for_rows_with_null(noise):
    weights = np.array([0.4, 0.6]) * (1.0 if noise is None else 0.9)
    mixture = Mixture(weights, np.array([[0.0], [1.0]]), np.ones((2, 1)), FAMILIES["diag"], noise=noise)
    found = run(to_sql(mixture), data=pa.table({"x0": [1.0, None]}))
    assert found["log_density"][1] is None
    assert found["component"][1] is None


@pytest.mark.heavy(n_default=1)
@pytest.mark.parametrize("taken", ["_joint_0", "joint_0", "_total", "total", "_largest", "largest", "top", "row"])
@pytest.mark.parametrize("structure", ["tied", "diag"])
def test_exported_sql_accepts_tables_with_any_other_column(structure, taken):
    covariances = {"tied": np.eye(2), "diag": np.ones((2, 2))}[structure]
    mixture = Mixture.from_parameters([0.5, 0.5], [[0.0, 0.0], [3.0, 3.0]], covariances, covariance_type=structure)
    rows = np.array([[1.0, 2.0], [0.0, 5.0]])
    table = table_of(rows).append_column(taken, pa.array([9.0, 5.0]))
    found = run(to_sql(mixture), data=table)
    assert found["log_density"] == pytest.approx(mixture.log_density(rows), rel=1e-12)
    assert found["component"] == mixture.predict(rows).tolist()
    assert found[taken] == [9.0, 5.0]
    assert list(found)[:3] == ["x0", "x1", taken]


def test_to_sql_rejects_names_that_differ_only_in_case():
    mixture = shared("distant tied").with_feature_names(["x", "X"])
    with pytest.raises(ValueError, match=r"'x' and 'X' are the same column in SQL.* columns="):
        to_sql(mixture, "t")
    with pytest.raises(ValueError, match="'a' and 'a' are the same column in SQL"):
        to_sql(mixture, "t", ["a", "a"])
    rows = np.array([[0.0, 100.0]])
    found = run(to_sql(mixture, "t", ["x", "X_1"]), t=table_of(rows, ["x", "X_1"]))
    assert found["log_density"] == pytest.approx(mixture.log_density(rows), rel=1e-12)
    rows, names = rows / 100, ["ä", "Ä"]  # DuckDB distinguishes the upper and the lower case of these letters
    found = run(to_sql(mixture.with_feature_names(names), "t"), t=table_of(rows, names))
    assert found["log_density"] == pytest.approx(mixture.log_density(rows), rel=1e-12)


def test_exports_write_a_changed_offset_as_a_python_float(rng):
    rows = rng.normal(size=(100, 2))
    detector = GaussianMixtureDetector().fit(rows)
    detector.offset_ = np.quantile(detector.score_samples(rows), 0.05)
    for text in (to_sql(detector), to_c(detector)):
        assert repr(float(detector.offset_)) in text
        assert "np." not in text
    assert run(to_sql(detector), data=table_of(rows))["outlier"] == (detector.predict(rows) == -1).tolist()


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_exported_sql_assigns_no_component_to_nan_and_infinity(structure):
    covariances = np.eye(2) if structure == "tied" else np.array([np.eye(2), 2 * np.eye(2)])
    mixture = Mixture.from_parameters([0.5, 0.5], [[0.0, 0.0], [3.0, 3.0]], covariances, covariance_type=structure)
    detector = GaussianMixtureDetector(2, random_state=0).fit(mixture.sample(500, rng=0)[0])
    rows = np.array([[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
    found = run(to_sql(mixture), data=table_of(rows))
    assert found["component"] == [0, None, None]
    assert np.isnan(found["log_density"]).tolist() == [False, True, False]
    assert found["log_density"][2] == -np.inf
    assert run(to_sql(detector), data=table_of(rows))["outlier"] == [False, False, True]
