"""Check that public names have complete types: `pyright --verifytypes`, with limits that only fall.

Usage: check_public_types.py     as `nox -s lint` does; the names whose type is not known are printed
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

MAX_PUBLIC = 900  # symbols that pyright counts as public


def main() -> None:
    command = [sys.executable, "-m", "pyright", "--verifytypes", "gaussmix", "--ignoreexternal", "--outputjson"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)["typeCompleteness"]
    public = [symbol for symbol in report["symbols"] if symbol["isExported"]]
    partly = [symbol for symbol in report["symbols"] if symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"]]
    if find_spec("pyspark") is None:  # whose classes are the bases of these
        partly = [symbol for symbol in partly if not symbol["name"].startswith("gaussmix.spark.")]
    for symbol in partly:
        print(symbol["name"], *(each["message"] for each in symbol["diagnostics"]), sep="\n    ")
    print(f"{len(public)} public symbols, {len(partly)} of them or of their members without a complete type")
    if partly or not 0 < len(public) <= MAX_PUBLIC:
        sys.exit(f"Give the names above types, and make private what nobody imports: at most {MAX_PUBLIC} are public.")


if __name__ == "__main__":
    main()
