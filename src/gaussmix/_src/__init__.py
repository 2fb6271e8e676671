"""The implementation of gaussmix, whose names may change at any time. Public names are in the modules of `gaussmix`."""
