"""EM on the rows that are not trimmed: the least probable rows have no part in a step."""
