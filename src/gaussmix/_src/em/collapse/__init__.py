"""What becomes of a component that collapses or loses its rows: it is frozen, dropped or repaired, or the fit fails."""
