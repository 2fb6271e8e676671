"""A mixture of one feature: distribution function, quantiles, boundaries and level sets on the line."""
