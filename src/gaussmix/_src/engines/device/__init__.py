"""The engine of rows on a device, such as a GPU, in an array library other than NumPy."""
