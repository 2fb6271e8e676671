"""What is told of a fit: summaries, tables and sentences."""
