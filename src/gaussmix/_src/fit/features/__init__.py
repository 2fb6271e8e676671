"""Implement the options of fits. A fit runs only the code of the options that its parameters request."""
