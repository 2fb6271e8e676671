"""The C++ core as an engine."""

from gaussmix.engines.native.engine import NativeEngine

__all__ = ["NativeEngine"]
