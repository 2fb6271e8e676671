"""Give access to rows in memory, in files, in stores and on compute clusters."""
