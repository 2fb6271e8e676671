"""What is told of a fit: summaries, tables and sentences. Each module is imported at its first use."""

from typing import TYPE_CHECKING

from gaussmix.lazy import modules

if TYPE_CHECKING:
    from gaussmix.report import bootstrap as bootstrap
    from gaussmix.report import inference as inference
    from gaussmix.report import messages as messages
    from gaussmix.report import reading as reading
else:
    __getattr__ = modules(__name__, "bootstrap inference messages reading")
