"""The subcommands of the command line, with one module for each subcommand."""
