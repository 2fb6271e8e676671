"""`gaussmix predict`: add each row's component and density to a table, or predict columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any

import click
import numpy as np
import pyarrow as pa

from gaussmix._src.cli import options, parsing
from gaussmix._src.cli.model_file import MixturesFile, ModelFile, key_text
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
from gaussmix._src.sources.tables.base import is_numeric

_QUANTILES_HELP = "Also predict these quantiles of the targets, such as 0.05,0.95."
_quantile_levels = partial(parsing.numbers, end=1, what="a number between 0 and 1; write, for example, 0.05,0.5,0.95")
_THRESHOLD_HELP = "P-value below which a row is an outlier.  [0.05]"
_GROUPS_HELP = "Column of DATA with the group of each row; `gaussmix fit --by` wrote MODEL.gmm."
# Each mixture stores about 2.5 MB after its first p-values, whose computation takes about 30 ms. Therefore, this number
# of mixtures is kept between blocks of rows. For more groups, --outliers is fastest if the table is sorted by group.
_MAX_MODELS = 100
_MAX_GROUPS = 10  # largest number of groups without a mixture that a warning lists
_OUTPUT_COLUMNS = ("component", "probability", "log_density")

Columns = dict[str, np.ndarray[Any, Any]]
_cached_model = lru_cache(_MAX_MODELS)(MixturesFile.model)


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
      gaussmix predict sensors.gmm new.csv --by sensor

    With --targets, add predictions of the target features from the other features. DATA need not contain the targets.
    With --by, each row is predicted under the mixture of its group; if the group has no mixture, the new cells are
    empty.

    Columns are matched with the model's features by name; --columns names the columns to use instead. Columns that are
    not features are copied to the output. DATA may be a pattern in quotes or a folder. DATA may be larger than memory.

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
    groups = None if by is None else MixturesFile.open(model)
    opened = ModelFile.open(model) if groups is None else groups.largest
    table, features = reading.matched(opened, data, targets=targets, by=by)
    level = None
    if outliers:
        level = 1 - MASS if threshold is None else threshold
    new_columns = NewColumns(targets, quantiles or (), probabilities, level, reading.jobs, opened)
    n_rows = rows_at_once(max(len(table.names), opened.estimator(1).mixture_.n_components), reading.memory)
    names = dict[str, str]()
    kinds = {each.name: each.type for each in table.schema if each.name in targets}
    known = tuple(name for name, kind in kinds.items() if is_numeric(kind) or pa.types.is_null(kind))

    def results() -> Iterator[tuple[pa.Table, Columns]]:
        first = 0
        parts = table.parts(n_rows, writing.numbers(features + known))
        for part, rows in zip(parts, table.rows(features, n_rows, may_miss=reading.missing), strict=True):
            if by is None or groups is None:
                yield part, new_columns.predict_rows(opened, rows)
            else:
                keys = reading.group_keys(table, by, part, first)
                yield part, new_columns.predict_groups(groups, keys, rows)
            first += len(rows)
            advance(len(rows))

    with collected_warnings() as collected, progress(writing.output) as bars:
        advance = bars.rows(table.n_rows, 8 * len(features))
        writing.write(joined(results(), names), table)
    table_notices = *table.left_out_notices, *taken_notices(table.name, names)
    print_notices([*map(str, collected), *new_columns.warnings(groups), *table_notices])


@dataclass
class NewColumns:
    """The new columns that the user wants; it computes them for blocks of rows, and counts the rows to warn of.

    Parameters
    ----------
    targets, quantiles : features to predict, and the quantiles to predict; the other options have no effect if there
        are targets.
    probabilities : whether to add the probability of every component.
    outlier_level : p-value below which a row is an outlier; None to add no p-values.
    jobs : number of threads; None for all processors.
    example : the model, or the model of a group, for the features and the largest number of components.
    n_distant, n_rows : number of distant rows, and of all rows with a mixture, so far.
    n_without : number of rows so far whose group has no mixture.
    groups_without : the first groups without a mixture.
    """

    targets: tuple[str, ...]
    quantiles: tuple[str, ...]
    probabilities: bool
    outlier_level: float | None
    jobs: int | None
    example: ModelFile
    n_distant: int = 0
    n_rows: int = 0
    n_without: int = 0
    groups_without: list[str] = field(default_factory=list)

    def predict_rows(self, model: ModelFile, rows: Array) -> Columns:
        """Return the new columns of rows under one mixture, and count the rows."""
        results = self._predict(model, rows)
        if not self.targets:
            mixture = model.estimator(self.jobs).mixture_
            self.n_distant += count_distant(mixture, rows, results["component"], results["log_density"])
            self.n_rows += len(rows)
        return results

    def predict_groups(self, groups: MixturesFile, keys: Sequence[Any], rows: Array) -> Columns:
        """Return the new columns of rows, each under the mixture of its group; they are masked if there is none."""
        results = {
            name: np.ma.MaskedArray(np.zeros(len(rows), dtype), mask=True) for name, dtype in self._dtypes.items()
        }
        for text, own in group_by_key(list(map(key_text, keys))).items():
            if text in groups.keys:
                for name, values in self.predict_rows(_cached_model(groups, text), rows[own]).items():
                    results[name][own] = values
                continue
            self.n_without += len(own)
            if len(self.groups_without) <= _MAX_GROUPS and text not in self.groups_without:
                self.groups_without.append(text)
        return dict(results)

    def warnings(self, groups: MixturesFile | None) -> list[str]:
        """Return warnings about distant rows and about groups without a mixture."""
        distant = distant_sentence(self.n_distant, self.n_rows)
        texts = [] if distant is None else [distant]
        if groups is not None and self.n_without:
            shown = self.groups_without[:_MAX_GROUPS]
            absent = f"group{'s' * (len(shown) > 1)} {listed(shown)}"
            others = " and others" * (len(self.groups_without) > _MAX_GROUPS)
            texts.append(
                f"the new cells of {counted(self.n_without, 'row')} are empty, because {groups.name} has no mixture "
                f"for the {absent}{others}. It has mixtures for {listed([*groups.keys], 3)}."
            )
        return texts

    def _predict(self, model: ModelFile, rows: Array) -> Columns:
        if self.targets:
            return predicted_targets(model, rows, self.targets, self.quantiles, self.jobs)
        n_shown = model.mixture.n_components if self.probabilities else 0
        results = predictions(model.estimator(self.jobs), rows, n_shown)
        if self.outlier_level is not None:
            p_value = density_p_value(rows, model.mixture)
            results |= {"p_value": p_value, "outlier": p_value < self.outlier_level}
        return results

    @cached_property
    def _dtypes(self) -> dict[str, np.dtype[Any]]:
        """Return the names and types of the new columns, even if no row has a mixture."""
        inputs = [j for j, name in enumerate(self.example.names) if name not in self.targets]
        row = self.example.mixture.means[:1, inputs]
        return {name: values.dtype for name, values in self._predict(self.example, row).items()}


def joined(results: Iterable[tuple[pa.Table, Columns]], names: dict[str, str]) -> Iterator[pa.Table]:
    """Yield each part of a table with its new columns; store the names of the new columns in `names`."""
    for part, columns in results:
        for name, values in columns.items():
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
