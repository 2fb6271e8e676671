"""Export of mixtures to ONNX, C and SQL, which compute the same results as `Mixture` without gaussmix."""

from gaussmix._src.export.c import to_c
from gaussmix._src.export.onnx_model import to_onnx
from gaussmix._src.export.sql import to_sql

__all__ = ["to_c", "to_onnx", "to_sql"]
