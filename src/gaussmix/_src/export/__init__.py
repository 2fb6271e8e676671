"""The functions of `gaussmix.export`, with one module for each function, and the code that they share."""
