"""Starts: how rows are first shared among components."""

from gaussmix.starts import hierarchical, kmeans, random_rows, random_shares
from gaussmix.starts.base import STARTS, Partition, Start

__all__ = ["STARTS", "Partition", "Start", "hierarchical", "kmeans", "random_rows", "random_shares"]
