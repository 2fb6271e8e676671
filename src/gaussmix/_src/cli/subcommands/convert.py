"""`gaussmix convert`: convert a model from and to the files of other software."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import click
import joblib
import numpy as np
from sklearn.mixture._bayesian_mixture import BayesianGaussianMixture  # scikit-learn's class even after `patch_sklearn`
from sklearn.mixture._gaussian_mixture import GaussianMixture as SklearnMixture

from gaussmix._src.cli import options
from gaussmix._src.cli.model_file import ModelFile
from gaussmix._src.cli.outputs import check_target, open_target
from gaussmix._src.cli.show.notices import is_quiet
from gaussmix._src.covariances import Dense, Diagonal, Isotropic
from gaussmix._src.errors import counted, listed, not_one_of
from gaussmix._src.estimators.classifier import GaussianMixtureClassifier
from gaussmix._src.estimators.detector import GaussianMixtureDetector
from gaussmix._src.export.c import to_c
from gaussmix._src.export.onnx_model import to_onnx
from gaussmix._src.export.sql import to_sql
from gaussmix._src.families.base import ALIASES, FAMILIES, Family, family_named, family_names
from gaussmix._src.formats.model_file import build_family
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.noise_component import NoiseComponent
from gaussmix._src.numerics.arrays import Array
from gaussmix._src.sources.traffic import format_bytes

Exported = Mixture | GaussianMixtureDetector | GaussianMixtureClassifier

_MCLUST = {ours: alias for alias, ours in ALIASES.items() if len(alias) == 3}  # mclust's name of a gaussmix structure
_OF_ONE_COMPONENT = {"X": "E", "XII": "EII", "XXI": "EEI", "XXX": "EEE"}  # mclust's names of fits with one component
_ANY = "VVV"  # mclust's name of the structure with unrestricted covariances
# Maximum deviation of a covariance from the structure that a file names, divided by both standard deviations.
_MAX_ROUNDING = 1e-6


def read_json(contents: bytes) -> Mixture:
    """Read a mixture from JSON in the format of `Mixture.to_dict` or of R's mclust; raise ValueError for invalid JSON.

    JSON in the format of mclust has the keys `model` and `parameters`. The value of `parameters` has the keys `pro`,
    `mean` (a list for each component) and `sigma_tril` (the lower triangle of each covariance, row by row).
    """
    values = json.loads(contents)
    if not isinstance(values, dict):
        raise ValueError("the JSON must be an object")
    if "pro" not in values and "covariances" in values:
        return Mixture.from_dict(values)
    parameters = values.get("parameters", values)
    if not isinstance(parameters, dict) or not {"pro", "mean", "sigma_tril"} <= parameters.keys():
        raise ValueError("the JSON has neither the keys of gaussmix nor mclust's keys 'pro', 'mean' and 'sigma_tril'")
    model = str(values.get("model", _ANY))
    names = values.get("feature_names") or None  # R writes NULL as {}
    return _from_mclust(parameters, _OF_ONE_COMPONENT.get(model, model), values.get("Vinv"), names)


def _from_mclust(parameters: Mapping[str, Any], model: str, inverse_volume: float | None, names: Any) -> Mixture:
    if model not in family_names():
        raise ValueError(f"the model {not_one_of(model, family_names())}")
    weights = np.atleast_1d(_read_values(parameters, "pro"))
    means, triangles = _read_values(parameters, "mean"), _read_values(parameters, "sigma_tril")
    if means.ndim < 2:  # R writes a list that contains one number as a number
        # If there is one variance, or one for each mean, the list has the means of one feature in all components.
        # Otherwise, the list has the means of all features in one component.
        means = means.reshape((-1, 1) if triangles.size in (1, means.size) else (1, -1))
    n_components, n_features = means.shape
    noise = None
    if len(weights) == n_components + 1 and inverse_volume is not None:
        noise = NoiseComponent(float(weights[-1]), -float(np.log(inverse_volume)))
        weights = weights[:-1]
    if len(weights) != n_components:
        raise ValueError(
            f"pro has {counted(len(weights), 'weight')}, but mean has {counted(n_components, 'component')}"
        )
    family = family_named(model)
    if triangles.ndim < 2:
        triangles = triangles.reshape((-1, 1) if n_features == 1 else (1, -1))
    size = n_features * (n_features + 1) // 2
    if triangles.shape != (n_components, size) and not (family.is_shared and triangles.shape == (1, size)):
        raise ValueError(
            f"sigma_tril has {counted(len(triangles), 'list')} of {counted(triangles.shape[1], 'number')}, but model "
            f"{model!r} with {counted(n_components, 'component')} and {counted(n_features, 'feature')} in mean needs "
            f"{n_components} of {size}"
        )
    rows, columns = np.tril_indices(n_features)
    dense = np.zeros((n_components, n_features, n_features))
    dense[:, rows, columns] = dense[:, columns, rows] = triangles
    mixture = Mixture(weights, means, _compact(dense, family), family, names, noise)
    structured = mixture._model.covariances.to_simple_form().to_form(Dense).each
    scale = np.sqrt(np.abs(np.diagonal(dense, axis1=1, axis2=2)))
    if (np.abs(dense - structured) > _MAX_ROUNDING * scale[:, :, None] * scale[:, None, :]).any():
        raise ValueError(f"the covariances in sigma_tril do not have the structure of model {model!r}")
    return mixture


def _read_values(parameters: Mapping[str, Any], name: str) -> Array:
    """Convert a number, a list, or a list of equally long lists to an array; raise ValueError for other values."""
    try:
        loaded = np.array(parameters[name], dtype=np.float64)
    except (ValueError, TypeError):
        raise ValueError(f"{name} must consist of numbers, in lists of the same length") from None
    if loaded.ndim > 2 or not loaded.size:
        raise ValueError(f"{name} must be a list of numbers, or a list of such lists, but has shape {loaded.shape}")
    return loaded


def _compact(dense: Array, family: Family) -> Array:
    """Convert covariances (n_components, n_features, n_features) to the array shape of a covariance structure."""
    each = dense[:1] if family.is_shared else dense
    if family.kind is Isotropic:
        each = each[:, 0, 0]
    elif family.kind is Diagonal:
        each = np.diagonal(each, axis1=1, axis2=2)
    return each[0] if family.is_shared else each


def write_json(mixture: Mixture) -> bytes:
    """Write a mixture as JSON in the format of `Mixture.to_dict`."""
    return json.dumps(mixture.to_dict(), ensure_ascii=False).encode() + b"\n"


def write_mclust(mixture: Mixture) -> bytes:
    """Write a mixture as JSON with mclust's names, in the format that `read_json` accepts."""
    dense = mixture._model.covariances.to_simple_form().to_form(Dense).each
    dense = np.broadcast_to(dense, (mixture.n_components, *dense.shape[1:]))
    name = _MCLUST.get(mixture.family.name, mixture.family.name)
    weights = mixture.weights.tolist()
    values: dict[str, Any] = {"model": name if len(name) == 3 and name.isupper() else _ANY, "G": mixture.n_components}
    if mixture.noise is not None:
        weights = [*weights, mixture.noise.weight]
        values["Vinv"] = float(np.exp(-mixture.noise.log_volume))
    triangle = dense[:, *np.tril_indices(mixture.n_features)].tolist()
    values["parameters"] = {"pro": weights, "mean": mixture.means.tolist(), "sigma_tril": triangle}
    if mixture.feature_names is not None:
        values["feature_names"] = list(mixture.feature_names)
    return json.dumps(values, ensure_ascii=False).encode() + b"\n"


