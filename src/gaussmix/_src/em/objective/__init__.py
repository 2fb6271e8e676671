"""The objective that EM increases, the conditions for stopping, and the trace of a run."""
