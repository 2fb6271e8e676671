"""The engine for rows that an array library other than NumPy stores on a device, such as a GPU."""
