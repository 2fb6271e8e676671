"""The functions of `gaussmix.export`, a file each, and what they share."""
