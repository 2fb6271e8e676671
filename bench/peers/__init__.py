"""`python -m bench.peers` measures gaussmix and nine other packages on the same rows from the same start."""
