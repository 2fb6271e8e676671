"""Rows of Spark frames: work goes to the executors, by operations that Spark Connect has too."""
