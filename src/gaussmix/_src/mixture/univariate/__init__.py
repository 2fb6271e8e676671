"""A mixture of one feature: distribution function, quantiles and level sets on the line."""
