"""The checks of `gaussmix.testing`, and the problems that they are run on."""
