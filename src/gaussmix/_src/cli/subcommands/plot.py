"""`gaussmix plot`: draw a model, with or without rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gaussmix._src.cli import options
from gaussmix._src.cli.model_file import ModelFile
from gaussmix._src.cli.outputs import check_target, open_target
from gaussmix._src.cli.reading import Reading
from gaussmix._src.cli.show.notices import is_quiet, print_notices
from gaussmix._src.errors import listed
from gaussmix._src.plot.component_display import ComponentDisplay
from gaussmix._src.plot.display import import_pyplot
from gaussmix._src.plot.pair_display import PairDisplay
from gaussmix._src.plot.profile_display import ProfileDisplay
from gaussmix._src.plot.uncertainty_display import UncertaintyDisplay

_DISPLAYS: dict[str, Any] = {
    "pairs": PairDisplay, "components": ComponentDisplay, "profile": ProfileDisplay, "uncertainty": UncertaintyDisplay,
}  # fmt: skip
_KIND_HELP = "Pairs of features; two features; all features side by side; or rows whose component is uncertain."
_PICTURE_FORMATS = ("png", "svg", "pdf", "jpg", "webp")


@click.command(cls=options.OnTables)
@options.file("model", "MODEL.gmm")
@options.file("data", "[DATA]", required=False)
@options.option("-o --output", f"Write to this file: {', '.join(_PICTURE_FORMATS)}.", required=True, metavar="PICTURE")
@options.choice("--kind", _KIND_HELP, _DISPLAYS, default="pairs")
@options.columns("--features", "Features to show: up to 8 for pairs, any number for a profile, otherwise 2.")
@options.weights
@options.flag("--dark", "Draw on a dark background.")
@options.option("--dpi", "Resolution in dots per inch.", type=click.IntRange(20, 1200), default=150, metavar="N")
@options.reading
def plot(
    model: str,
    data: str | None,
    output: str,
    kind: str,
    features: tuple[str, ...],
    weights: str | None,
    dark: bool,
    dpi: int,
    reading: Reading,
) -> None:
    """Draw the components of a model and, if DATA is given, the rows of DATA.

    \b
      gaussmix plot faithful.gmm faithful.csv -o pairs.png

    The rows must fit into memory. MODEL.gmm or DATA may be "-" for standard input.
    """
    format = Path(output).suffix.lower().removeprefix(".").replace("jpeg", "jpg")
    if format not in _PICTURE_FORMATS:
        raise click.UsageError(f"the name of the picture must end in {listed(_PICTURE_FORMATS)}.")
    if kind == "uncertainty" and data is None:
        raise click.UsageError("--kind uncertainty needs rows: pass DATA after the model.")
    if kind in ("profile", "uncertainty") and weights is not None:
        raise click.UsageError(f"--kind {kind} shows no weights: leave out --weights.")
    options.check_data(data, "pass DATA after the model")
    check_target(output, model, data)
    import_pyplot().switch_backend("Agg")
    opened = ModelFile.open(model)
    shown: dict[str, Any] = {} if data is None else _rows(opened, data, weights, reading)
    shown |= {"features": list(features) or None, "feature_names": list(opened.names)}
    with import_pyplot().style.context("dark_background" if dark else "default"):
        drawn = _DISPLAYS[kind].from_estimator(opened.mixture.with_feature_names(None), **shown)
        with open_target(output, for_people=False) as file:
            drawn.figure_.savefig(file, format=format, dpi=dpi, bbox_inches="tight")
    if not is_quiet():
        click.echo(f"Picture written to {output}")


def _rows(model: ModelFile, data: str, weights: str | None, reading: Reading) -> dict[str, Any]:
    """Read the rows of a table into memory, as arguments of a display: the features of the model, and the weights."""
    table, features = reading.matched(model, data, weights)
    rows = table.all_rows([*features, *([weights] if weights is not None else ())], may_miss=reading.missing)
    print_notices(table.left_out_notices)
    n = len(features)
    return {"X": rows} if weights is None else {"X": rows[:, :n], "sample_weight": rows[:, n]}
