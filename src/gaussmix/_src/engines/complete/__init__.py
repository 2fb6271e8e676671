"""The engine of complete rows: the C++ core."""
