"""Writes the Python code with which users can continue the analysis, and which a report shows at its end."""

from __future__ import annotations

from collections.abc import Sequence

from gaussmix._src.estimators.gaussian_mixture_ic import GaussianMixtureIC
from gaussmix._src.sources.tables import Files
from gaussmix._src.sources.tables.arrow_table import ArrowFileTable, MemoryTable
from gaussmix._src.sources.tables.base import STANDARD, Table
from gaussmix._src.sources.tables.csv_header import NULLS
from gaussmix._src.sources.tables.csv_table import CsvTable
from gaussmix._src.sources.tables.typed_table import NpyTable, ParquetTable

_SELECTION_CODE = """\
gm = GaussianMixtureIC({settings}).fit({data})
gm.predict(X)             # the component of each row
gm.score_samples(X)       # log density of each row, nats
gm.mixture_.sample(1000)  # rows like these
"""
_OF_A_MODEL = """\
gm = Mixture.load({model!r})
gm.predict(X)      # the component of each row
gm.log_density(X)  # log density of each row, nats
gm.sample(1000)    # rows like these
"""
_WITH_GAPS = """\
gm = GaussianMixture()  # accepts rows with empty cells
gm.mixture_ = Mixture.load({model!r})
gm.predict(X)        # the component of each row
gm.score_samples(X)  # log density of each row, nats
gm.sample(1000)      # rows like these
"""


def code(
    table: Files,
    columns: Sequence[str],
    features: Sequence[str],
    model: str | None,
    selection: GaussianMixtureIC | None,
    weights: str | None = None,
    *,
    has_gaps: bool = False,
    has_box: bool = True,
) -> str:
    """Write Python code that reads the rows of a report, and fits or loads the mixture of the report.

    `features` are the names that the mixture uses for the `columns` of the table. The mixture is read from the file
    `model`, or fitted by the model selection `selection`. `weights` is the name of the column with row weights. If the
    mixture has noise without a box, so that `has_box` is False, rows can't be drawn from it.
    """
    imported = "GaussianMixtureIC"
    if selection is None:
        imported = "GaussianMixture, Mixture" if has_gaps else "Mixture"
        body = (_WITH_GAPS if has_gaps else _OF_A_MODEL).format(model="model.gmm" if model == STANDARD else model)
    else:
        structures = selection.get_params()["covariance_type"]
        objects = {type(each).__name__ for each in structures if not isinstance(each, str)}
        imported = ", ".join([*sorted(objects), imported])
        data = "X" if weights is None else "X, sample_weight=weights"
        body = _SELECTION_CODE.format(settings=_settings(selection), data=data)
    if not has_box:
        body = "".join(line for line in body.splitlines(keepends=True) if ".sample(" not in line)
    others = [] if weights is None or selection is None else [weights]
    read = _table_expression(table, [*columns, *others], [*features, *others]) + (".dropna()" if table.complete else "")
    rows = f"X = {read}\n" + "".join(f"weights = X.pop({name!r})\n" for name in others)
    saved = "# Standard input is read as a file: save it under the name below.\n"
    lines = [
        "import numpy as np\n" if isinstance(table.tables[0], NpyTable) else "",
        "import pandas as pd\n",
        "import pyarrow as pa\n" if read.startswith("pa.") else "",
        f"from gaussmix import {imported}\n",
        "from gaussmix.plot import PairDisplay\n\n",
        "" if table.files and model != STANDARD else saved,
        f"{rows}{body}PairDisplay.from_estimator(gm, X)\n",
    ]
    return "".join(lines)


def _settings(selection: GaussianMixtureIC) -> str:
    """Write the arguments of a model selection; some arguments are written only if they differ from the default."""
    values, usual = selection.get_params(), GaussianMixtureIC().get_params()
    named = ["covariance_type", "criterion", "random_state"]
    named += [name for name in ("noise", "weight_type") if values[name] != usual[name]]
    return ", ".join([repr(list(values["n_components"])), *(f"{name}={values[name]!r}" for name in named)])


def _table_expression(table: Files, columns: list[str], features: list[str]) -> str:
    """Write a Python expression that reads all files of a table into a data frame, whose columns are `features`."""
    first = table.tables[0]
    if len(table.files) > 1:
        paths = [str(path) for path in table.files]
        return f"pd.concat([{_file_expression(first, 'path', columns, features)} for path in {paths!r}])"
    return _file_expression(first, repr(str(table.files[0]) if table.files else "rows"), columns, features)


def _file_expression(table: Table, path: str, columns: list[str], features: list[str]) -> str:
    """Write a Python expression that reads one file, whose path is the expression `path`, into a data frame."""
    renamed = "" if columns == features else f".set_axis({features!r}, axis=1)"
    indices = [table.names.index(name) for name in columns]
    if isinstance(table, CsvTable):
        at = sorted(range(len(indices)), key=indices.__getitem__)  # pandas returns columns in the file's order.
        names = [features[each] for each in at]
        read = f"pd.read_csv({path}, {_dialect(table)}usecols={sorted(indices)}, names={names!r})"
        return read if names == features else f"{read}[{features!r}]"
    if isinstance(table, ParquetTable):
        return f"pd.read_parquet({path}, columns={columns!r}){renamed}"
    if isinstance(table, ArrowFileTable | MemoryTable):
        return f"pd.read_feather({path}, columns={columns!r}){renamed}"
    if not isinstance(table, NpyTable):
        return f"pa.ipc.open_stream({path}).read_pandas()[{columns!r}]{renamed}"
    if table.has_names:
        return f"pd.DataFrame(np.load({path}))[{columns!r}]{renamed}"
    return f"pd.DataFrame(np.load({path}).reshape(-1, {len(table.names)})[:, {indices}], columns={features!r})"


def _dialect(table: CsvTable) -> str:
    """Write arguments of pandas.read_csv for the delimiter, the decimal mark, the header and similar details."""
    delimiter = r"r'\s+'" if table.delimiter == " " else repr(table.delimiter)
    sep = "" if table.delimiter == "," else f"sep={delimiter}, "
    decimal = "" if table.decimal == "." else f"decimal={table.decimal!r}, "
    texts = [text for text in table.missing if text not in NULLS]
    missing = f"na_values={texts!r}, " if texts else ""
    grouped = "" if table.thousands is None else f"thousands={table.thousands!r}, "
    encoding = "" if table.encoding == "utf-8" else f"encoding={table.encoding!r}, "
    skipped = f"skiprows={table.n_skipped}, " if table.n_skipped else ""
    header = f"header={0 if table.has_names else None}, "
    # By default, pandas rounds the last digit of some numbers differently, and components may be numbered differently.
    return f"{sep}{decimal}{grouped}{encoding}{missing}{skipped}{header}float_precision='round_trip', "
