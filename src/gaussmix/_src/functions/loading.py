"""`gaussmix.load`: a model file as whatever it holds."""

from __future__ import annotations

import os
from importlib import import_module
from io import BytesIO

from gaussmix._src.estimators.base import Estimator
from gaussmix._src.formats import model_file
from gaussmix._src.formats.envelope import MIXTURES_FORMAT, has_format
from gaussmix._src.formats.files import describe_file, holds_mixtures
from gaussmix._src.formats.record import PathOrFile
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.mixtures import Mixtures


def load(path: PathOrFile) -> Estimator | Mixture | Mixtures:
    """Read a model file as whatever it holds: a fitted estimator, a `Mixture`, or `Mixtures`; nothing in it is run.

    Parameters
    ----------
    path : of a file that `save` of any of them wrote, or the command line. Or a binary file open for reading.

    Returns
    -------
    model : of the class that was saved.

    Raises
    ------
    InvalidModelFileError : the file is damaged, truncated, of a later layout or something else; the message says which.
    TypeError : path is neither a path nor a binary file.
    ValueError : it holds an estimator of a class that is not in gaussmix.
    OSError : there is no such file, or it can't be read.

    Examples
    --------
    >>> import gaussmix, io
    >>> file = io.BytesIO()
    >>> gaussmix.GaussianMixtureDetector().fit([[0.0], [1.0], [2.0]]).save(file)
    >>> _ = file.seek(0)
    >>> type(gaussmix.load(file)).__name__
    'GaussianMixtureDetector'
    """
    if isinstance(path, str | os.PathLike):
        has_mixtures = holds_mixtures(path)
    elif has_mixtures := hasattr(path, "read") and isinstance(contents := path.read(), bytes):
        path = BytesIO(contents)  # since a pipe can't be read twice
        has_mixtures = has_format(path, MIXTURES_FORMAT)
        path.seek(0)
    if has_mixtures:
        return Mixtures.load(path)
    model, record = model_file.read(path)
    saved = record.details.estimator
    if saved is None:
        return Mixture._from_model(model, record.details.feature_names)
    package = import_module("gaussmix")
    kind = getattr(package, saved.name) if saved.name in package.__all__ else None
    if not isinstance(kind, type) or not issubclass(kind, Estimator):
        own = f"{saved.name:.60}"
        raise ValueError(f"{describe_file(path)} holds a fitted {own}, no class of gaussmix: read it by {own}.load.")
    return kind._from_file(path, model, record)
