"""`gaussmix merge`: merge several models into one."""

from __future__ import annotations

from functools import partial

import click
import numpy as np

from gaussmix._src.cli import options, parsing
from gaussmix._src.cli.model_file import ModelFile
from gaussmix._src.cli.outputs import check_target, open_target
from gaussmix._src.cli.show.notices import is_quiet
from gaussmix._src.cli.show.reports import row_summary
from gaussmix._src.errors import counted
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.sources.tables.base import STANDARD

_WEIGHTS_HELP = "Weight of each model.  [default: the number of rows that it was fitted to]"
_above_0 = partial(parsing.numbers, end=np.inf, what="a number above 0; write 3,1 or 0.75,0.25")


@click.command()
@options.file("models", "MODEL.gmm…", nargs=-1, required=True)
@options.output("Write the merged model to this file.", required=True, metavar="OUT.gmm")
@options.option("--weights", _WEIGHTS_HELP, check=_above_0, metavar="W,W")
@options.option("-k n_components", "Merge similar components until K are left.", type=click.IntRange(1), metavar="K")
@options.quiet
def merge(models: tuple[str, ...], output: str, weights: tuple[str, ...] | None, n_components: int | None) -> None:
    """Merge several models, such as models of parts of the data, into one model with the components of all models.

    \b
      gaussmix merge january.gmm february.gmm -o both.gmm -k 5

    With -k, similar components are merged until K components are left; mean and covariance of the mixture do not
    change. With -k, a single model may be passed.
    """
    check_target(output, *models)
    if weights and len(weights) != len(models):
        raise click.UsageError(f"--weights needs {len(models)} numbers, one for each model.")
    opened = [ModelFile.open(model) for model in models]
    values = np.array(weights or _row_weights(opened), dtype=float)
    mixtures = [model.mixture.with_feature_names(model.details.feature_names) for model in opened]
    merged = mixtures[0] if len(mixtures) == 1 else Mixture.concatenate(mixtures, values / values.sum())
    if n_components is not None:
        merged = merged.reduce(n_components)
    with open_target(output, for_people=False) as file:
        merged.save(file)
    if not is_quiet() and output != STANDARD:
        click.echo(f"{counted(merged.n_components, 'component')}, {merged.family.name}; written to {output}")


def _row_weights(models: list[ModelFile]) -> list[float]:
    """Return the total weight of each model's fitted rows; raise ValueError if a file does not store this weight."""
    fits = [row_summary(model.details) for model in models]
    if len(models) > 1 and any(fit is None for fit in fits):
        names = ", ".join(model.name for model, fit in zip(models, fits, strict=True) if fit is None)
        raise ValueError(f"{names}: the number of rows of the fit is not stored in the file; set --weights.")
    return [1.0 if fit is None else fit.row_weight for fit in fits]
