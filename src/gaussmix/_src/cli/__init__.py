"""The command `gaussmix`: `subcommands/` has a module per subcommand, and `show/` has the code that prints results."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; exit with code 0 for success, 1 for an error, 2 for wrong usage, 130 after an interrupt."""
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
