"""The split-and-merge search, which merges and splits components as long as the likelihood increases."""
