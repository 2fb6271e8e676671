"""`gaussmix predict`: add each row's component and density to a table, or predict columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import click
import numpy as np
import pyarrow as pa

from gaussmix._src.cli import options, parsing
from gaussmix._src.cli.model_file import ModelFile
from gaussmix._src.cli.outputs import Writing, check_target, free_name, rows_at_once
from gaussmix._src.cli.reading import Reading
from gaussmix._src.cli.show.notices import collected_warnings, print_notices
from gaussmix._src.cli.show.progress import progress
from gaussmix._src.errors import counted, listed
from gaussmix._src.estimators.mixture_estimator import MixtureEstimator
from gaussmix._src.estimators.regressor import as_regressor
from gaussmix._src.mixture.base import append_noise
from gaussmix._src.mixture.levels import MASS
from gaussmix._src.mixture.missing_values import density_p_value
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.numerics.cells import group_by_key
from gaussmix._src.report.reading import count_distant, distant_sentence
from gaussmix._src.sources.tables.base import in_parts, is_numeric

_QUANTILES_HELP = "Also predict these quantiles of the targets, such as 0.05,0.95."
_quantile_levels = partial(parsing.numbers, end=1, what="a number between 0 and 1; write, for example, 0.05,0.5,0.95")
_THRESHOLD_HELP = "P-value below which a row is an outlier.  [0.05]"
_GROUPS_HELP = "MODEL.gmm contains a mixture for each group; this column of DATA contains each row's group."
_OUTPUT_COLUMNS = ("component", "probability", "log_density")

Columns = dict[str, np.ndarray[Any, Any]]


@click.command(cls=options.OnTables)
@options.file("model", "MODEL.gmm")
@options.file("data", "DATA")
@options.columns("--targets", "Predict the mean and standard deviation of these features from the other features.")
@options.option("--quantiles", _QUANTILES_HELP, check=_quantile_levels, metavar="P,P")
@options.flag("--probabilities", "Add the probability of every component, and of noise.")
@options.flag("--outliers", "Add the p-value of each row, and whether the row is an outlier.")
@options.option("--threshold", _THRESHOLD_HELP, check=parsing.open_probability, metavar="P")
@options.option("--by", _GROUPS_HELP, metavar="COLUMN")
@options.row_by_row
def predict(
    model: str,
    data: str,
    targets: tuple[str, ...],
    quantiles: tuple[str, ...] | None,
    probabilities: bool,
    outliers: bool,
    threshold: float | None,
    by: str | None,
    writing: Writing,
    reading: Reading,
) -> None:
    """Add to each row of DATA the most probable component, the probability of this component, and the log density.

    \b
      gaussmix predict faithful.gmm new.csv -o labels.csv
      gaussmix predict faithful.gmm new.csv --targets waiting

    With --targets, add predictions of the target features from the other features. DATA need not contain the targets.

    Columns are matched with the model's features by name; --columns names the columns to use instead. Columns that are
    not features are copied to the output. DATA may be a pattern in quotes or a folder. DATA may be larger than memory.
    With --by, MODEL.gmm contains the mixtures of many groups, and the new cells are empty for rows of other groups.

    MODEL.gmm or DATA may be "-" for standard input.
    """
    if quantiles and not targets:
        raise click.UsageError("--quantiles needs --targets: name the features to predict.")
    if targets and (outliers or probabilities):
        flag = "--outliers" if outliers else "--probabilities"
        raise click.UsageError(f"{flag} needs all features: leave out --targets.")
    if threshold is not None and not outliers:
        raise click.UsageError("--threshold has an effect only with --outliers: add --outliers.")
    check_target(writing.output, model, data)
    groups = {} if by is None else ModelFile.of_groups(model)
    opened = ModelFile.open(model) if by is None else next(iter(groups.values()))  # has the features of all groups
    table, features = reading.matched(opened, data, targets=targets, by=by)
    level = None if not outliers else 1 - MASS if threshold is None else threshold
    new_columns = NewColumns(targets, quantiles or (), probabilities, level, reading.jobs)
    n_rows = rows_at_once(max(len(table.names), opened.estimator(1).mixture_.n_components), reading.memory)
    names = dict[str, str]()

    def blocks() -> Iterator[Array]:
        for rows in table.rows(features, n_rows, may_miss=reading.missing):
            yield rows
            advance(len(rows))

    with collected_warnings() as collected, progress(writing.output) as bars:
        advance = bars.rows(table.n_rows, 8 * len(features))
        if by is None:
            results = (new_columns.of_rows(opened, rows) for rows in blocks())
        else:
            keys = reading.group_keys(table, by, in_parts(table.batches([by]), n_rows))
            results = (new_columns.of_groups(groups, *each) for each in zip(keys, blocks(), strict=True))
        kinds = {each.name: each.type for each in table.schema if each.name in targets}
        known = tuple(name for name, kind in kinds.items() if is_numeric(kind) or pa.types.is_null(kind))
        writing.write(joined(table.parts(n_rows, writing.numbers(features + known)), results, names), table)
    table_notices = *table.left_out_notices, *taken_notices(table.name, names)
    print_notices([*map(str, collected), *new_columns.sentences(), *table_notices])


@dataclass
class NewColumns:
    """The new columns that the user wants, and counts of rows that deserve a warning.

    Parameters
    ----------
    targets, quantiles : features to predict, and the quantiles to predict; the other options have no effect if there
        are targets.
    probabilities : whether to add the probability of every component.
    outlier_level : p-value below which a row is an outlier; None to add no p-values.
    jobs : number of threads; None for all processors.
    n_distant, n_rows : number of distant rows, and of all rows, so far.
    without_mixture : number of rows so far in each group without a mixture.
    """

    targets: tuple[str, ...]
    quantiles: tuple[str, ...]
    probabilities: bool
    outlier_level: float | None
    jobs: int | None
    n_distant: int = 0
    n_rows: int = 0
    without_mixture: Counter[str] = field(default_factory=Counter)

    def of_rows(self, model: ModelFile, rows: Array) -> Columns:
        """Return the new columns of rows under one mixture."""
        if self.targets:
            return predicted_targets(model, rows, self.targets, self.quantiles, self.jobs)
        estimator = model.estimator(self.jobs)
        results = predictions(estimator, rows, model.mixture.n_components if self.probabilities else 0)
        self.n_distant += count_distant(estimator.mixture_, rows, results["component"], results["log_density"])
        self.n_rows += len(rows)
        if self.outlier_level is not None:
            p_value = density_p_value(rows, model.mixture)
            results |= {"p_value": p_value, "outlier": p_value < self.outlier_level}
        return results

    def of_groups(self, groups: Mapping[str, ModelFile], keys: Sequence[Any], rows: Array) -> Columns:
        """Return the new columns of rows, each under the mixture of its group; they are masked if there is none."""
        template = replace(self).of_rows(next(iter(groups.values())), rows[:1])  # a copy, whose counts are not used
        results = {name: np.ma.MaskedArray(np.zeros(len(rows), v.dtype), mask=True) for name, v in template.items()}
        for key, own in group_by_key([str(key) for key in keys]).items():
            if key not in groups:
                self.without_mixture[key] += len(own)
                continue
            for name, values in self.of_rows(groups[key], rows[own]).items():
                results[name][own] = values
        return dict(results)

    def sentences(self) -> list[str]:
        """Return warnings about distant rows and about groups without a mixture."""
        distant = distant_sentence(self.n_distant, self.n_rows)
        if not self.without_mixture:
            return [] if distant is None else [distant]
        rows, absent = counted(self.without_mixture.total(), "row"), listed([*self.without_mixture])
        empty = f"the new cells of {rows} are empty, because MODEL has no mixture for these groups: {absent}."
        return [empty] if distant is None else [distant, empty]


def joined(parts: Iterable[pa.Table], results: Iterable[Columns], names: dict[str, str]) -> Iterator[pa.Table]:
    """Yield each part of a table with results as new columns; store the names of the new columns in `names`."""
    for part, outputs in zip(parts, results, strict=True):
        for name, values in outputs.items():
            names.setdefault(name, free_name(name, part.column_names))
            part = part.append_column(names[name], pa.array(values))
        yield part


def taken_notices(table: str, names: dict[str, str]) -> list[str]:
    """Return notices about new columns that were renamed because the table already has columns with these names."""
    taken = [(name, free) for name, free in names.items() if free != name]
    return [f"{table} has a column {name!r} already, so the new one is called {free!r}." for name, free in taken]


def predictions(estimator: MixtureEstimator, rows: Array, n_shown: int) -> Columns:
    """Return each row's most probable component (−1 for noise), this component's probability, and the log density.

    If `n_shown` is positive, the result also contains the probabilities of the first `n_shown` components and of noise.
    """
    probabilities = append_noise(estimator.mixture_, np.asarray(estimator.predict_proba(rows), np.float64))
    values = estimator.predict(rows), probabilities.max(axis=1), estimator.score_samples(rows)
    results: Columns = dict(zip(_OUTPUT_COLUMNS, values, strict=True))
    if n_shown:
        results |= {f"probability_{component}": probabilities[:, component] for component in range(n_shown)}
        if estimator.mixture_.noise is not None:
            results["probability_noise"] = probabilities[:, -1]
    return results


def predicted_targets(
    model: ModelFile, rows: Array, targets: tuple[str, ...], quantiles: tuple[str, ...], jobs: int | None
) -> Columns:
    """Predict mean, standard deviation and quantiles of each target from `rows` (n_rows, n_known) of other features."""
    regressor = as_regressor(model.mixture, [model.names.index(target) for target in targets], jobs)
    mean, deviation = regressor.predict(rows, return_std=True)
    values = regressor.predict_quantiles(rows, [float(quantile) for quantile in quantiles])
    results: Columns = {}
    for column, target in enumerate(targets):
        results |= {f"{target}_predicted": mean[:, column], f"{target}_std": deviation[:, column]}
        for index, quantile in enumerate(quantiles):
            results[f"{target}_{quantile}"] = values[:, column, index]
    return results
