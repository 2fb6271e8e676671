"""The cases are shared with `bench/trust.py`, which finds them by this folder too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
