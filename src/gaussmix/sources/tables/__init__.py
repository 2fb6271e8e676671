"""Tables in files: CSV, Parquet, Arrow, Feather, .npy."""
