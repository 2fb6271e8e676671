"""Estimators in scikit-learn's manner: its names, its meanings and its warnings.

Modules that few estimators need are imported at their first use.
"""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.estimators import conversion as conversion
    from gaussmix._src.estimators import streaming as streaming
else:
    __getattr__ = modules(__name__, "conversion streaming")
