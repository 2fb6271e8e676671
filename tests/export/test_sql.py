"""DuckDB gives the answers of gaussmix."""

import numpy as np
import pyarrow as pa
import pytest

from gaussmix import FAMILIES, GaussianMixtureDetector, Mixture
from gaussmix.export import to_sql
from gaussmix.noise import Noise
from tests.export.conftest import mixture_of

duckdb = pytest.importorskip("duckdb")


def run(query, **tables):
    """The result of a query of Arrow tables, column by column."""
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        found = connection.sql(query)
        return dict(zip(found.columns, map(list, zip(*found.fetchall(), strict=True)), strict=True))


def table_of(rows, names=None):
    names = names or [f"x{at}" for at in range(rows.shape[1])]
    return pa.table(dict(zip(names, rows.T.copy(), strict=True)))


def test_answers_are_those_of_the_mixture(case):
    model, rows = case
    mixture, found = mixture_of(model), run(to_sql(model), data=table_of(rows))
    np.testing.assert_allclose(found["log_density"], mixture.log_density(rows), rtol=1e-12)
    shares = np.transpose([found[f"probability_{k}"] for k in range(mixture.n_components)])
    np.testing.assert_allclose(shares, mixture.responsibilities(rows), atol=1e-12)
    assert found["component"] == mixture.predict(rows).tolist()
    assert found["x0"] == rows[:, 0].tolist()
    if isinstance(model, GaussianMixtureDetector):
        assert found["outlier"] == (model.predict(rows) == -1).tolist()


def test_columns_are_named_by_the_features_or_by_the_user():
    mixture = Mixture.from_parameters([1.0], [[0.0, 1.0]], [[[1.0, 0.2], [0.2, 1.0]]], feature_names=['a "b"', "c"])
    rows = np.array([[0.5, 2.0], [1.0, -1.0]])
    expected = mixture.log_density(rows)
    assert run(to_sql(mixture), data=table_of(rows, ['a "b"', "c"]))["log_density"] == pytest.approx(expected)
    query = to_sql(mixture, "wells", ["p", "q"])
    assert run(query, wells=table_of(rows, ["p", "q"]))["log_density"] == pytest.approx(expected)
    with pytest.raises(ValueError, match="columns must name 2 columns"):
        to_sql(mixture, "wells", ["p"])


def test_a_table_may_have_several_lines():
    mixture = Mixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    found = run(to_sql(mixture, "(\n    SELECT 2.0 AS x0 -- one row\n)"))
    assert found["log_density"] == pytest.approx(mixture.log_density([[2.0]]))


@pytest.mark.parametrize("noise", [None, Noise(0.1, 3.0)], ids=["", "noise"])
def test_a_row_without_a_feature_has_no_answer(noise):
    weights = np.array([0.4, 0.6]) * (1.0 if noise is None else 0.9)
    mixture = Mixture(weights, np.array([[0.0], [1.0]]), np.ones((2, 1)), FAMILIES["diag"], noise=noise)
    found = run(to_sql(mixture), data=pa.table({"x0": [1.0, None]}))
    assert found["log_density"][1] is None
    assert found["component"][1] is None
