"""Open Spark data frames: the work runs on the executors, with operations that Spark Connect also supports."""
