"""Remedies for collapsed or empty components: freeze, drop or repair the component, or raise an error."""
