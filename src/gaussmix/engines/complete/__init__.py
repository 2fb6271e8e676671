"""The engine of complete rows: the C++ core."""

from gaussmix.engines.complete.engine import CompleteEngine

__all__ = ["CompleteEngine"]
