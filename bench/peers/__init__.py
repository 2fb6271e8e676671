"""The peers' table: gaussmix and nine others, same rows, same start, in one run. `python -m bench.peers`."""
