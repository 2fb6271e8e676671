"""Scripts that each measure and write a page of bench/results, such as `python -m bench.pages.roofline`."""
