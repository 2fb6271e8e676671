"""A mixture as a query of DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gaussmix.export.numbers import Numbers

_QUERY = """\
-- A Gaussian mixture of {n_components} components, written by gaussmix: for each row its most probable component, the
-- probabilities of all components, and the log density in nats.
WITH joint AS (
    SELECT *,
{joints}
    FROM {table}
), largest AS (
    SELECT *, greatest({columns}) AS "_largest" FROM joint
), shares AS (
    SELECT *,
        {exponentials} AS "_total"
    FROM largest
)
SELECT * EXCLUDE ({hidden}),
    CASE {cases} END AS "component",
{probabilities},
    "_largest" + ln("_total") AS "log_density"{outlier}
FROM shares
"""


def to_sql(model: Any, table: str = "data", columns: Sequence[str] | None = None) -> str:
    """Write a mixture as a SELECT for DuckDB that adds columns to a table.

    The columns are component (−1 for noise), probability_0, probability_1 …, and log_density; of a detector also
    outlier. A row with a NULL among the features has NULL in them.

    Parameters
    ----------
    model : a `Mixture`, or a fitted `GaussianMixture`, `GaussianMixtureIC` or `GaussianMixtureDetector`.
    table : what to select from, as SQL: the name of a table, or a call such as "read_parquet('rows.parquet')".
    columns : the columns that are the features, in their order; by default those with the names of the features, or
        x0, x1 ….

    Returns
    -------
    query : text. Results agree with gaussmix to 1e-12.

    Raises
    ------
    NotFittedError, TypeError : the model is not fitted, or of another kind.
    ValueError : `columns`, or the names of the features, are not one for each feature.

    Examples
    --------
    >>> from gaussmix import Mixture
    >>> from gaussmix.export import to_sql
    >>> import duckdb
    >>> query = to_sql(Mixture.from_parameters([1.0], [[0.0]], [[[4.0]]]), "(SELECT 2.0 AS x0)")
    >>> round(duckdb.sql(query).fetchall()[0][-1], 4)
    -2.1121
    """
    numbers = Numbers.of(model)
    n_features, n_components = numbers.mixture.n_features, numbers.mixture.n_components
    names = numbers.names if columns is None else tuple(columns)
    if len(names) != n_features:
        raise ValueError(f"columns must name {n_features} columns, one for each feature, not {len(names)}.")
    joint = [f'"_joint_{k}"' for k in range(n_components)]
    values = [_joint(numbers, k, names) for k in range(n_components)]
    if numbers.noise is not None:  # `greatest` passes over NULL
        noise = f'CASE WHEN "_joint_0" IS NULL THEN NULL ELSE {_number(numbers.noise)} END'
        joint, values = [*joint, '"_joint_noise"'], [*values, noise]
    shares = [f'exp({column} - "_largest")' for column in joint]
    labels = [*range(n_components), *([-1] if numbers.noise is not None else [])]
    cases = " ".join(f'WHEN {column} = "_largest" THEN {label}' for column, label in zip(joint, labels, strict=True))
    is_low = "" if numbers.offset is None else f'"_largest" + ln("_total") < {_number(numbers.offset)} AS "outlier"'
    return _QUERY.format(
        n_components=n_components,
        table=table,
        joints=",\n".join(f"        {value} AS {column}" for value, column in zip(values, joint, strict=True)),
        columns=", ".join(joint),
        exponentials=" + ".join(shares),
        hidden=", ".join([*joint, '"_largest"', '"_total"']),
        cases=cases,
        probabilities=",\n".join(f'    {shares[k]} / "_total" AS "probability_{k}"' for k in range(n_components)),
        outlier=is_low and f",\n    {is_low}",
    )


def _joint(numbers: Numbers, component: int, names: Sequence[str]) -> str:
    """log p(x, k) as an expression; NULL if a feature is NULL."""
    means, factors = numbers.mixture.means[component], numbers.factors[component]
    offsets = [f"({_column(name)} - {_number(mean)})" for name, mean in zip(names, means.tolist(), strict=True)]
    matrix = factors if numbers.is_matrix else np.diag(factors)
    products = [[f"{_number(w)} * {o}" for w, o in zip(row, offsets, strict=True) if w] for row in matrix.tolist()]
    distance = " + ".join(f"pow({' + '.join(row)}, 2)" for row in products)
    return f"{_number(float(numbers.constants[component]))} - 0.5e0 * ({distance})"


def _column(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'CAST("{quoted}" AS DOUBLE)'


def _number(value: float) -> str:
    """A literal that DuckDB reads as a double: 0.1 would be a decimal, and 0.1e0 is none."""
    if not np.isfinite(value):
        return f"CAST('{value}' AS DOUBLE)"
    text = repr(value)
    return f"({text})" if "e" in text else f"({text}e0)"
