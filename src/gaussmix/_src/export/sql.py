"""Export of a mixture as a DuckDB query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gaussmix._src.checks import check_names
from gaussmix._src.errors import ParameterTypeError
from gaussmix._src.export.coefficients import Coefficients, Linear
from gaussmix._src.mixture.words import names_of

_QUERY = """\
-- A Gaussian mixture of {n_components} components, written by gaussmix: for each row its most probable component, the
-- probabilities of all components, and the log density in nats.
WITH joint AS (
    SELECT {row} AS "row",
{joints}
    FROM (
        SELECT * FROM {table}
    ) AS {row}
), largest AS (
    SELECT *, greatest({columns}) AS "largest" FROM joint
), compared AS (
{compared}
), shares AS (
    SELECT *,
        {exponentials} AS "total"
    FROM compared
)
SELECT "row".*,
    CASE WHEN NOT isfinite("top") THEN NULL {cases} END AS "component",
{probabilities},
    {log_density} AS "log_density"{outlier}
FROM shares
"""
_LOG_DENSITY = '"largest" + ln(CASE WHEN isfinite("top") THEN "total" ELSE 1 END)'
# The query reads each row of the table as a struct with the name `_ROW`. The struct's name is the only name in scope,
# so that column names cannot clash with names in the query.
_ROW = '"one row of gaussmix"'


def to_sql(model: Any, table: str = "data", columns: Sequence[str] | None = None) -> str:
    """Write a mixture as a SELECT statement for DuckDB that adds columns to a table.

    The new columns are component (−1 for noise), probability_0, probability_1 … and log_density; for a detector there
    is also a column outlier. All new columns are NULL if a feature is NULL. The component is NULL if a feature is NaN,
    or if the row is so far from all components that its density is 0 in double precision. If a feature is NaN, the
    probabilities and the log density are NaN. If the density of the row is 0 in double precision, the probabilities are
    NaN, and the log density is −inf.

    Parameters
    ----------
    model : a `Mixture`, or a fitted `GaussianMixture`, `GaussianMixtureIC`, `GaussianMixtureDetector` or
        `BayesianGaussianMixture`. A `BayesianGaussianMixture` is exported as the components of `mixture_` that have
        rows, whose densities differ from the predictive densities of `score_samples`.
    table : SQL for the table from which the query selects: a table name, or a call such as
        "read_parquet('rows.parquet')".
    columns : names of the columns that hold the features, in the order of the features. The default is the names of the
        features, or x0, x1, … if the features have no names.

    Returns
    -------
    query : text of the statement, whose results agree with gaussmix to 1e-12.

    Raises
    ------
    NotFittedError, TypeError : the model is not fitted, its type is not supported, `table` is not SQL text, or
        `columns` is not a list of names.
    ValueError : the number of `columns` is not the number of features, a name is empty, or two names differ only by
        case.

    Examples
    --------
    >>> from gaussmix import Mixture
    >>> from gaussmix.export import to_sql
    >>> import duckdb
    >>> query = to_sql(Mixture.from_parameters([1.0], [[0.0]], [[[4.0]]]), "(SELECT 2.0 AS x0)")
    >>> round(duckdb.sql(query).fetchall()[0][-1], 4)
    -2.1121
    """
    text: object = table
    if not isinstance(text, str) or not text.strip():
        raise ParameterTypeError(f"table must be SQL text, such as 'rows', not {table!r:.60}.")
    coefficients = Coefficients.from_model(model)
    n_features, n_components = coefficients.mixture.n_features, coefficients.mixture.n_components
    names = names_of(coefficients.mixture) if columns is None else check_names(columns, n_features, "columns")
    _check_sql_names(names)
    values = [_joint(coefficients, k, names) for k in range(n_components)]
    if coefficients.noise is not None:  # returns NULL explicitly, because `greatest` ignores NULL
        is_null = " OR ".join(f"{_column(name)} IS NULL" for name in names)
        values.append(f"CASE WHEN {is_null} THEN NULL ELSE {_literal(coefficients.noise)} END")
    joint = [f'"joint_{k}"' for k in range(len(values))]
    linear = coefficients.linear(coefficients.mixture.means.mean(axis=0))
    forms = [] if linear is None else _linear(linear, names)
    relative = [f'exp({column} - "top")' for column in joint]
    labels = [*range(n_components), -1][: len(joint)]
    cases = " ".join(f'WHEN {column} = "top" THEN {label}' for column, label in zip(joint, labels, strict=True))
    is_low = "" if coefficients.offset is None else f'{_LOG_DENSITY} < {_literal(coefficients.offset)} AS "outlier"'
    lines = [f"{value} AS {column}" for value, column in zip(values, joint, strict=True)]
    lines += [f'{value} AS "linear_{k}"' for k, value in enumerate(forms)]
    return _QUERY.format(
        n_components=n_components,
        row=_ROW,
        table=table,
        joints=",\n".join(f"        {line}" for line in lines),
        columns=", ".join(joint),
        compared=_compared(joint, linear),
        exponentials=" + ".join(relative),
        cases=cases,
        probabilities=",\n".join(f'    {relative[k]} / "total" AS "probability_{k}"' for k in range(n_components)),
        log_density=_LOG_DENSITY,
        outlier=is_low and f",\n    {is_low}",
    )


def _check_sql_names(names: Sequence[str]) -> None:
    """Raise ValueError if a name is empty, or two names differ at most in the case of A to Z, which DuckDB ignores."""
    known: dict[bytes, str] = {}
    for name in names:
        if not name:
            raise ValueError("A column can't have the name '' in SQL: name a column for each feature in columns=.")
        other = known.setdefault(name.encode(errors="surrogatepass").lower(), name)
        if other is not name or list(names).count(name) > 1:
            raise ValueError(
                f"{other!r} and {name!r} are the same column in SQL, which ignores case: pass distinct names in "
                "columns=."
            )


def _compared(joint: Sequence[str], linear: Linear | None) -> str:
    """Return SQL that selects, for each component, the value to compare, and the largest value as "top"."""
    if linear is None:
        return '    SELECT *, "largest" AS "top" FROM largest'
    is_outer, n_components = f'"largest" < {_literal(linear.limit)}', len(joint)
    columns = [f'CASE WHEN {is_outer} THEN "linear_{k}" ELSE {joint[k]} END AS {joint[k]}' for k in range(n_components)]
    forms = ", ".join(f'"linear_{k}"' for k in range(n_components))
    columns += ['"row"', '"largest"', f'CASE WHEN {is_outer} THEN greatest({forms}) ELSE "largest" END AS "top"']
    return "    SELECT\n" + ",\n".join(f"        {column}" for column in columns) + "\n    FROM largest"


def _linear(linear: Linear, names: Sequence[str]) -> list[str]:
    """Return an SQL expression of log p(x, k), up to a term that is the same for all k, for each component."""
    offsets = [f"({_column(name)} - {_literal(at)})" for name, at in zip(names, linear.centre.tolist(), strict=True)]
    return [
        " + ".join([_literal(level), *(f"{_literal(w)} * {o}" for w, o in zip(slopes, offsets, strict=True))])
        for level, slopes in zip(linear.levels.tolist(), linear.slopes.tolist(), strict=True)
    ]


def _joint(coefficients: Coefficients, component: int, names: Sequence[str]) -> str:
    """Return an SQL expression of log p(x, k), which is NULL if a feature is NULL."""
    means, factors = coefficients.mixture.means[component], coefficients.factors[component]
    offsets = [f"({_column(name)} - {_literal(mean)})" for name, mean in zip(names, means.tolist(), strict=True)]
    matrix = factors if coefficients.is_matrix else np.diag(factors)
    products = [[f"{_literal(w)} * {o}" for w, o in zip(row, offsets, strict=True) if w] for row in matrix.tolist()]
    distance = " + ".join(f"pow({' + '.join(row)}, 2)" for row in products)
    return f"{_literal(float(coefficients.constants[component]))} - 0.5e0 * ({distance})"


def _column(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'CAST({_ROW}."{quoted}" AS DOUBLE)'


def _literal(value: float) -> str:
    """Write a number as a literal that DuckDB reads as a DOUBLE: 0.1e0, because 0.1 would be a DECIMAL."""
    if not np.isfinite(value):
        return f"CAST('{value}' AS DOUBLE)"
    text = repr(value)
    return f"({text})" if "e" in text else f"({text}e0)"
