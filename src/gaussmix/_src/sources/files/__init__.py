"""Tables in files, read ahead of the work, as sources."""
