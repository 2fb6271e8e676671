"""Many independent mixtures at once."""