def read_npz(contents: bytes, memory: int) -> Mixture:
    """Read a mixture from the arrays `weights`, `means`, `covariances` and `covariance_type` (by default "full").

    The decompressed arrays may be larger than the file, but at most `memory` bytes.
    """
    if not is_zipfile(BytesIO(contents)):
        raise ValueError("the file does not contain NumPy arrays")
    with ZipFile(BytesIO(contents)) as file:
        size = sum(each.file_size for each in file.infolist())
    if size > max(memory, len(contents)):
        raise ValueError(
            f"the arrays take {format_bytes(size)}, but --memory is {format_bytes(memory)}. Raise --memory"
        )
    with np.load(BytesIO(contents), allow_pickle=False) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    missing = [name for name in ("weights", "means", "covariances") if name not in values]
    if missing:
        raise ValueError(f"the file has no array {missing[0]!r}")
    name = str(values.get("covariance_type", ALIASES[_ANY]))
    family = build_family(name, json.loads(str(values.get("family_options", "{}"))))
    if family is None:
        raise ValueError(f"covariance_type {name!r} is not one of {', '.join(FAMILIES)}")
    names = values["feature_names"].tolist() if "feature_names" in values else None
    noise = NoiseComponent.from_arrays(values)
    return Mixture(values["weights"], values["means"], values["covariances"], family, names, noise)


