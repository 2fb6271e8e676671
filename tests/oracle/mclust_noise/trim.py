"""Cut what mclust's extras.R wrote to what test_noise.py reads: `python trim.py FOLDER`, the folder of its files."""

import json
import sys
from pathlib import Path

RESULTS = ["loglik", "pro", "mean", "sigma_tril"]


def main(folder: Path) -> None:
    full = json.loads((folder / "x_noise.json").read_text())
    out = {name: full[name] for name in ("versions", "n", "d", "Vinv", "start_labels")}
    out["fits"] = [
        {name: fit[name] for name in ("model", "G", "npar")} | {name: fit["tight"][name] for name in RESULTS}
        for fit in full["fits"]
    ]
    (Path(__file__).parent / "noise.json").write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
