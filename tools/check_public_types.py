"""Check that public names have complete types with `pyright --verifytypes`, whose limits may only fall.

Usage: check_public_types.py     as in `nox -s lint`; names without a complete type are printed
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

MAX_PUBLIC = 900  # upper bound on the symbols that pyright counts as public


def main() -> None:
    command = [sys.executable, "-m", "pyright", "--verifytypes", "gaussmix", "--ignoreexternal", "--outputjson"]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout)["typeCompleteness"]
    unread = () if find_spec("pyspark") else "gaussmix.spark."  # base classes in gaussmix.spark are classes of pyspark
    n_public = sum(symbol["isExported"] for symbol in found["symbols"])
    partly = [symbol for symbol in found["symbols"] if symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"]]
    partly = [symbol for symbol in partly if not symbol["name"].startswith(unread)]
    for symbol in partly:
        print(symbol["name"], *(each["message"] for each in symbol["diagnostics"]), sep="\n    ")
    print(f"{n_public} public symbols, {len(partly)} of them or of their members without a complete type")
    if partly or not 0 < n_public <= MAX_PUBLIC:
        sys.exit(f"Give the names above types, and make private what nobody imports: at most {MAX_PUBLIC} are public.")


if __name__ == "__main__":
    main()
