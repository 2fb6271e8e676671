"""Sources: where rows live."""
