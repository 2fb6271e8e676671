"""`gaussmix predict`: add to a table each row's component and density, or predict columns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click
import numpy as np
import pyarrow as pa

from gaussmix.cli.model_file import ModelFile
from gaussmix.cli.options import Reading, column_names, columns, open_share, shares, writing
from gaussmix.cli.options import as_json as json_option
from gaussmix.cli.options import jobs as jobs_option
from gaussmix.cli.options import memory as memory_option
from gaussmix.cli.options import missing as missing_option
from gaussmix.cli.options import reading as reading_options
from gaussmix.cli.outputs import check_inputs, check_target, format_of, free_name, rows_at_once, write_table
from gaussmix.cli.show.notices import check_engine, collected_warnings, print_notices
from gaussmix.cli.show.progress import progress
from gaussmix.estimators.gaussian_mixture import GaussianMixture, estimator_of
from gaussmix.estimators.regressor import regressor_of
from gaussmix.mixture.holes import tail_probability
from gaussmix.mixture.levels.levels import MASS
from gaussmix.mixture.mixture import Mixture
from gaussmix.numerics.arrays import Array
from gaussmix.sources.tables.base import STANDARD

_RESULTS = ("component", "probability", "log_density")

Columns = dict[str, np.ndarray[Any, Any]]


@click.command()
@click.argument("model", metavar="MODEL.gmm", type=click.Path())
@click.argument("data", metavar="DATA", type=click.Path())
@click.option(
    "--targets",
    multiple=True,
    callback=column_names,
    metavar="A,B",
    help="Predict these features from the others: mean and standard deviation.",
)
@click.option("--quantiles", callback=shares, metavar="P,P", help="Quantiles of the targets too, such as 0.05,0.95.")
@click.option("--probabilities", is_flag=True, help="Add the probability of every component, and of noise.")
@click.option("--outliers", is_flag=True, help="Add a p-value, and whether it is below the threshold: an outlier.")
@click.option("--threshold", callback=open_share, metavar="P", help="P-value below which a row is an outlier.  [0.05]")
@columns
@writing
@missing_option
@memory_option
@reading_options
@jobs_option
@json_option
def predict(
    model: str,
    data: str,
    targets: tuple[str, ...],
    quantiles: tuple[str, ...],
    probabilities: bool,
    outliers: bool,
    threshold: float | None,
    columns: tuple[str, ...],
    output: str,
    to: str | None,
    reading: Reading,
    as_json: bool,
    quiet: bool,
    jobs: int | None,
    memory: int,
    missing: bool,
) -> None:
    """Add to each row of DATA its most probable component, that component's probability and the log density.

    With --targets, add what the model expects of these features where the others are known; DATA may lack them.

    Columns are matched with the model's by name; --columns takes others in their place. The rest is passed on unused.
    DATA may be a pattern in quotes or a folder, and larger than memory. MODEL.gmm or DATA may be "-", standard input.
    """
    check_inputs(model, data)
    if quantiles and not targets:
        raise click.UsageError("--quantiles needs --targets.", click.get_current_context())
    if outliers and targets:
        raise click.UsageError("--outliers needs every feature: leave --targets out.", click.get_current_context())
    if probabilities and targets:
        raise click.UsageError("--probabilities need every feature: leave --targets out.", click.get_current_context())
    if threshold is not None and not outliers:
        raise click.UsageError("--threshold needs --outliers.", click.get_current_context())
    written_as = format_of(output, to, as_json=as_json)
    check_target(output, model, data)
    check_engine(jobs, quiet=quiet)
    opened = ModelFile.open(model)
    table = reading.open(data)
    features = opened.columns_of(table.without(reading.exclude), columns, targets=targets)
    table = reading.of_features(table, features)
    print_notices(table.notices, quiet=quiet)

    estimator = estimator_of(opened.mixture.with_feature_names(None), jobs)

    def results(rows: Array) -> Columns:
        if targets:
            return predicted_targets(opened, rows, targets, quantiles, jobs)
        found = predictions(estimator, rows, every=probabilities)
        return found | tail_probabilities(opened.mixture, rows, threshold) if outliers else found

    n_rows, names = rows_at_once(max(len(table.names), opened.mixture.n_components), memory), dict[str, str]()
    parts = table.parts(n_rows, () if written_as == "csv" else features)
    quiet_bars = quiet or (output == STANDARD and sys.stdout.isatty())  # which shows the rows
    with collected_warnings() as collected, progress(quiet=quiet_bars) as bars:
        found = counted(
            map(results, table.rows(features, n_rows, may_miss=missing)), bars.rows(table.n_rows, 8 * len(features))
        )
        write_table(output, written_as, joined(parts, found, names), table.delimiter, table.decimal)
    print_notices([*map(str, collected), *table.left_out_notices, *taken_notices(data, names)], quiet=quiet)


def counted(results: Iterable[Columns], advance: Callable[[int], None]) -> Iterator[Columns]:
    """The same results; `advance` is called with their number of rows once they are written."""
    for found in results:
        yield found
        advance(len(next(iter(found.values()))))


def joined(parts: Iterable[pa.Table], results: Iterable[Columns], names: dict[str, str]) -> Iterator[pa.Table]:
    """Each part of a table beside the results of its rows, under names that are noted in `names`."""
    for part, found in zip(parts, results, strict=True):
        for name, values in found.items():
            names.setdefault(name, free_name(name, part.column_names))
            part = part.append_column(names[name], pa.array(values))
        yield part


def taken_notices(data: str, names: dict[str, str]) -> list[str]:
    """Which new columns have other names, since the table has columns of theirs, as sentences."""
    return [
        f"{data} has a column {name!r} already, so the new one is called {free!r}."
        for name, free in names.items()
        if free != name
    ]


def predictions(estimator: GaussianMixture, rows: Array, *, every: bool) -> Columns:
    """The most probable component of each row, or −1 for noise, its probability, and the log density, nats.

    If asked for, the probability of every component follows, and that of noise.
    """
    shares, labels = estimator.predict_proba(rows), estimator.predict(rows)
    probability = np.where(labels < 0, 1.0 - shares.sum(axis=1), shares.max(axis=1))
    values = labels, probability, estimator.score_samples(rows)
    found: Columns = dict(zip(_RESULTS, values, strict=True))
    if every:
        found |= {f"probability_{component}": column for component, column in enumerate(shares.T)}
        if estimator.mixture_.noise is not None:
            found["probability_noise"] = 1.0 - shares.sum(axis=1)
    return found


def tail_probabilities(mixture: Mixture, rows: Array, threshold: float | None) -> Columns:
    """The share of the mass that is less probable than each row, and whether it is small."""
    p_value = tail_probability(rows, mixture)
    return {"p_value": p_value, "outlier": p_value < (1 - MASS if threshold is None else threshold)}


def predicted_targets(
    model: ModelFile, rows: Array, targets: tuple[str, ...], quantiles: tuple[str, ...], jobs: int | None
) -> Columns:
    """Mean, standard deviation and quantiles of each target, given the other features (n_rows, n_known)."""
    regressor = regressor_of(model.mixture, [model.names.index(target) for target in targets], jobs)
    mean, deviation = regressor.predict(rows, return_std=True)
    values = regressor.predict_quantiles(rows, [float(quantile) for quantile in quantiles])
    results: Columns = {}
    for column, target in enumerate(targets):
        results |= {f"{target}_predicted": mean[:, column], f"{target}_std": deviation[:, column]}
        for place, quantile in enumerate(quantiles):
            results[f"{target}_{quantile}"] = values[:, column, place]
    return results
