"""Implement sources of tables in files, which are read while earlier rows are processed."""
