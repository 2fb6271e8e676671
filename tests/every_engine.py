"""The engine, and the oracle that the laws compare it with."""

from reference_engine import ReferenceEngine

from gaussmix.engines.native.engine import NativeEngine

ENGINES = {"native": NativeEngine, "numpy": lambda n_threads: ReferenceEngine()}
