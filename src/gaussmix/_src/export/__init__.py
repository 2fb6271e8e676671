"""The functions of `gaussmix.export`, one module for each function, and modules that several functions use."""
