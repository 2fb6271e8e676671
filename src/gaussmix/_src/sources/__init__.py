"""Access to rows in memory, in files, in stores and on clusters."""
