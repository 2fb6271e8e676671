"""Expectation-maximisation for any family, engine, source and objective."""
