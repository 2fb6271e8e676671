"""What the command line shows: tables, reports, progress."""
