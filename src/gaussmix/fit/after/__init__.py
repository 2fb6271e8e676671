"""Questions that are asked after a fit: resampling, standard errors, and tests of the number of components."""
