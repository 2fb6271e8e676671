"""Functions that fit, compare or load estimators."""
