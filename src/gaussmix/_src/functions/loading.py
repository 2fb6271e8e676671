"""The function `gaussmix.load`, which reads any model file."""

from __future__ import annotations

import os
from importlib import import_module
from io import BytesIO

from gaussmix._src.estimators.base import Estimator
from gaussmix._src.formats import model_file
from gaussmix._src.formats.files import describe_file, holds_mixtures
from gaussmix._src.formats.record import PathOrFile
from gaussmix._src.mixture.mixture import Mixture
from gaussmix._src.mixture.mixtures import Mixtures


def load(path: PathOrFile) -> Estimator | Mixture | Mixtures:
    """Read any model file and return the fitted estimator, `Mixture` or `Mixtures`. No code from the file is executed.

    Parameters
    ----------
    path : path of a model file that `save` or the command line has written, or the file itself, opened in binary mode.

    Returns
    -------
    model : an object of the same class as the object that was saved.

    Raises
    ------
    InvalidModelFileError : the file is damaged, truncated, written in a later format, or not a model file. The message
        gives the reason.
    TypeError : `path` is neither a path nor a file opened in binary mode.
    ValueError : the file contains an estimator whose class is not part of gaussmix.
    OSError : the file does not exist or cannot be read.

    Examples
    --------
    >>> import gaussmix, io
    >>> file = io.BytesIO()
    >>> gaussmix.GaussianMixtureDetector().fit([[0.0], [1.0], [2.0]]).save(file)
    >>> _ = file.seek(0)
    >>> type(gaussmix.load(file)).__name__
    'GaussianMixtureDetector'
    """
    if hasattr(path, "read") and isinstance(contents := path.read(), bytes):
        path = BytesIO(contents)  # a buffer in memory, because a pipe cannot be read twice
    if isinstance(path, str | os.PathLike | BytesIO) and holds_mixtures(path):
        return Mixtures.load(path)
    model, record = model_file.read(path)
    saved = record.details.estimator
    if saved is None:
        return Mixture._from_model(model, record.details.feature_names)
    package = import_module("gaussmix")
    kind = getattr(package, saved.name) if saved.name in package.__all__ else None
    if not isinstance(kind, type) or not issubclass(kind, Estimator):
        own = f"{saved.name:.60}"
        raise ValueError(f"{describe_file(path)} contains a fitted {own}, not a class of gaussmix. Use {own}.load.")
    return kind._from_file(path, model, record)
