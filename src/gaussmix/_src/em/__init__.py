"""Expectation-maximisation (EM) for any covariance structure, engine, source of rows and objective."""
