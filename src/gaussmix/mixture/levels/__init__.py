"""Regions of highest density: the mass where the density is below a level."""
