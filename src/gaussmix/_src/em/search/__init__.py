"""The split-and-merge search: moves that merge and split components as long as they raise the likelihood."""
