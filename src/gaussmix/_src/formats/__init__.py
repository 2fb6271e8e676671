"""Model files store plain records: arrays, names and numbers. The modules that read and write them are imported lazily.

`gaussmix._src.mixture` and `gaussmix._src.estimators` check whether a record is a valid mixture or estimator.
"""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.formats import files as files
    from gaussmix._src.formats import model_file as model_file
else:
    __getattr__ = modules(__name__, "files model_file")
