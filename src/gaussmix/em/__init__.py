"""Expectation-maximisation: the loop, handed a family, an engine and a source; it knows none of them."""
