"""The engine for complete rows, which calls the C++ core."""
