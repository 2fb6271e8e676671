"""Convert models to records of arrays and built-in types, which files store, and convert records back to models.

Modules that read and write files are imported only at their first use. `gaussmix._src.mixture` and
`gaussmix._src.estimators` check whether the contents of a record are a valid mixture or estimator.
"""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.formats import files as files
    from gaussmix._src.formats import model_file as model_file
else:
    __getattr__ = modules(__name__, "files model_file")
