"""The estimators, which follow scikit-learn's interface: names, meanings and warnings are the same.

Modules that only some estimators need are imported at their first use.
"""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.estimators import conversion as conversion
    from gaussmix._src.estimators import streaming as streaming
else:
    __getattr__ = modules(__name__, "conversion streaming")
