"""The classifier: a mixture for each class."""
