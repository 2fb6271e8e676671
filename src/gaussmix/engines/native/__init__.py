"""The engine of complete rows: the C++ core."""

from gaussmix.engines.native.engine import NativeEngine

__all__ = ["NativeEngine"]
