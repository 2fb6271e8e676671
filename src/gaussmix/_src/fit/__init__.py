"""One way to run a fit: what is to be fitted, how, and what was found."""
