"""`gaussmix convert`: a model from and to the files of other software."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from gaussmix.cli import options
from gaussmix.cli.foreign import EXPORTS, PICKLES, READERS, WRITERS, read_json, write_mclust
from gaussmix.cli.model_file import ModelFile
from gaussmix.cli.outputs import check_target, open_target
from gaussmix.cli.show.notices import is_quiet
from gaussmix.errors import counted, listed
from gaussmix.estimators.detector import GaussianMixtureDetector
from gaussmix.mixture.mixture import Mixture

_OURS = ".gmm"


@click.command()
@click.argument("source", metavar="IN", type=click.Path())
@click.argument("target", metavar="OUT", type=click.Path())
@click.option("--mclust", is_flag=True, help="Write JSON as R's mclust names things, not as gaussmix does.")
@click.option("--fit", "model", metavar="MODEL", help="Of mclust's JSON with several fits: the model, such as VVV.")
@click.option("-k", "n_components", type=click.IntRange(1), metavar="K", help="… and its number of components.")
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True, help="Numbers of ONNX."
)
@click.option(
    "--trust", is_flag=True, help="Read a pickle, which runs the code that is in it: only from people you trust."
)
@options.quiet
def convert(
    source: str,
    target: str,
    mclust: bool,
    model: str | None,
    n_components: int | None,
    dtype: str,
    trust: bool,
) -> None:
    """Write the mixture of one file to another. Extensions say what they are.

    \b
      .gmm              gaussmix
      .joblib .pkl      scikit-learn; reading one needs --trust
      .json             gaussmix, or mclust (recognised; --mclust writes it)
      .npz              NumPy: weights, means, covariances, covariance_type
      .onnx .h .sql     ONNX, a C header, a query for DuckDB: written only

    Only the mixture and its feature names are converted, not the settings of a fit. ONNX, C and SQL also get the limit
    below which rows are outliers of a detector.
    """
    wanted, written = Path(source).suffix.lower(), Path(target).suffix.lower()
    if wanted not in (_OURS, *READERS):
        raise click.UsageError(f"{source}: {listed([_OURS, *READERS])} are read.")
    if written not in (_OURS, *WRITERS, *EXPORTS):
        raise click.UsageError(f"{target}: {listed([_OURS, *WRITERS, *EXPORTS])} are written.")
    if wanted in PICKLES and not trust:
        raise click.UsageError(
            f"{source} is a pickle, and reading one runs the code that is in it: add --trust if you know who wrote it."
        )
    if mclust and written != ".json":
        raise click.UsageError("--mclust is for JSON that is written.")
    if (model is not None or n_components is not None) and wanted != ".json":
        raise click.UsageError("--fit and -k are for JSON of mclust that is read.")
    check_target(target, source)
    mixture, detector = _read(source, wanted, model, n_components)
    if written == _OURS:
        with open_target(target, for_people=False) as file:
            mixture.save(file)
    else:
        if written in EXPORTS:
            contents = EXPORTS[written](detector or mixture, dtype, target)
        else:
            contents = write_mclust(mixture) if mclust else WRITERS[written](mixture)
        with open_target(target, for_people=True) as file:
            file.write(contents)
    if not is_quiet():
        click.echo(
            f"{source}: {counted(mixture.n_components, 'component')}, {mixture.family.name}; written to {target}"
        )


def _read(
    source: str, extension: str, model: str | None, n_components: int | None
) -> tuple[Mixture, GaussianMixtureDetector | None]:
    """The mixture of a file, and the detector if it holds one; raises ValueError, which names the file, or OSError."""
    if extension == _OURS:
        opened = ModelFile.open(source)
        record = opened.details.estimator
        is_detector = record is not None and record.name == GaussianMixtureDetector.__name__
        mixture = opened.mixture.with_feature_names(opened.details.feature_names)
        return mixture, GaussianMixtureDetector.load(source) if is_detector else None
    read = partial(read_json, model=model, n_components=n_components) if extension == ".json" else READERS[extension]
    contents = Path(source).read_bytes()
    try:
        return read(contents), None
    except OSError:
        raise ValueError(f"{source} can't be read as {extension}.") from None
    except Exception as error:  # a pickle may raise anything
        raise ValueError(f"{source} can't be read as {extension}: {str(error).rstrip('.')}.") from None
