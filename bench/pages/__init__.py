"""Scripts that measure, and write a page of bench/results each: `python -m bench.pages.roofline`."""