def write_npz(mixture: Mixture) -> bytes:
    """Write a mixture as a file of NumPy arrays that `read_npz` accepts."""
    target = BytesIO()
    arrays: dict[str, Any] = {**mixture._arrays(), "covariance_type": np.array(mixture.family.name)}
    if mixture.family.non_default_params:
        arrays["family_options"] = np.array(json.dumps(mixture.family.non_default_params))
    if mixture.feature_names is not None:
        arrays["feature_names"] = np.array(mixture.feature_names)
    np.savez(target, **arrays)
    return target.getvalue()


def read_pickle(contents: bytes) -> Mixture:
    """Read a mixture of scikit-learn or gaussmix from a joblib or pickle file; reading runs code in the file."""
    loaded = joblib.load(BytesIO(contents))
    if isinstance(loaded, Mixture):
        return loaded
    if isinstance(loaded, SklearnMixture | BayesianGaussianMixture):
        return Mixture.from_sklearn(loaded)
    mixture = getattr(loaded, "mixture_", None)
    if not isinstance(mixture, Mixture):
        raise ValueError(f"the file contains a {type(loaded).__name__}, not a mixture of scikit-learn or gaussmix")
    return mixture


def write_pickle(mixture: Mixture) -> bytes:
    """Write a mixture as a fitted `sklearn.mixture.GaussianMixture` with joblib."""
    target = BytesIO()
    joblib.dump(mixture.to_sklearn(), target)
    return target.getvalue()


def write_c(model: Exported, target: str) -> bytes:
    """Write a model as a C header whose function names begin with the name of the file."""
    name = "".join(mark if mark.isascii() and mark.isalnum() else "_" for mark in Path(target).stem)
    return to_c(model, name if name.isidentifier() else f"gmm_{name}").encode()


PICKLES = (".joblib", ".pkl", ".pickle")
READERS: dict[str, Callable[..., Mixture]] = {".json": read_json, ".npz": read_npz}
READERS |= dict.fromkeys(PICKLES, read_pickle)
WRITERS: dict[str, Callable[[Mixture], bytes]] = {".json": write_json, ".npz": write_npz}
WRITERS |= dict.fromkeys(PICKLES, write_pickle)
# This dictionary maps each extension to a function of the model, the dtype and the path of the output.
EXPORTS: dict[str, Callable[[Exported, str, str], bytes]] = {
    ".onnx": lambda model, dtype, target: to_onnx(model, dtype=dtype).SerializeToString(),
    ".h": lambda model, dtype, target: write_c(model, target),
    ".sql": lambda model, dtype, target: to_sql(model).encode(),
}


_NATIVE_SUFFIX = ".gmm"


