"""Starts: how rows are first shared among components."""

from gaussmix.starts import hierarchical, kmeans, random_rows, random_shares
from gaussmix.starts.base import AUTO, STARTS, Partition, Start

__all__ = ["AUTO", "STARTS", "Partition", "Start", "hierarchical", "kmeans", "random_rows", "random_shares"]
