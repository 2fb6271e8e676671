"""Pictures without a display."""

import matplotlib

matplotlib.use("Agg")
