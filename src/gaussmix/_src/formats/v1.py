"""Layout 1 of model files, with three tensors ("weights", "means" and "covariances") and a header.

The covariances have the compact form of the covariance structure. If the mixture has a noise component, there is a
fourth tensor "noise" (the weight of the noise component and the logarithm of its volume), and possibly a fifth tensor
"noise_box".

The header is a JSON object with the keys "format" ("gaussmix-mixture"), "version" (1), "package_version", "family" (the
covariance structure), "feature_names" (a list or null), "dtype" (text or null), "fit" and "sha256", and optionally
"family_options" and "estimator". The value of "fit" is null, or an object with the keys "n_rows", "row_weight",
"log_likelihood", "n_steps", "has_converged" and "settings". The value of "estimator" is an object with the keys "name",
"parameters" and "attributes".

All later versions of this module must be able to read layout 1. Keys may be added to the header, because readers ignore
unknown keys. Any change of the layout except a new key needs a new module with a new layout.
"""

from __future__ import annotations

from math import inf

from gaussmix._src.formats.envelope import Header, Tensors, get_value
from gaussmix._src.formats.record import Damaged, Details, EstimatorRecord, FitRecord, Record
from gaussmix._src.noise_component import NOISE_ARRAYS, NoiseComponent
from gaussmix._src.numerics.arrays import copied

VERSION = 1
TENSORS = ("weights", "means", "covariances")


def write(record: Record) -> tuple[Header, Tensors]:
    """Convert a record to the header and the tensors of a file."""
    details = record.details
    header: Header = {
        "version": VERSION,
        "package_version": details.package_version,
        "family": record.family,
        "feature_names": None if details.feature_names is None else list(details.feature_names),
        "dtype": details.dtype,
        "fit": None if details.fit is None else {**vars(details.fit), "settings": dict(details.fit.settings)},
    }
    if record.family_options:
        header["family_options"] = dict(record.family_options)
    if details.estimator is not None:
        header["estimator"] = dict(vars(details.estimator))
    noise = {} if record.noise is None else record.noise.arrays()
    return header, {name: getattr(record, name) for name in TENSORS} | noise


def read(header: Header, tensors: Tensors) -> Record:
    """Create a record from the header and the tensors of a file; raise `Damaged` if they do not match layout 1."""
    if not set(TENSORS) <= set(tensors) <= {*TENSORS, *NOISE_ARRAYS}:
        raise Damaged("required arrays are missing, or there are unknown arrays")
    try:
        noise_arrays = {name: copied(array) for name, array in tensors.items() if name in NOISE_ARRAYS}
        noise = NoiseComponent.from_arrays(noise_arrays)
    except ValueError as error:
        raise Damaged(str(error)) from None
    options = get_value({"family_options": {}, **header}, "family_options", dict)
    name, details = get_value(header, "family", str), _details(header)
    arrays = {name: tensors[name] for name in TENSORS}
    return Record(name, **arrays, details=details, layout=VERSION, family_options=options, noise=noise)


def _details(header: Header) -> Details:
    names = get_value(header, "feature_names", list, type(None))
    if names is not None and not all(isinstance(name, str) for name in names):
        raise Damaged("the name of a feature is not text")
    fit = get_value(header, "fit", dict, type(None))
    estimator = get_value({"estimator": None, **header}, "estimator", dict, type(None))
    return Details(
        feature_names=None if names is None else tuple(names),
        dtype=get_value(header, "dtype", str, type(None)),
        fit=None if fit is None else _fit_record(fit),
        estimator=None if estimator is None else _estimator_record(estimator),
        package_version=get_value(header, "package_version", str),
    )


def _fit_record(header: Header) -> FitRecord:
    settings = get_value(header, "settings", dict)
    if not all(isinstance(value, str | int | float | None) for value in settings.values()):
        raise Damaged("a setting in the header is not a text, a number or null")
    record = FitRecord(
        n_rows=get_value(header, "n_rows", int),
        row_weight=get_value(header, "row_weight", float, int),
        log_likelihood=get_value(header, "log_likelihood", float, int),
        n_steps=get_value(header, "n_steps", int),
        has_converged=get_value(header, "has_converged", bool),
        settings=settings,
    )
    if not (1 <= record.n_rows <= 2**53 and 0 < record.row_weight < inf and 0 <= record.n_steps <= 2**53):
        raise Damaged("the number of rows, the row weight or the number of steps is out of range")
    return record


def _estimator_record(header: Header) -> EstimatorRecord:
    name = get_value(header, "name", str)
    if not name.isidentifier():
        raise Damaged("the estimator's name is not the name of a class")
    return EstimatorRecord(name, get_value(header, "parameters", dict), get_value(header, "attributes", dict))
