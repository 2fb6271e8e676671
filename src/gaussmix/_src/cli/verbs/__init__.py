"""The verbs of the command line, with one module for each verb."""
