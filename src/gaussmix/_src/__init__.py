"""All code of gaussmix. Its names may change at any time; the modules of `gaussmix` itself say which are public."""
