"""The implementation of gaussmix. Its names may change at any time; public names are in the modules of `gaussmix`."""