@click.command()
@options.file("source", "IN")
@options.file("target", "[OUT]", required=False)
@options.option("-o --output", "Output file, as an alternative to the argument OUT.", metavar="OUT")
@options.flag("--mclust", "Write JSON with the names of R's mclust instead of gaussmix's names.")
@options.choice("--dtype", "Type of the numbers in an ONNX model.", ["float32", "float64"], default="float32")
@options.flag("--trust", "Read a pickle file. Reading runs code in the file, so you must trust its author.")
@options.memory_option("Maximum size of the arrays in a compressed NumPy file.")
@options.quiet
def convert(
    source: str, target: str | None, output: str | None, mclust: bool, dtype: str, trust: bool, memory: int
) -> None:
    """Convert the mixture in a file to another format. The extensions of IN and OUT determine the formats:

    \b
      .gmm           model of gaussmix
      .joblib .pkl   model of scikit-learn (reading it requires --trust)
      .json          model of gaussmix or of mclust (add --mclust to write it)
      .npz           NumPy arrays weights, means, covariances, covariance_type
      .onnx          ONNX model (only for OUT)
      .h             C header (only for OUT)
      .sql           DuckDB query (only for OUT)

    Only the mixture and its feature names are converted, not the settings of a fit. If the file contains a detector,
    ONNX, C and SQL also contain the density limit below which rows are outliers.
    """
    target = target or output
    if target is None or output not in (None, target):
        raise click.UsageError("name exactly one output: gaussmix convert IN OUT, or gaussmix convert IN -o OUT.")
    wanted, written = Path(source).suffix.lower(), Path(target).suffix.lower()
    if wanted not in (_NATIVE_SUFFIX, *READERS):
        raise click.UsageError(f"{source}: the input must end in {listed([_NATIVE_SUFFIX, *READERS])}.")
    if written not in (_NATIVE_SUFFIX, *WRITERS, *EXPORTS):
        raise click.UsageError(f"{target}: the output must end in {listed([_NATIVE_SUFFIX, *WRITERS, *EXPORTS])}.")
    if wanted in PICKLES and not trust:
        raise click.UsageError(
            f"{source} is a pickle file, and reading it runs code from the file: add --trust if you trust its author."
        )
    if mclust and written != ".json":
        raise click.UsageError("--mclust needs an output that ends in .json.")
    check_target(target, source)
    mixture, model = _read(source, wanted, memory)
    if written == _NATIVE_SUFFIX:
        with open_target(target, for_people=False) as file:
            mixture.save(file)
    else:
        if written in EXPORTS:
            if isinstance(model, GaussianMixtureClassifier) and written != ".onnx":
                model = mixture  # C and SQL return the components, because only ONNX models return classes.
            contents = EXPORTS[written](model, dtype, target)
        else:
            contents = write_mclust(mixture) if mclust else WRITERS[written](mixture)
        with open_target(target, for_people=True) as file:
            file.write(contents)
    if not is_quiet():
        size = f"{counted(mixture.n_components, 'component')}, {mixture.family.name}"
        click.echo(f"{source}: {size}; written to {target}")


def _read(source: str, extension: str, memory: int) -> tuple[Mixture, Exported]:
    """Read a mixture, and the model to export: a detector or classifier if the file has one, otherwise the mixture.

    Raises OSError, or a ValueError with the file's name.
    """
    if extension == _NATIVE_SUFFIX:
        opened = ModelFile.open(source)
        record = opened.details.estimator
        kinds = {kind.__name__: kind for kind in (GaussianMixtureDetector, GaussianMixtureClassifier)}
        kind = None if record is None else kinds.get(record.name)
        mixture = opened.mixture.with_feature_names(opened.details.feature_names)
        return mixture, mixture if kind is None else kind.load(source)
    contents = Path(source).read_bytes()
    try:
        mixture = read_npz(contents, memory) if extension == ".npz" else READERS[extension](contents)
    except OSError:
        raise ValueError(f"{source} can't be read as {extension}.") from None
    except Exception as error:  # reading a pickle may raise any exception
        raise ValueError(f"{source} can't be read as {extension}: {str(error).rstrip('.')}.") from None
    return mixture, mixture
