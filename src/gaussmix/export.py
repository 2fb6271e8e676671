"""Mixtures as programs for other systems: ONNX, C and SQL. They give the answers of `Mixture` without gaussmix."""

from gaussmix._src.export.c import to_c
from gaussmix._src.export.onnx_model import to_onnx
from gaussmix._src.export.sql import to_sql

__all__ = ["to_c", "to_onnx", "to_sql"]
