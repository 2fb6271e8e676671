"""The displays of `gaussmix.plot`, a file each, and what they share."""
