"""Covariances as values: spherical, diagonal, dense or of low rank; one for each component, or one for all."""
