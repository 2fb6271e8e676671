"""Benchmarks, which are run from the root of the repository; README.md lists the commands."""
