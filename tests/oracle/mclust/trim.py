"""Cut what main.R wrote to what test_mclust.py reads: `python trim.py FOLDER`, the folder of main.R's files."""

import json
import sys
from pathlib import Path

DATA_SETS = ["galaxies", "eruptions", "faithful", "cross", "iris", "banknote"]
MODELS = {"E", "V", "EEE", "VVV", "VVI", "VII"}  # their parameters are kept; for the others, only what can be compared
FACTS = ["dataset", "n", "d", "versions", "start", "control_default", "control_tight", "start_labels"]
RESULTS = ["loglik", "iterations", "return_code", "warning", "pro", "mean", "sigma_tril"]
KINDS = ["default", "tight"]


def trimmed(full: dict, monotone: dict) -> dict:
    models = full["bic"]["models"]
    kept = [name for name in models if name in MODELS]
    rows = [[row[models.index(name)] for name in kept] for row in full["bic"]["table"]]
    out = {name: full[name] for name in FACTS}
    out["bic"] = {"G": full["bic"]["G"], "models": kept, "table": rows}
    out["start_labels"] |= full.get("start_labels_6_9", {})
    out["fits"] = []
    for fit in full["fits"]:
        if fit["model"] in MODELS:
            runs = {kind: {key: fit[kind][key] for key in RESULTS if key in fit[kind]} for kind in KINDS}
            out["fits"].append({"model": fit["model"], "G": fit["G"], "npar": fit["npar"], **runs})
    out["structures"] = [structure(full, fit, monotone) for fit in full["fits"]]
    return out


def structure(full: dict, fit: dict, monotone: dict) -> dict:
    """A fit of any model without its parameters; `monotone` is the log-likelihood that an EM in NumPy reached."""
    facts = {"model": fit["model"], "G": fit["G"], "npar": fit["npar"]}
    facts["icl"] = full["icl"]["table"][fit["G"] - 1][full["icl"]["models"].index(fit["model"])]
    facts["monotone"] = monotone.get((full["dataset"], fit["model"], fit["G"]))
    return facts | {kind: {key: fit[kind].get(key) for key in RESULTS[:2]} for kind in KINDS}


def main(folder: Path) -> None:
    here = Path(__file__).parent
    proper = json.loads((folder / "x_vve_proper.json").read_text())["fits"]
    monotone = {(fit["dataset"], fit["model"], fit["G"]): fit["loglik_monotone_em"] for fit in proper}
    for name in DATA_SETS:
        full = json.loads((folder / f"{name}.json").read_text())
        # repr of a double is the shortest that reads back, as in the originals, so no digit is lost.
        (here / f"{name}.json").write_text(json.dumps(trimmed(full, monotone), separators=(",", ":")) + "\n")
        (here / f"{name}.csv").write_text((folder / f"{name}.csv").read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
