"""Measurements, run from the root of the repository; README.md lists the commands."""
