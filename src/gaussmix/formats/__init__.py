"""Model files hold plain records: arrays, names and numbers. What reads and writes them is imported at its first use.

`gaussmix.mixture` and `gaussmix.estimators` check whether a record makes a mixture or an estimator.
"""

from typing import TYPE_CHECKING

from gaussmix.lazy import modules

if TYPE_CHECKING:
    from gaussmix.formats import files as files
    from gaussmix.formats import model_file as model_file
else:
    __getattr__ = modules(__name__, "files model_file")
