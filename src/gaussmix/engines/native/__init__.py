"""The C++ core as an engine, and its fast paths."""

from gaussmix.engines.native.engine import NativeEngine

__all__ = ["NativeEngine"]
