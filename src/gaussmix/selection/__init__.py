"""Choosing among mixtures: structures and numbers of components are tried, and judged by a criterion."""
