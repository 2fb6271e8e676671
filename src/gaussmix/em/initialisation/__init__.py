"""Starts: how rows are first shared among components."""

from gaussmix.em.initialisation import hierarchical, kmeans, random_rows, random_shares
from gaussmix.em.initialisation.base import AUTO, STARTS, Partition, Start

__all__ = ["AUTO", "STARTS", "Partition", "Start", "hierarchical", "kmeans", "random_rows", "random_shares"]
