"""What any numerical library has: elementary functions, factorisations, axes, hashing, and the door to the C++ core."""
