"""The displays of `gaussmix.plot`, one module for each display, and helper modules that several displays use."""
