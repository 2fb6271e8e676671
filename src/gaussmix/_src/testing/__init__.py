"""The checks of `gaussmix.testing`, and the test problems that the checks use."""
