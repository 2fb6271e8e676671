"""Expectation-maximisation for any covariance structure, engine, source and objective."""
