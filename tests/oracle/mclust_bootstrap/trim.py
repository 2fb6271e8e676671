"""Write bootstrap.json: what the tests need of what extras.R made. `python trim.py FOLDER`, with x_bootstrap.json and
x_blrt.json in that folder.
"""

import json
import sys
from pathlib import Path

HERE, SOURCE = Path(__file__).parent, Path(sys.argv[1])
KINDS = {"wlbs": "weighted", "bs": "nonparametric", "pb": "parametric", "jk": "jackknife"}


def main() -> None:
    """Keep the standard errors of each kind, in the order of gaussmix's natural scale, and the tests of x_blrt.json."""
    found, tests = (json.loads((SOURCE / f"x_{name}.json").read_text()) for name in ("bootstrap", "blrt"))
    kept = {"versions": found["versions"], "note": found["note"], "kinds": {}, "tests": tests["tests"]}
    for name, kind in KINDS.items():
        of_kind = found[name]
        errors = [of_kind["se_pro"], *of_kind["se_mean"], *of_kind["se_var_tril"]]
        kept["kinds"][kind] = {"n": of_kind["nboot"], "bse": [number for part in errors for number in part]}
        if "ci95_pro" in of_kind:
            kept["kinds"][kind]["weights"] = of_kind["ci95_pro"]
    (HERE / "bootstrap.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
