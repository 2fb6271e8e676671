"""Code that stores models in files, as records of arrays and built-in types.

The modules that read and write files are imported only when they are first used. `gaussmix._src.mixture` and
`gaussmix._src.estimators` check whether a record is a valid mixture or estimator.
"""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.formats import files as files
    from gaussmix._src.formats import model_file as model_file
else:
    __getattr__ = modules(__name__, "files model_file")
