"""The displays of `gaussmix.plot`, with one module for each display, and the code that they share."""
