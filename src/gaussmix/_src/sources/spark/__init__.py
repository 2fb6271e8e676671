"""Sources of Spark data frames: work is sent to the executors, by operations that Spark Connect also supports."""
