"""Cut what main.R wrote to what test_mclust.py reads: `python trim.py FOLDER`, the folder of main.R's files."""

import json
import sys
from pathlib import Path

DATA_SETS = ["galaxies", "eruptions", "faithful", "cross", "iris", "banknote"]
MODELS = {"E", "V", "EEE", "VVV", "VVI", "VII"}
FACTS = ["dataset", "n", "d", "versions", "start", "control_default", "control_tight", "start_labels"]
RESULTS = ["loglik", "iterations", "return_code", "warning", "pro", "mean", "sigma_tril"]


def trimmed(full: dict) -> dict:
    models = full["bic"]["models"]
    kept = [name for name in models if name in MODELS]
    rows = [[row[models.index(name)] for name in kept] for row in full["bic"]["table"]]
    out = {name: full[name] for name in FACTS}
    out["bic"] = {"G": full["bic"]["G"], "models": kept, "table": rows}
    out["start_labels"] |= full.get("start_labels_6_9", {})
    out["fits"] = []
    for fit in full["fits"]:
        if fit["model"] in MODELS:
            runs = {kind: {key: fit[kind][key] for key in RESULTS if key in fit[kind]} for kind in ("default", "tight")}
            out["fits"].append({"model": fit["model"], "G": fit["G"], "npar": fit["npar"], **runs})
    return out


def main(folder: Path) -> None:
    here = Path(__file__).parent
    for name in DATA_SETS:
        full = json.loads((folder / f"{name}.json").read_text())
        # repr of a double is the shortest that reads back, as in the originals, so no digit is lost.
        (here / f"{name}.json").write_text(json.dumps(trimmed(full), separators=(",", ":")) + "\n")
        (here / f"{name}.csv").write_text((folder / f"{name}.csv").read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
