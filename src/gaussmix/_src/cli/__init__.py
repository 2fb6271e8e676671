"""The command `gaussmix`: `verbs/` has a file per verb, `show/` has what they print."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 something could not be done, 2 wrong usage, 130 interrupted."""
    try:
        from gaussmix._src.cli.program import program

        program()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("click", "rich", "pyarrow"):
            raise
        sys.exit(f"gaussmix: the command line needs {package}: install gaussmix[cli].")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
