"""A structure and a source that gaussmix lacks."""
