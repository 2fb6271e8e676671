"""Modules that report on a fit with summaries, tables, estimates and warnings; each is imported when first used."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

if TYPE_CHECKING:
    from gaussmix._src.report import bootstrap as bootstrap
    from gaussmix._src.report import estimates as estimates
    from gaussmix._src.report import inference as inference
    from gaussmix._src.report import messages as messages
    from gaussmix._src.report import reading as reading
else:
    __getattr__ = modules(__name__, "bootstrap estimates inference messages reading")
