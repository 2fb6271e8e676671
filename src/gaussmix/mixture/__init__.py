"""The distribution itself, and what one does with it; knows nothing of fitting."""
