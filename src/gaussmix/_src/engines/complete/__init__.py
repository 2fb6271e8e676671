"""The engine of complete rows, which calls the C++ core."""
