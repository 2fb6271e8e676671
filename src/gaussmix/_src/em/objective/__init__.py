"""What EM raises, when a run of EM ends, and the trace of what it has reached."""
