"""A plugin with a structure and a source that gaussmix does not have."""
