"""Measurements, run from the root of the repository: `python -m bench.run`, and README.md for the others."""
