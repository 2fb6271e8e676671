"""The checks of `gaussmix.testing`, and the test problems that they use."""
