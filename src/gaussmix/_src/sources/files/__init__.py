"""Sources of tables in files, which are read ahead of the work."""
