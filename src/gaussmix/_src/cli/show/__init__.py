"""The output of the command line: tables, reports and progress bars."""
