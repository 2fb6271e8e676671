"""Regions of highest density."""
