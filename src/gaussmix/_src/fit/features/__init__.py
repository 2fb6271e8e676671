"""Implement the optional features of fits. A fit runs only the code of the features that its parameters request."""
