"""Implement the options of fits. A fit imports and runs only the options that its parameters request."""
