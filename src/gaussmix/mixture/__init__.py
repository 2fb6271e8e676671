"""The distribution and its methods, without fitting."""
